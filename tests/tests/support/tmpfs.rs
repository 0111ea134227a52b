//! A small file system of its own.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A tmpfs that goes when this does.
pub struct Tmpfs {
    dir: PathBuf,
}

impl Tmpfs {
    /// Mounts it; needs root.
    pub fn mount(dir: &Path, bytes: u64, read_only: bool) -> rustix::io::Result<Tmpfs> {
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        let size = std::ffi::CString::new(format!("size={bytes}")).expect("no NUL in a number");
        mount("weir-test", dir, "tmpfs", flags, Some(size.as_c_str()))?;
        Ok(Tmpfs { dir: dir.to_path_buf() })
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = unmount(&self.dir, UnmountFlags::DETACH);
    }
}

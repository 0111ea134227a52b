//! What survives the collector: maps, rings and links under a directory of a BPF file system.
//!
//! A link that is pinned keeps its program attached, and a ring that is pinned keeps its records, whatever becomes of the
//! process that made them. The directory `complete` is made last: pins without it are those of a start that failed.
//!
//! Everybody can make directories and links in most BPF file systems, so every look-up begins with a walk that takes none but
//! root's ([`Pins::open`]). Below a directory that only root can write, a path leads where it led.

use std::ffi::{CString, OsStr};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore, MapHandle};
use weir_files::{Dir, Refusal};

use crate::Error;

/// Magic number of a BPF file system (linux/magic.h).
const BPF_FS_MAGIC: i128 = 0xcafe_4a11;
const LINKS: &str = "links";
const MAPS: &str = "maps";
const PROGRAMS: &str = "programs";
const RINGS: &str = "rings";
const COMPLETE: &str = "complete";
/// Times that a name is taken from somebody who takes it again and again.
const TRIES: usize = 100;

/// The pins of one load.
#[derive(Debug, Clone)]
pub struct Pins {
    dir: PathBuf,
}

/// Locks a directory of pins, for as long as the descriptor is open.
fn locked(dir: &Dir) -> io::Result<OwnedFd> {
    dir.lock_itself().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(error.kind(), "another weir goes on with them: is this a copy of its spool?")
        }
        _ => error,
    })
}

/// Names in a BPF file system have no dots.
fn safe(name: &str) -> String {
    name.trim_start_matches('.').replace('.', "_")
}

impl Pins {
    /// The pins under a directory, which need not be there yet.
    pub fn new(dir: PathBuf) -> Pins {
        Pins { dir }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a whole load is pinned, by root.
    pub fn is_complete(&self) -> bool {
        self.open().and_then(|dir| dir.subdir(COMPLETE)).is_ok()
    }

    /// The file system that the directory is in.
    fn mount(&self) -> io::Result<Dir> {
        let parent = self.dir.parent().unwrap_or(Path::new("/"));
        let mount = Dir::open_given(parent, None)?;
        if mount.file_system()? != BPF_FS_MAGIC {
            let text = format!("no BPF file system is mounted there: `mount -t bpf bpf {}`", parent.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(mount)
    }

    fn name(&self) -> io::Result<&OsStr> {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, format!("{} has no name", self.dir.display()));
        self.dir.file_name().ok_or_else(none)
    }

    fn open(&self) -> io::Result<Dir> {
        self.mount()?.subdir(self.name()?)
    }

    /// Makes the directories, and removes what a start that failed left in them. They are locked ([`Pins::lock`]) from here on.
    ///
    /// # Errors
    /// When the parent is no BPF file system, with what to do, or another collector has these pins.
    pub fn prepare(&self) -> Result<OwnedFd, Error> {
        let parent = self.dir.parent().unwrap_or(Path::new("/"));
        let what = || format!("pin under {}", parent.display());
        let make = || {
            let mount = self.mount()?;
            let dir = self.take_name(&mount)?;
            let lock = locked(&dir)?;
            [LINKS, MAPS, PROGRAMS, RINGS].iter().try_for_each(|name| dir.make_subdir(name).map(drop))?;
            Ok(lock)
        };
        make().map_err(Error::io(what()))
    }

    /// An empty directory of root's at our name. Where everybody makes directories, anybody can take the name while nothing is
    /// pinned: what stands there then is given another one, which only root can do to it.
    fn take_name(&self, mount: &Dir) -> io::Result<Dir> {
        let name = self.name()?;
        for _ in 0..TRIES {
            match self.clear_name(mount).and_then(|()| mount.make_subdir(name)) {
                // Who took it has given it up meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if Refusal::in_error(&error).is_some() => {
                    let mut aside = name.to_owned();
                    aside.push(format!("-aside-{:016x}", RandomState::new().hash_one(())));
                    match mount.rename(name, mount, aside) {
                        Ok(()) => tracing::warn!("moved aside: {error}"),
                        Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                        Err(_) => return Err(error),
                    }
                }
                taken => return taken,
            }
        }
        mount.make_subdir(name)
    }

    /// Removes what a start that failed left, unless a collector goes on with it.
    fn clear_name(&self, mount: &Dir) -> io::Result<()> {
        match mount.subdir(self.name()?) {
            Ok(dir) => {
                let _lock = locked(&dir)?;
                self.remove()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes them for as long as the descriptor is open: a copy of a spool has the same pins as the spool that it came from.
    ///
    /// # Errors
    /// When another collector has them.
    pub fn lock(&self) -> Result<OwnedFd, Error> {
        let lock = self.open().and_then(|dir| locked(&dir));
        lock.map_err(Error::io(format!("take the pins in {}", self.dir.display())))
    }

    /// Everything is pinned.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn complete(&self) -> Result<(), Error> {
        let made = self.open().and_then(|dir| dir.make_subdir(COMPLETE));
        made.map(drop).map_err(Error::io("complete the pins"))
    }

    /// Removes all pins, links first: what nobody else holds is detached and freed.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        let gone = |e: io::Error| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) };
        let mount = self.mount()?;
        let Some(dir) = mount.subdir(self.name()?).map(Some).or_else(|e| gone(e).map(|()| None))? else {
            return Ok(());
        };
        dir.remove_dir(COMPLETE).or_else(gone)?;
        for name in [LINKS, PROGRAMS, RINGS, MAPS] {
            match dir.subdir(name) {
                Ok(pins) => pins.list()?.iter().try_for_each(|pin| pins.remove(&pin.name))?,
                Err(error) => gone(error)?,
            }
            dir.remove_dir(name).or_else(gone)?;
        }
        mount.remove_dir(self.name()?).or_else(gone)
    }

    pub(crate) fn link(&self, name: &str) -> PathBuf {
        self.dir.join(LINKS).join(safe(name))
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(PROGRAMS).join(safe(name))
    }

    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.dir.join(MAPS).join(safe(name))
    }

    fn ring(&self, cpu: usize) -> PathBuf {
        self.dir.join(RINGS).join(cpu.to_string())
    }

    /// Names of the programs that are attached.
    pub(crate) fn links(&self) -> Result<Vec<String>, Error> {
        let entries = self.open().and_then(|dir| dir.subdir(LINKS)?.list());
        let entries = entries.map_err(Error::io("list the pinned links"))?;
        Ok(entries.iter().filter_map(|entry| entry.text().map(str::to_owned)).collect())
    }

    /// The descriptor of a map.
    ///
    /// # Errors
    /// When it is not pinned.
    pub fn map_fd(&self, name: &str) -> Result<OwnedFd, Error> {
        let map = MapHandle::from_pinned_path(self.map(name)).map_err(Error::libbpf(format!("open pinned map {name}")));
        map?.as_fd().try_clone_to_owned().map_err(Error::io("keep a map's descriptor"))
    }

    /// The descriptor of a CPU's ring, and its bytes; `None` if the CPU has none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn ring_fd(&self, cpu: usize) -> Result<Option<(OwnedFd, u32)>, Error> {
        let path = self.ring(cpu);
        if !path.exists() {
            return Ok(None);
        }
        let map = MapHandle::from_pinned_path(&path).map_err(Error::libbpf(format!("open the ring of CPU {cpu}")))?;
        let fd = map.as_fd().try_clone_to_owned().map_err(Error::io("keep a ring's descriptor"))?;
        Ok(Some((fd, map.max_entries())))
    }

    /// Pins a CPU's ring.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn pin_ring(&self, cpu: usize, ring: &crate::ring::Ring) -> Result<(), Error> {
        let path = CString::new(self.ring(cpu).as_os_str().as_bytes())
            .map_err(|e| Error::io("pin a ring")(io::Error::other(e)))?;
        // SAFETY: `path` ends with a zero byte and lives through the call; the descriptor is that of a live map.
        let result = unsafe { libbpf_rs::libbpf_sys::bpf_obj_pin(ring.fd().as_raw_fd(), path.as_ptr()) };
        if result < 0 { Err(Error::io("pin a ring")(io::Error::from_raw_os_error(-result))) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pins_have_no_dots() {
        assert_eq!(safe(".data.cpus"), "data_cpus");
        assert_eq!(safe("weir_exec"), "weir_exec");
    }

    #[test]
    fn a_directory_that_is_no_bpf_file_system_is_refused_with_what_to_do() {
        let dir = std::env::temp_dir();
        let error = Pins::new(dir.join("weir-pins")).prepare().unwrap_err().to_string();
        assert!(error.contains("mount -t bpf"), "{error}");
    }
}

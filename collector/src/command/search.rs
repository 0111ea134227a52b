//! Finds a program by name, as a shell does: without trying to execute it, since failed attempts are events.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// Where programs are looked for when there is no PATH.
const PATH_DEFAULT: &str = "/bin:/usr/bin";

/// The file to execute. A name with a slash is that file, whatever it is.
pub(super) fn find(name: &OsStr) -> io::Result<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    find_in(name, &env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH_DEFAULT)))
}

fn find_in(name: &OsStr, directories: &OsStr) -> io::Result<PathBuf> {
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    if name.is_empty() {
        return Err(refused);
    }
    for directory in env::split_paths(directories) {
        // An empty entry is the current directory; the slash keeps `exec` from searching again.
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
        let path = directory.join(name);
        if !path.is_file() {
            continue;
        }
        match accessat(CWD, &path, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) => return Ok(path),
            Err(error) => refused = error.into(),
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_executable_file_of_the_path_is_found() {
        let root = tempfile::tempdir().expect("a directory");
        let make = |name: &str, mode: u32| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("make the directory");
            fs::write(&path, "").expect("write the file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set permissions");
            path
        };
        make("a/plain", 0o644);
        fs::create_dir_all(root.path().join("a/tool")).expect("a directory of that name");
        let tool = make("b/tool", 0o755);
        make("c/tool", 0o755);
        let path = env::join_paths(["a", "b", "c"].map(|name| root.path().join(name))).expect("a path");
        let find = |name: &str| find_in(OsStr::new(name), &path).map_err(|error| error.kind());
        assert_eq!(find("tool"), Ok(tool));
        assert_eq!(find("plain"), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(find("other"), Err(io::ErrorKind::NotFound));
        assert_eq!(find(""), Err(io::ErrorKind::NotFound));
        assert_eq!(super::find(OsStr::new("./x")).expect("as it is"), PathBuf::from("./x"));
    }
}

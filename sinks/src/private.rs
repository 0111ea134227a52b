//! Files that their owner writes, their group reads, and nobody else sees: a recording holds what all users do.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Mode of a new directory.
pub const DIR_MODE: u32 = 0o750;
/// Mode of a new file.
pub const FILE_MODE: u32 = 0o640;

/// User and group that get what is made; `None`: who makes it.
pub type Owner = Option<(u32, u32)>;

/// Gives a file or a directory to its owner. The mode is set once more because the umask may have taken bits away. Without the
/// right to give it away (a container without CAP_CHOWN) it stays with who made it.
///
/// # Errors
/// When the file system refuses.
pub fn give(file: &File, mode: u32, owner: Owner) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    match owner.map_or(Ok(()), |(uid, gid)| fchown(file, Some(uid), Some(gid))) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

/// Makes a directory and what is missing above it; what is there already stays as it is.
///
/// # Errors
/// When one cannot be made or given away.
pub fn create_dir_all(dir: &Path, owner: Owner) -> io::Result<()> {
    if dir.is_dir() || dir.as_os_str().is_empty() {
        return Ok(());
    }
    dir.parent().map_or(Ok(()), |above| create_dir_all(above, owner))?;
    match DirBuilder::new().mode(DIR_MODE).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    give(&File::open(dir)?, DIR_MODE, owner)
}

/// Who owns the directory that a path is in: whoever may write it may have what is made in it.
///
/// # Errors
/// When the directory cannot be looked at.
pub fn owner_of_directory(path: &Path) -> io::Result<Owner> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = std::fs::metadata(dir)?;
    Ok(rustix::process::geteuid().is_root().then_some((there.uid(), there.gid())))
}

/// Makes a file, or opens it and empties it.
///
/// # Errors
/// When it cannot be made or given away.
pub fn create(path: &Path, owner: Owner) -> io::Result<File> {
    made(OpenOptions::new().write(true).create(true).truncate(true), path, owner)
}

/// Makes a file that must not be there.
///
/// # Errors
/// When it is there, or cannot be made or given away.
pub fn create_new(path: &Path, owner: Owner) -> io::Result<File> {
    made(OpenOptions::new().write(true).create_new(true), path, owner)
}

fn made(options: &mut OpenOptions, path: &Path, owner: Owner) -> io::Result<File> {
    let file = options.mode(FILE_MODE).open(path)?;
    give(&file, FILE_MODE, owner)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_for_its_owner_and_the_group_only() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("a/b");
        create_dir_all(&dir, None).expect("made");
        create_dir_all(&dir, None).expect("there already");
        create_new(&dir.join("f"), None).expect("made");
        assert!(create_new(&dir.join("f"), None).is_err());
        create(&dir.join("g"), owner_of_directory(&dir.join("g")).expect("an owner")).expect("made");
        let mode = |name: &str| std::fs::metadata(root.path().join(name)).expect("there").mode() & 0o777;
        assert_eq!(["a", "a/b", "a/b/f", "a/b/g"].map(mode), [0o750, 0o750, 0o640, 0o640]);
    }
}

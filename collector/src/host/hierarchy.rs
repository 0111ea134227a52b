//! Where containers have their cgroups: on cgroup v2, or in the hierarchy of a controller of v1.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use weir_bpf::ContainerHierarchy;

use super::{HostError, Mounts, optional, read_line};

/// Directories that are looked at.
const DIRECTORIES_MAX: usize = 100_000;

/// A hierarchy and where it is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// Which.
    pub kind: ContainerHierarchy,
    /// Its root, if it can be seen.
    pub root: Option<PathBuf>,
}

impl Hierarchy {
    /// Of this machine, as it is now.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn find() -> Result<Hierarchy, HostError> {
        Ok(Hierarchy::read(&Mounts::parse(&read_line("/proc/self/mounts")?)))
    }

    /// Of a machine with these mounts.
    pub fn read(mounts: &Mounts) -> Hierarchy {
        Hierarchy::choose(mounts, &optional("/proc/cgroups").unwrap_or_default())
    }

    /// Where runtimes put containers on v1, all its controllers have them; `cgroups` is the text of `/proc/cgroups`.
    fn choose(mounts: &Mounts, cgroups: &str) -> Hierarchy {
        let number = |name: &str| {
            let fields = cgroups.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
            fields.filter(|f| f.first() == Some(&name)).find_map(|f| f.get(1)?.parse().ok()).filter(|n: &u32| *n != 0)
        };
        let of = |root: &Option<PathBuf>, name, kind: fn(u32) -> ContainerHierarchy| {
            Some(Hierarchy { kind: kind(number(name)?), root: Some(root.clone()?) })
        };
        of(&mounts.pids, "pids", ContainerHierarchy::Pids)
            .or_else(|| of(&mounts.memory, "memory", ContainerHierarchy::Memory))
            .unwrap_or(Hierarchy { kind: ContainerHierarchy::V2, root: mounts.cgroup2.clone() })
    }

    /// Every cgroup that is there, parents first, with its path from the root.
    pub fn cgroups(&self) -> impl Iterator<Item = Listed> + use<> {
        let root = self.root.clone().unwrap_or_default();
        listed_below(self.root.as_slice()).filter_map(move |listed| {
            let path = Path::new("/").join(listed.path.strip_prefix(&root).ok()?);
            Some(Listed { path, ..listed })
        })
    }
}

/// A cgroup that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id, the inode number of its directory.
    pub id: u64,
    /// Its directory.
    pub path: PathBuf,
    /// Only root could make it: every directory above is root's, and no other may write there. Its own owner says nothing: who
    /// is given a cgroup for the inside of it owns it.
    pub is_of_root: bool,
}

/// These directories of a hierarchy and all below them, parents first, as many as are looked at: ids and directories.
pub fn cgroups_below(directories: &[PathBuf]) -> impl Iterator<Item = (u64, PathBuf)> + use<> {
    listed_below(directories).map(|listed| (listed.id, listed.path))
}

fn listed_below(directories: &[PathBuf]) -> impl Iterator<Item = Listed> + use<> {
    let mut waiting: VecDeque<(PathBuf, bool)> = directories.iter().map(|path| (path.clone(), true)).collect();
    let next = move || {
        let (path, is_of_root) = waiting.pop_front()?;
        let metadata = fs::metadata(&path).ok();
        let below = is_of_root && metadata.as_ref().is_some_and(|m| only_root_writes(m.uid(), m.mode()));
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        waiting.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| (e.path(), below)));
        Some(metadata.map(|metadata| Listed { id: metadata.ino(), path, is_of_root }))
    };
    std::iter::from_fn(next).take(DIRECTORIES_MAX).flatten()
}

/// Whether nobody but root may make something in a directory with this owner and mode.
fn only_root_writes(uid: u32, mode: u32) -> bool {
    uid == 0 && mode & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CGROUPS: &str =
        "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t3\t1\t1\nmemory\t4\t1\t1\npids\t0\t1\t1\n";

    #[test]
    fn a_controller_of_v1_has_the_containers_where_it_is_mounted() {
        let mounts = Mounts {
            cgroup2: Some("/two".into()),
            pids: Some("/pids".into()),
            memory: Some("/memory".into()),
            ..Mounts::default()
        };
        let memory = Hierarchy { kind: ContainerHierarchy::Memory(4), root: Some("/memory".into()) };
        assert_eq!(Hierarchy::choose(&mounts, CGROUPS), memory, "pids is on v2");
        let pids = Hierarchy { kind: ContainerHierarchy::Pids(7), root: Some("/pids".into()) };
        assert_eq!(Hierarchy::choose(&mounts, &CGROUPS.replace("pids\t0", "pids\t7")), pids);
        let two = Hierarchy { kind: ContainerHierarchy::V2, root: Some("/two".into()) };
        assert_eq!(Hierarchy::choose(&Mounts { cgroup2: Some("/two".into()), ..Mounts::default() }, CGROUPS), two);
    }

    #[test]
    fn cgroups_are_listed_from_the_root_with_their_ids() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("docker/ab")).expect("a tree");
        let found = Hierarchy { kind: ContainerHierarchy::V2, root: Some(root.path().to_owned()) };
        let paths: Vec<PathBuf> = found.cgroups().map(|listed| listed.path).collect();
        assert_eq!(paths, ["/", "/docker", "/docker/ab"].map(PathBuf::from));
        let id = fs::metadata(root.path().join("docker")).expect("metadata").ino();
        assert_eq!(found.cgroups().nth(1).map(|listed| listed.id), Some(id));
    }

    #[test]
    fn a_directory_in_which_others_may_write_says_nothing_of_who_made_what_is_below() {
        let of_root = |uid, mode| only_root_writes(uid, mode);
        assert!(of_root(0, 0o40755) && of_root(0, 0o40700));
        assert!(!of_root(2001, 0o40755) && !of_root(0, 0o40775) && !of_root(0, 0o40757));
    }
}

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

    /// Every cgroup that is there: its id and its path from the root, parents first.
    pub fn cgroups(&self) -> impl Iterator<Item = (u64, PathBuf)> + use<> {
        let root = self.root.clone().unwrap_or_default();
        cgroups_below(self.root.as_slice()).filter_map(move |(id, directory)| {
            let below = directory.strip_prefix(&root).ok()?;
            Some((id, Path::new("/").join(below)))
        })
    }
}

/// These directories of a hierarchy and all below them, parents first, as many as are looked at. A cgroup's id is the inode
/// number of its directory.
pub fn cgroups_below(directories: &[PathBuf]) -> impl Iterator<Item = (u64, PathBuf)> + use<> {
    let mut waiting: VecDeque<PathBuf> = directories.iter().cloned().collect();
    let next = move || {
        let directory = waiting.pop_front()?;
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        waiting.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        Some(directory)
    };
    let found = std::iter::from_fn(next).take(DIRECTORIES_MAX);
    found.filter_map(|directory| Some((fs::metadata(&directory).ok()?.ino(), directory)))
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
        let paths: Vec<PathBuf> = found.cgroups().map(|(_, path)| path).collect();
        assert_eq!(paths, ["/", "/docker", "/docker/ab"].map(PathBuf::from));
        let id = fs::metadata(root.path().join("docker")).expect("metadata").ino();
        assert_eq!(found.cgroups().nth(1).map(|(id, _)| id), Some(id));
    }
}

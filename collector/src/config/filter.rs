//! Filters with their names resolved on this machine: users to ids, cgroups to directories, processes that exist.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use nix::unistd::User;
use thiserror::Error;
use weir_bpf::filter::{COMM_BYTES_MAX, PREFIX_BYTES_MAX};
use weir_bpf::{Filters, Lists};

use super::validate::too_many;
use super::{Containers, Filter, Results};
use crate::context::Rule;
use crate::host::cgroups_below;

/// A filter names what this machine does not have.
#[derive(Debug, Error)]
pub enum FilterError {
    /// No such user.
    #[error("filter: no user `{0}` on this machine; give a name that `id` knows, or a number")]
    User(String),
    /// The user database failed.
    #[error("filter: cannot look up user `{0}`: {1}")]
    Lookup(String, nix::Error),
    /// No such process.
    #[error("filter: no process {0}; `--follow` and `--except-tree` take ids of running processes")]
    Process(u32),
    /// No such cgroup.
    #[error("filter: no cgroup `{0}` under {1}; give a path below that directory, or an id as in column cgroup_id")]
    Cgroup(String, PathBuf),
    /// No cgroup v2 hierarchy.
    #[error("filter: cgroup `{0}` cannot be found: no cgroup v2 hierarchy is mounted (mount -t cgroup2 none DIR)")]
    NoHierarchy(String),
}

impl Filter {
    /// Which containers are kept, where the kernel was not told yet.
    pub fn containers(filters: &Filters) -> Rule {
        Rule::new(filters.containers, &filters.container_ids.only, &filters.container_ids.except)
    }

    /// Resolves names on this machine; `cgroup_root` is where cgroup v2 is mounted.
    ///
    /// # Errors
    /// The first name that this machine does not have.
    pub fn resolve(&self, cgroup_root: Option<&Path>) -> Result<Filters, FilterError> {
        let cgroup = |name: &String| find_cgroup(name, cgroup_root);
        Ok(Filters {
            trees: lists(&self.follow, &self.except_tree, |pid| find_process(*pid))?,
            containers: match self.containers {
                Containers::Any => None,
                Containers::Only => Some(true),
                Containers::None => Some(false),
            },
            container_ids: lists(&self.only_container, &self.except_container, |name| Ok(name.clone()))?,
            users: lists(&self.only_user, &self.except_user, |name| find_user(name))?,
            comms: lists(&self.only_comm, &self.except_comm, |name| Ok(name.clone()))?,
            cgroups: lists(&self.only_cgroup, &self.except_cgroup, cgroup)?,
            paths: lists(&self.only_path, &self.except_path, |prefix| Ok(prefix.clone()))?,
            failed: match self.results {
                Results::Any => None,
                Results::Failed => Some(true),
                Results::Succeeded => Some(false),
            },
            include_self: self.include_self,
        })
    }
}

fn lists<A, B>(
    only: &[A],
    except: &[A],
    resolve: impl Fn(&A) -> Result<B, FilterError>,
) -> Result<Lists<B>, FilterError> {
    let all = |values: &[A]| values.iter().map(&resolve).collect::<Result<Vec<B>, _>>();
    Ok(Lists { only: all(only)?, except: all(except)? })
}

fn find_process(pid: u32) -> Result<u32, FilterError> {
    if Path::new("/proc").join(pid.to_string()).exists() { Ok(pid) } else { Err(FilterError::Process(pid)) }
}

fn find_user(name: &str) -> Result<u32, FilterError> {
    if let Ok(uid) = name.parse() {
        return Ok(uid);
    }
    let found = User::from_name(name).map_err(|error| FilterError::Lookup(name.to_owned(), error))?;
    found.map(|user| user.uid.as_raw()).ok_or_else(|| FilterError::User(name.to_owned()))
}

fn find_cgroup(name: &str, root: Option<&Path>) -> Result<PathBuf, FilterError> {
    let root = root.ok_or_else(|| FilterError::NoHierarchy(name.to_owned()))?;
    let missing = || FilterError::Cgroup(name.to_owned(), root.to_owned());
    if let Ok(id) = name.parse() {
        return cgroup_by_id(id, root).ok_or_else(missing);
    }
    // Both `/user.slice` and the whole path under the mount are in use.
    let below = Path::new(name).strip_prefix(root).unwrap_or(Path::new(name));
    let path = root.join(below.strip_prefix("/").unwrap_or(below));
    if path.is_dir() { Ok(path) } else { Err(missing()) }
}

fn cgroup_by_id(id: u64, root: &Path) -> Option<PathBuf> {
    cgroups_below(&[root.to_owned()]).find(|(found, _)| *found == id).map(|(_, directory)| directory)
}

/// Cgroups of the filters and all below them, by the ids that records have. Only where records are rare: cgroups come and go.
pub struct CgroupIds {
    only: Option<HashSet<u64>>,
    except: HashSet<u64>,
}

impl CgroupIds {
    /// As they are now.
    pub fn of(cgroups: &Lists<PathBuf>) -> CgroupIds {
        let ids = |directories: &[PathBuf]| cgroups_below(directories).map(|(id, _)| id).collect();
        CgroupIds { only: (!cgroups.only.is_empty()).then(|| ids(&cgroups.only)), except: ids(&cgroups.except) }
    }

    /// Whether the filters keep a task in this cgroup.
    pub fn let_through(&self, id: u64) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&id)) && !self.except.contains(&id)
    }
}

/// What is wrong with the filters on any machine.
pub(super) fn problems(filter: &Filter) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut check = |key: &'static str, values: &[String], problem: fn(&str) -> Option<String>| {
        found.extend(too_many(values.len()).map(|text| (key, text)));
        found.extend(values.iter().filter_map(|value| problem(value)).map(|text| (key, text)));
    };
    check("filter.only_user", &filter.only_user, |_| None);
    check("filter.except_user", &filter.except_user, |_| None);
    check("filter.only_cgroup", &filter.only_cgroup, |_| None);
    check("filter.except_cgroup", &filter.except_cgroup, |_| None);
    check("filter.only_container", &filter.only_container, container_problem);
    check("filter.except_container", &filter.except_container, container_problem);
    check("filter.only_comm", &filter.only_comm, comm_problem);
    check("filter.except_comm", &filter.except_comm, comm_problem);
    check("filter.only_path", &filter.only_path, prefix_problem);
    check("filter.except_path", &filter.except_path, prefix_problem);
    for (key, pids) in [("filter.follow", &filter.follow), ("filter.except_tree", &filter.except_tree)] {
        found.extend(too_many(pids.len()).map(|text| (key, text)));
    }
    found
}

fn comm_problem(name: &str) -> Option<String> {
    (name.len() > COMM_BYTES_MAX)
        .then(|| format!("has `{name}`: the kernel keeps {COMM_BYTES_MAX} bytes of a task's name, give those"))
}

fn container_problem(name: &str) -> Option<String> {
    name.is_empty().then(|| "has an empty name: give an id of at least 12 characters, or a container's name".to_owned())
}

fn prefix_problem(prefix: &str) -> Option<String> {
    if !prefix.starts_with('/') {
        return Some(format!("has `{prefix}`: it must begin with `/`, like the absolute paths it is compared with"));
    }
    (prefix.len() > PREFIX_BYTES_MAX)
        .then(|| format!("has a prefix of {} bytes: at most {PREFIX_BYTES_MAX} fit", prefix.len()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(find_user("root").expect("root exists"), 0);
        assert_eq!(find_user("12345").expect("any number"), 12345);
        let error = find_user("no-such-user-here").expect_err("no such user");
        assert!(error.to_string().contains("no user `no-such-user-here`"), "{error}");
    }

    #[test]
    fn cgroups_are_found_by_path_and_by_the_inode_of_their_directory() {
        let root = tempfile::tempdir().expect("a directory");
        let inner = root.path().join("a.slice/b.scope");
        fs::create_dir_all(&inner).expect("a tree");
        let id = fs::metadata(&inner).expect("metadata").ino();
        let whole = inner.to_string_lossy().into_owned();
        for name in ["a.slice/b.scope", "/a.slice/b.scope", &whole, &id.to_string()] {
            assert_eq!(find_cgroup(name, Some(root.path())).expect("it is there"), inner, "{name}");
        }
        assert!(find_cgroup("c.slice", Some(root.path())).is_err());
        assert!(find_cgroup("a.slice", None).expect_err("no mount").to_string().contains("mount -t cgroup2"));
    }

    #[test]
    fn a_cgroup_filter_lets_through_by_id_what_is_in_a_cgroup_or_below_it() {
        let root = tempfile::tempdir().expect("a directory");
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        fs::create_dir_all(a.join("below")).expect("a tree");
        fs::create_dir(&b).expect("another");
        let id = |directory: &Path| fs::metadata(directory).expect("metadata").ino();
        let ids = |only: &[&Path], except: &[&Path]| {
            let owned = |list: &[&Path]| list.iter().map(|p| (*p).to_owned()).collect();
            let cgroups = CgroupIds::of(&Lists { only: owned(only), except: owned(except) });
            [&a, &a.join("below"), &b].map(|directory| cgroups.let_through(id(directory)))
        };
        assert_eq!(ids(&[], &[]), [true, true, true]);
        assert_eq!(ids(&[&a], &[]), [true, true, false]);
        assert_eq!(ids(&[], &[&a]), [false, false, true]);
        assert_eq!(ids(&[root.path()], &[&a.join("below")]), [true, false, true]);
    }

    #[test]
    fn a_process_that_does_not_exist_is_refused() {
        assert_eq!(find_process(std::process::id()).expect("this process"), std::process::id());
        // Above the largest pid that Linux gives out (4,194,304).
        assert!(find_process(5_000_000).is_err());
    }
}

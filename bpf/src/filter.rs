//! What is recorded at all: the filters of the configuration, as the programs read them.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::Error;
use crate::load::Loaded;
use crate::skel::types::config;

const TREE: u32 = 1 << 0;
const NOT_TREE: u32 = 1 << 1;
const CONTAINERS: u32 = 1 << 2;
const NOT_CONTAINERS: u32 = 1 << 3;
const USER: u32 = 1 << 4;
const NOT_USER: u32 = 1 << 5;
const COMM: u32 = 1 << 6;
const NOT_COMM: u32 = 1 << 7;
const CGROUP: u32 = 1 << 8;
const NOT_CGROUP: u32 = 1 << 9;
const PATH: u32 = 1 << 10;
const NOT_PATH: u32 = 1 << 11;
const FAILED: u32 = 1 << 12;
const SUCCEEDED: u32 = 1 << 13;
const SELF: u32 = 1 << 14;

/// Values of one list filter.
pub const LIST_MAX: usize = 64;
/// Bytes of a path prefix.
pub const PREFIX_BYTES_MAX: usize = 240;
/// Bytes of a thread name.
pub const COMM_BYTES_MAX: usize = 15;

/// A list filter and its exclusion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists<T> {
    /// Only these, if any.
    pub only: Vec<T>,
    /// None of these.
    pub except: Vec<T>,
}

/// What is recorded at all; asked in the kernel, before anything is reserved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// Subtrees, by the pid of their root.
    pub trees: Lists<u32>,
    /// `Some(true)`: only containers; `Some(false)`: none.
    pub containers: Option<bool>,
    /// Real user ids.
    pub users: Lists<u32>,
    /// Thread names, at most 15 bytes.
    pub comms: Lists<String>,
    /// Directories of the cgroup v2 hierarchy, with all below them.
    pub cgroups: Lists<std::path::PathBuf>,
    /// Prefixes of file paths, of whole components: `/etc` is /etc and what is below it. The kernel lets through what it
    /// cannot judge (`..` in a text), so a row must be looked at again. Of two paths (rename, link, symlink) one below
    /// `only` is enough; `except` leaves a row out when both are below it.
    pub paths: Lists<String>,
    /// `Some(true)`: only failed attempts; `Some(false)`: only those that succeeded.
    pub failed: Option<bool>,
    /// Record the collector itself too.
    pub include_self: bool,
}

fn pair<T>(lists: &Lists<T>, only: u32, except: u32) -> u32 {
    let bit = |list: &Vec<T>, bit| if list.is_empty() { 0 } else { bit };
    bit(&lists.only, only) | bit(&lists.except, except)
}

/// The filters in force, as bits.
pub(crate) fn bits(filters: &Filters) -> u32 {
    let choice = |value, yes, no| match value {
        Some(true) => yes,
        Some(false) => no,
        None => 0,
    };
    pair(&filters.trees, TREE, NOT_TREE)
        | pair(&filters.users, USER, NOT_USER)
        | pair(&filters.comms, COMM, NOT_COMM)
        | pair(&filters.cgroups, CGROUP, NOT_CGROUP)
        | pair(&filters.paths, PATH, NOT_PATH)
        | choice(filters.containers, CONTAINERS, NOT_CONTAINERS)
        | choice(filters.failed, FAILED, SUCCEEDED)
        | if filters.include_self { 0 } else { SELF }
}

fn comm_key(comm: &str) -> [u8; 16] {
    let mut key = [0; 16];
    let len = comm.len().min(COMM_BYTES_MAX);
    key[..len].copy_from_slice(&comm.as_bytes()[..len]);
    key
}

/// The key of a prefix: whole components, so with one slash at its end. What is longer than the kernel's tries is cut there
/// and passes more than it should; the collector looks at every path again.
fn prefix_key(prefix: &str) -> Vec<u8> {
    let whole = format!("{}/", prefix.trim_end_matches('/'));
    let mut text = [0; PREFIX_BYTES_MAX];
    let len = whole.len().min(PREFIX_BYTES_MAX);
    text[..len].copy_from_slice(&whole.as_bytes()[..len]);
    [&(8 * len as u32).to_ne_bytes()[..], &text].concat()
}

/// Fills the maps of the list filters.
pub(crate) fn fill(loaded: &Loaded, filters: &Filters, config: &mut config) -> Result<(), Error> {
    let one = [1u8];
    let put_all = |map: &str, keys: &[Vec<u8>]| keys.iter().try_for_each(|key| loaded.update(map, key, &one));
    let words = |list: &[u32]| list.iter().map(|v| v.to_ne_bytes().to_vec()).collect::<Vec<_>>();
    let comms = |list: &[String]| list.iter().map(|c| comm_key(c).to_vec()).collect::<Vec<_>>();
    let prefixes = |list: &[String]| list.iter().map(|p| prefix_key(p)).collect::<Vec<_>>();
    put_all("followed", &words(&filters.trees.only))?;
    put_all("not_followed", &words(&filters.trees.except))?;
    put_all("users", &words(&filters.users.only))?;
    put_all("not_users", &words(&filters.users.except))?;
    put_all("comms", &comms(&filters.comms.only))?;
    put_all("not_comms", &comms(&filters.comms.except))?;
    put_all("prefixes", &prefixes(&filters.paths.only))?;
    put_all("not_prefixes", &prefixes(&filters.paths.except))?;
    config.cgroups = fill_cgroups(loaded, "cgroup_list", &filters.cgroups.only)?;
    config.not_cgroups = fill_cgroups(loaded, "not_cgroup_list", &filters.cgroups.except)?;
    config.host_pid_level = 0;
    Ok(())
}

fn fill_cgroups(loaded: &Loaded, map: &str, paths: &[std::path::PathBuf]) -> Result<u32, Error> {
    for (i, path) in paths.iter().enumerate() {
        let dir = File::open(path).map_err(Error::io(format!("open cgroup {}", path.display())))?;
        loaded.update(map, &(i as u32).to_ne_bytes(), &dir.as_raw_fd().to_ne_bytes())?;
    }
    Ok(paths.len() as u32)
}

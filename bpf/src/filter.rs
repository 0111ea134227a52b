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
/// Children join both subtrees, whether these are asked yet or not.
pub(crate) const GROW: u32 = 1 << 15;
const CONTAINER_IDS: u32 = 1 << 16;

/// Bits of the map of cgroups.
const CGROUP_INSIDE: u8 = 1;
const CGROUP_UNWANTED: u8 = 2;

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
    /// Containers by id or name. The kernel asks what it is told of each cgroup, the collector looks again where it was not.
    pub container_ids: Lists<String>,
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
        | pair(&filters.container_ids, CONTAINER_IDS, CONTAINER_IDS)
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

/// A list filter and its exclusion as the kernel has them: two sets of keys, each with its bit.
struct Sets {
    maps: [(&'static str, u32); 2],
    keys: [Vec<Vec<u8>>; 2],
}

fn sets_of<T>(lists: &Lists<T>, maps: [(&'static str, u32); 2], key: impl Fn(&T) -> Vec<u8>) -> Sets {
    let keys = |list: &[T]| list.iter().map(&key).collect();
    Sets { maps, keys: [keys(&lists.only), keys(&lists.except)] }
}

/// The list filters whose sets hold nothing but what the collector puts there: all but subtrees, which the programs keep.
fn sets(filters: &Filters) -> [Sets; 3] {
    [
        sets_of(&filters.users, [("users", USER), ("not_users", NOT_USER)], |uid| uid.to_ne_bytes().to_vec()),
        sets_of(&filters.comms, [("comms", COMM), ("not_comms", NOT_COMM)], |comm| comm_key(comm).to_vec()),
        sets_of(&filters.paths, [("prefixes", PATH), ("not_prefixes", NOT_PATH)], |prefix| prefix_key(prefix)),
    ]
}

/// Fills the maps of the list filters.
pub(crate) fn fill(loaded: &Loaded, filters: &Filters, config: &mut config) -> Result<(), Error> {
    let put_all = |map: &str, keys: &[Vec<u8>]| keys.iter().try_for_each(|key| loaded.update(map, key, &[1]));
    for set in sets(filters) {
        (0..2).try_for_each(|i| put_all(set.maps[i].0, &set.keys[i]))?;
    }
    for (pids, except) in [(&filters.trees.only, false), (&filters.trees.except, true)] {
        pids.iter().try_for_each(|pid| loaded.follow(*pid, except))?;
    }
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

impl Loaded {
    /// Tells the programs of a cgroup whether it is a container's, and whether the filter by id and name keeps it.
    ///
    /// # Errors
    /// When the table is full.
    pub fn judge_cgroup(&self, cgroup: u64, inside: bool, wanted: bool) -> Result<(), Error> {
        let bits = if inside { CGROUP_INSIDE } else { 0 } | if wanted { 0 } else { CGROUP_UNWANTED };
        self.update("container_cgroups", &cgroup.to_ne_bytes(), &[bits])
    }

    /// Forgets a cgroup that is gone; nothing if it was not told.
    pub fn forget_cgroup(&self, cgroup: u64) {
        let _ = self.delete("container_cgroups", &cgroup.to_ne_bytes());
    }

    /// Puts other filters in force while events come. An event that both sets of filters keep is kept at every moment
    /// between; for some microseconds others may be kept too. Subtrees are not touched but for being asked or not: their
    /// processes come and go by [`Loaded::follow`] and [`Loaded::unfollow`], before and behind this.
    ///
    /// # Errors
    /// A cgroup that is gone, or a map that the kernel does not let change. The filters are then those before, those after,
    /// or looser than both.
    pub fn change_filters(&mut self, from: &Filters, to: &Filters) -> Result<(), Error> {
        let (before, after) = (sets(from), sets(to));
        let mut asked = bits(from) & bits(to) & !(CGROUP | NOT_CGROUP);
        for (old, new) in before.iter().zip(&after) {
            for i in 0..2 {
                let joined = old.keys[i].len() + new.keys[i].iter().filter(|key| !old.keys[i].contains(key)).count();
                if joined > LIST_MAX {
                    asked &= !old.maps[i].1;
                }
            }
        }
        let now = self.config();
        let grow = now.filters & GROW;
        self.set_filters(asked | grow, now.cgroups, now.not_cgroups);
        for (old, new) in before.iter().zip(&after) {
            // What is let through grows first and shrinks then: by the list itself, and the other way round by its exclusion.
            self.change_set(old, new, 0, asked)?;
            self.change_set(old, new, 1, asked)?;
        }
        let cgroups = fill_cgroups(self, "cgroup_list", &to.cgroups.only)?;
        let not_cgroups = fill_cgroups(self, "not_cgroup_list", &to.cgroups.except)?;
        self.set_filters(bits(to) | grow, cgroups, not_cgroups);
        Ok(())
    }

    fn change_set(&self, old: &Sets, new: &Sets, which: usize, asked: u32) -> Result<(), Error> {
        let (map, bit) = old.maps[which];
        let (old, new) = (&old.keys[which], &new.keys[which]);
        let put = || new.iter().filter(|key| !old.contains(key)).try_for_each(|key| self.update(map, key, &[1]));
        let take = || old.iter().filter(|key| !new.contains(key)).try_for_each(|key| self.delete(map, key));
        // A set that is not asked meanwhile may be in any order; removing first always fits.
        if which == 0 && asked & bit != 0 { put().and_then(|()| take()) } else { take().and_then(|()| put()) }
    }

    /// While this is on, children of followed and of excluded processes join them although the subtrees may not be asked
    /// yet.
    pub fn grow_trees(&mut self, on: bool) {
        let now = self.config();
        let filters = if on { now.filters | GROW } else { now.filters & !GROW };
        self.set_filters(filters, now.cgroups, now.not_cgroups);
    }
}

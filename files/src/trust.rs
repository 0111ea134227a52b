//! Whose directories and files are taken.

use std::fs;

use rustix::fs::{Mode, Stat};
use rustix::process::{getgid, getuid};

/// User and group of who called sudo: they get what is made. `None`: the effective user.
pub type Owner = Option<(u32, u32)>;

/// The owner that the kernel shows for ids that have no name in a user namespace.
const UNMAPPED: u32 = 65_534;

/// Whose directories and files are taken: root's, and those of the one user whom weir works for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Who called sudo, else the effective user.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    is_root: bool,
    /// In a user namespace root of the machine has no number of its own.
    unmapped: bool,
    /// For those who only look: everybody's.
    pub(crate) everybody: bool,
}

impl Trust {
    pub(crate) fn of(owner: Owner) -> Trust {
        let (uid, gid) = owner.unwrap_or((getuid().as_raw(), getgid().as_raw()));
        Trust { uid, gid, is_root: getuid().is_root(), unmapped: in_user_namespace(), everybody: false }
    }

    /// For those who only look.
    pub(crate) fn everybody() -> Trust {
        Trust { everybody: true, ..Trust::of(None) }
    }

    /// Root, also of the machine around a user namespace.
    pub(crate) fn is_roots(&self, uid: u32) -> bool {
        uid == 0 || self.unmapped && uid == UNMAPPED
    }

    pub(crate) fn takes(&self, uid: u32) -> bool {
        self.everybody || self.is_roots(uid) || uid == self.uid || uid == getuid().as_raw()
    }

    /// Whether a link of this user is followed in a path as given. Root is not led by the user who called sudo; who is not
    /// root may lead himself.
    pub(crate) fn leads(&self, uid: u32) -> bool {
        self.is_roots(uid) || !self.is_root && uid == self.uid
    }

    /// Whether others than root and the caller can put something in place of what is in this directory. The group may write
    /// if it is root's, or the caller's own group in a directory of the caller (private groups, umask 002). Who is not root
    /// risks his own files only, and may share a directory with his group. The mask of an access control list stands in
    /// place of the group's bits, so a list that lets others write counts.
    pub(crate) fn is_open_to_others(&self, stat: &Stat) -> bool {
        let mode = Mode::from_raw_mode(stat.st_mode);
        let own_group = stat.st_gid == 0 || stat.st_gid == self.gid && stat.st_uid == self.uid || !self.is_root;
        mode.contains(Mode::WOTH) || mode.contains(Mode::WGRP) && !own_group
    }
}

fn in_user_namespace() -> bool {
    // All 2^32 - 1 ids stand for themselves where there is none.
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
}

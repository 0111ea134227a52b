//! Facts about this process: namespaces, limits, who called sudo.

use std::env;
use std::fs;

use rustix::process::{Resource, getrlimit};

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`).
const INITIAL_PID: &str = "pid:[4026531836]";

/// Who called sudo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Their primary group.
    pub gid: u32,
}

impl Caller {
    /// From what sudo leaves in the environment; believed only by root, who could be anyone anyway.
    pub fn of_process() -> Option<Caller> {
        let variable = |name: &str| env::var(name).ok();
        // The real user: threads that write files have the caller's ids as their effective ones.
        Caller::of(rustix::process::getuid().is_root(), variable("SUDO_UID"), variable("SUDO_GID"))
    }

    /// Who gets files and directories that are made; `None`: who makes them.
    pub fn owner() -> Option<(u32, u32)> {
        Caller::of_process().map(Caller::ids)
    }

    /// User and group.
    pub fn ids(self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    fn of(is_root: bool, uid: Option<String>, gid: Option<String>) -> Option<Caller> {
        let caller = Caller { uid: uid?.parse().ok()?, gid: gid?.parse().ok()? };
        (is_root && caller.uid != 0).then_some(caller)
    }
}

pub(super) fn pid_namespace_is_initial() -> bool {
    // Kernels without namespaces have no such link, and one space only.
    fs::read_link("/proc/self/ns/pid").map_or(true, |link| link.as_os_str() == INITIAL_PID)
}

/// The file holds all modes, the one in force in brackets.
pub(super) fn lockdown() -> Option<String> {
    let text = super::optional("/sys/kernel/security/lockdown")?;
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

pub(super) fn memlock_bytes_max() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_believes_what_sudo_left() {
        let of = |root, uid: &str, gid: &str| Caller::of(root, Some(uid.into()), Some(gid.into()));
        assert_eq!(of(true, "1000", "1001"), Some(Caller { uid: 1000, gid: 1001 }));
        assert_eq!(of(false, "1000", "1001"), None);
        assert_eq!(of(true, "0", "0"), None);
        assert_eq!(of(true, "x", "0"), None);
        assert_eq!(Caller::of(true, None, Some("1".into())), None);
    }
}

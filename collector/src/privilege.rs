//! Gives up every right that is not needed after the load: each thread keeps what its [`Role`] needs.
//!
//! Capabilities and ids belong to a thread and new threads inherit them. Who loads calls [`drop_rights`] when all is loaded;
//! what has to start before goes through [`start_as`]; threads that only answer call [`confine`]. A gate (see
//! [`crate::command`]) is spawned earlier: it needs the right to become the user, and its command may be a set-user-id
//! program, which `no_new_privs` would break.
//!
//! Threads that write files work for two users: root, and who called sudo. The kernel looks at the file-system ids, and lets a
//! thread change them without a capability to any of its real, effective and saved ids. Such a thread has the caller's ids as
//! its *effective* ones: kill(2) and ptrace(2) look at the real and the saved ids of a target, so the caller gets no hold on
//! weir, which the saved ids would give them.

mod confine;
mod landlock;
pub mod seccomp;
mod threads;

use std::thread;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{setfsgid, setfsuid};
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use thiserror::Error;

use crate::host::Caller;

pub use confine::{ANSWERS, ASKS, Needs, WRITES, confine, confinement_json, try_confinement};
pub use landlock::Landlock;
pub use threads::{ThreadRights, threads, threads_json};

/// What a thread is for, and so what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads the rings.
    Reader,
    /// Writes files, for root and for the user who called sudo; reads the configuration again.
    Files,
    /// Plays a recording, which may be somebody else's, and writes files.
    Replay,
    /// Passes signals on to a command, which may be another user's.
    Signals {
        /// There is one.
        command: bool,
    },
    /// Opens for a reload what only root can open; a process of its own.
    Helper,
    /// Everything else.
    Confined,
}

/// A right that a role keeps.
#[derive(Debug)]
pub struct Kept {
    /// Whose.
    pub role: Role,
    /// The capability.
    pub capability: Capability,
    /// What for.
    pub why: &'static str,
}

const fn kept(role: Role, capability: Capability, why: &'static str) -> Kept {
    Kept { role, capability, why }
}

/// Everything that is kept; the rest goes: loading (`PERFMON`, `NET_ADMIN`), reading `/proc` of others (`SYS_PTRACE`,
/// `DAC_READ_SEARCH`), becoming the command's user (`SETUID`, `SETGID`), and what root has besides.
pub const KEPT: &[Kept] = &[
    kept(Role::Reader, Capability::CAP_BPF, "rings of CPUs that come online later, filters that change"),
    kept(Role::Replay, Capability::CAP_DAC_READ_SEARCH, "the recording of another user"),
    kept(Role::Signals { command: true }, Capability::CAP_KILL, "passing signals on to the command of another user"),
    kept(Role::Helper, Capability::CAP_DAC_READ_SEARCH, "the configuration and secrets of others"),
    kept(Role::Helper, Capability::CAP_DAC_OVERRIDE, "new directories in those of others"),
    kept(Role::Helper, Capability::CAP_CHOWN, "new directories for the user who called sudo"),
    kept(Role::Helper, Capability::CAP_SETUID, "doing it as the user whose directory it is"),
    kept(Role::Helper, Capability::CAP_SETGID, "doing it as the user whose directory it is"),
];

/// A right could not be given up.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// A set of capabilities.
    #[error("cannot reduce capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    /// no_new_privs.
    #[error("cannot set no_new_privs: {0}")]
    NoNewPrivileges(rustix::io::Errno),
}

/// Reduces this thread to what its role keeps, clears what could be inherited, and forbids to gain anything again. Returns
/// the capabilities that are left.
///
/// # Errors
/// When the kernel refuses; then rights are as they were, or fewer.
pub fn drop_rights(role: Role) -> Result<CapsHashSet, PrivilegeError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let left = remaining(&permitted, role);
    if matches!(role, Role::Files | Role::Replay) {
        work_for(Caller::of_process());
    }
    rustix::thread::clear_ambient_capability_set().map_err(PrivilegeError::NoNewPrivileges)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &left)?;
    caps::set(None, CapSet::Permitted, &left)?;
    rustix::thread::set_no_new_privs(true).map_err(PrivilegeError::NoNewPrivileges)?;
    Ok(left)
}

/// Gives this thread the caller's ids as its effective ones; its file-system ids stay root's. Where it may not, the caller's
/// directories are written as root, as far as their mode allows it.
fn work_for(caller: Option<Caller>) {
    let Some(Caller { uid, gid }) = caller else { return };
    let set = || {
        set_thread_res_gid(None::<Gid>, Some(Gid::from_raw(gid)), None::<Gid>)?;
        set_thread_res_uid(None::<Uid>, Some(Uid::from_raw(uid)), None::<Uid>)
    };
    if let Err(error) = set() {
        tracing::debug!("files are not written as the user who called sudo: {error}");
    }
    // The effective ids took these with them.
    setfsgid(nix::unistd::Gid::from_raw(0));
    setfsuid(nix::unistd::Uid::from_raw(0));
}

/// Runs `start` where rights are given up already: the threads that it starts inherit what the role keeps.
///
/// # Errors
/// When the kernel refuses to reduce them.
pub fn start_as<T: Send>(role: Role, start: impl FnOnce() -> T + Send) -> Result<T, PrivilegeError> {
    thread::scope(|scope| {
        let reduced = scope.spawn(|| drop_rights(role).map(|_| start()));
        reduced.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// For threads that only wait: gives up what they have. Where the kernel refuses, they have it and do not use it.
pub fn give_up_all() {
    if let Err(error) = drop_rights(Role::Confined) {
        tracing::debug!("a thread keeps rights that it does not need: {error}");
    }
}

/// Whether this thread has a right that a role keeps.
pub fn has_any(role: Role) -> bool {
    let permitted = caps::read(None, CapSet::Permitted).unwrap_or_default();
    !remaining(&permitted, role).is_empty()
}

fn remaining(permitted: &CapsHashSet, role: Role) -> CapsHashSet {
    let wanted = KEPT.iter().filter(|kept| kept.role == role).map(|kept| kept.capability);
    let mut left: CapsHashSet = wanted.filter(|capability| permitted.contains(capability)).collect();
    // Container engines that do not know CAP_BPF grant the older right, which includes it.
    let is_older = !permitted.contains(&Capability::CAP_BPF) && permitted.contains(&Capability::CAP_SYS_ADMIN);
    if role == Role::Reader && is_older {
        left.insert(Capability::CAP_SYS_ADMIN);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::{
        CAP_BPF, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_KILL, CAP_PERFMON, CAP_SETUID, CAP_SYS_ADMIN,
    };

    fn set(capabilities: &[Capability]) -> CapsHashSet {
        capabilities.iter().copied().collect()
    }

    #[test]
    fn only_what_is_needed_and_was_there_is_left() {
        let all = [
            CAP_BPF,
            CAP_PERFMON,
            CAP_CHOWN,
            CAP_DAC_OVERRIDE,
            CAP_DAC_READ_SEARCH,
            CAP_KILL,
            CAP_SETUID,
            CAP_SYS_ADMIN,
        ];
        for (permitted, role, left) in [
            (&all[..], Role::Reader, vec![CAP_BPF]),
            (&all, Role::Files, vec![]),
            (&[CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH], Role::Replay, vec![CAP_DAC_READ_SEARCH]),
            (&all, Role::Signals { command: false }, vec![]),
            (&all, Role::Signals { command: true }, vec![CAP_KILL]),
            (&all, Role::Helper, vec![CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SETUID]),
            (&all, Role::Confined, vec![]),
            (&[CAP_BPF], Role::Signals { command: true }, vec![]),
            (&[CAP_SYS_ADMIN, CAP_SETUID], Role::Reader, vec![CAP_SYS_ADMIN]),
            (&[CAP_SYS_ADMIN, CAP_SETUID], Role::Files, vec![]),
            (&[], Role::Reader, vec![]),
        ] {
            assert_eq!(remaining(&set(permitted), role), set(&left), "{permitted:?} {role:?}");
        }
    }

    #[test]
    fn a_thread_that_gave_rights_up_cannot_use_them_any_more() {
        // Capabilities are per thread: the other tests keep theirs.
        let (before, left) = std::thread::spawn(|| {
            let before = caps::read(None, CapSet::Permitted).expect("readable");
            let left = drop_rights(Role::Reader).expect("dropping is always allowed");
            for set in [CapSet::Effective, CapSet::Permitted] {
                assert_eq!(caps::read(None, set).expect("readable"), left);
            }
            for set in [CapSet::Inheritable, CapSet::Ambient] {
                assert!(caps::read(None, set).expect("readable").is_empty());
            }
            assert!(rustix::thread::no_new_privs().expect("readable"));
            assert!(caps::raise(None, CapSet::Effective, CAP_SETUID).is_err());
            (before, left)
        })
        .join()
        .expect("the thread ends well");
        assert!(left.is_subset(&before) && !left.contains(&CAP_SETUID));
    }

    #[test]
    fn a_thread_that_writes_files_works_for_root_and_for_the_caller_and_for_nobody_else() {
        if !rustix::process::geteuid().is_root() {
            weir_tests::skip::skipped("ids of two users", "only root can have them");
            return;
        }
        let work = || {
            work_for(Some(Caller { uid: 2_001, gid: 2_002 }));
            caps::clear(None, CapSet::Permitted).expect("dropping is always allowed");
            let became = |uid: u32| {
                setfsuid(nix::unistd::Uid::from_raw(uid));
                // The call never fails: asking again says what became of it.
                setfsuid(nix::unistd::Uid::from_raw(u32::MAX)).as_raw() == uid
            };
            let of_group = |gid: u32| {
                setfsgid(nix::unistd::Gid::from_raw(gid));
                setfsgid(nix::unistd::Gid::from_raw(u32::MAX)).as_raw() == gid
            };
            let uids = [0, 2_001, 0, 2_003, 2_001].map(became);
            (uids, [2_002, 2_003, 0].map(of_group))
        };
        let (uids, gids) = thread::spawn(work).join().expect("it ends well");
        assert_eq!((uids, gids), ([true, true, true, false, true], [true, false, true]));
    }
}

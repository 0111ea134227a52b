//! Gives up every right that is not needed after the load.
//!
//! Capabilities belong to a thread and new threads inherit them: call [`drop_unneeded`] from the thread that loads, and
//! start what has to run before through [`start_reduced`]. A gate (see [`crate::command`]) is spawned earlier: it needs the right to become the user,
//! and its command may be a set-user-id program, which `no_new_privs` would break.

mod threads;

use std::thread;

use caps::{CapSet, Capability, CapsHashSet};
use thiserror::Error;

pub use threads::{ThreadRights, threads, threads_json};

/// A right that is kept.
#[derive(Debug)]
pub struct Kept {
    /// The capability.
    pub capability: Capability,
    /// What for.
    pub why: &'static str,
    /// Only while a command runs as another user.
    pub for_command: bool,
}

const fn kept(capability: Capability, why: &'static str) -> Kept {
    Kept { capability, why, for_command: false }
}

/// Everything that is kept; the rest goes: loading (`PERFMON`, `NET_ADMIN`), reading `/proc` of others (`SYS_PTRACE`,
/// `DAC_READ_SEARCH`), becoming the command's user (`SETUID`, `SETGID`), and what root has besides.
pub const KEPT: &[Kept] = &[
    kept(Capability::CAP_BPF, "rings of CPUs that come online later, and their entry in the map"),
    kept(Capability::CAP_CHOWN, "files for the user who called sudo"),
    kept(Capability::CAP_DAC_OVERRIDE, "files in that user's directories"),
    kept(Capability::CAP_FOWNER, "removing files whose directory is sticky"),
    Kept { for_command: true, ..kept(Capability::CAP_KILL, "passing signals on to the command of another user") },
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

/// Reduces this thread to [`KEPT`], clears what could be inherited, and forbids to gain anything again. Returns what is
/// left.
///
/// # Errors
/// When the kernel refuses; then rights are as they were, or fewer.
pub fn drop_unneeded(command_of_other_user: bool) -> Result<CapsHashSet, PrivilegeError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let left = remaining(&permitted, command_of_other_user);
    rustix::thread::clear_ambient_capability_set().map_err(PrivilegeError::NoNewPrivileges)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &left)?;
    caps::set(None, CapSet::Permitted, &left)?;
    rustix::thread::set_no_new_privs(true).map_err(PrivilegeError::NoNewPrivileges)?;
    Ok(left)
}

/// Runs `start` where rights are given up already: the threads that it starts inherit what is left.
///
/// # Errors
/// When the kernel refuses to reduce them.
pub fn start_reduced<T: Send>(
    command_of_other_user: bool,
    start: impl FnOnce() -> T + Send,
) -> Result<T, PrivilegeError> {
    thread::scope(|scope| {
        let reduced = scope.spawn(|| drop_unneeded(command_of_other_user).map(|_| start()));
        reduced.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn remaining(permitted: &CapsHashSet, command_of_other_user: bool) -> CapsHashSet {
    let wanted = KEPT.iter().filter(|kept| command_of_other_user || !kept.for_command).map(|kept| kept.capability);
    let mut left: CapsHashSet = wanted.filter(|capability| permitted.contains(capability)).collect();
    // Container engines that do not know CAP_BPF grant the older right, which includes it.
    if !permitted.contains(&Capability::CAP_BPF) && permitted.contains(&Capability::CAP_SYS_ADMIN) {
        left.insert(Capability::CAP_SYS_ADMIN);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::{CAP_BPF, CAP_CHOWN, CAP_KILL, CAP_PERFMON, CAP_SETUID, CAP_SYS_ADMIN};

    fn set(capabilities: &[Capability]) -> CapsHashSet {
        capabilities.iter().copied().collect()
    }

    #[test]
    fn only_what_is_needed_and_was_there_is_left() {
        for (permitted, command, left) in [
            (vec![CAP_BPF, CAP_PERFMON, CAP_CHOWN, CAP_SETUID, CAP_SYS_ADMIN], false, vec![CAP_BPF, CAP_CHOWN]),
            (vec![CAP_BPF, CAP_KILL], false, vec![CAP_BPF]),
            (vec![CAP_BPF, CAP_KILL], true, vec![CAP_BPF, CAP_KILL]),
            (vec![CAP_SYS_ADMIN, CAP_SETUID], false, vec![CAP_SYS_ADMIN]),
            (vec![], true, vec![]),
        ] {
            assert_eq!(remaining(&set(&permitted), command), set(&left), "{permitted:?}");
        }
    }

    #[test]
    fn a_thread_that_gave_rights_up_cannot_use_them_any_more() {
        // Capabilities are per thread: the other tests keep theirs.
        let (before, left) = std::thread::spawn(|| {
            let before = caps::read(None, CapSet::Permitted).expect("readable");
            let left = drop_unneeded(false).expect("dropping is always allowed");
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
}

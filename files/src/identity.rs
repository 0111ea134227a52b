//! The identity that the file system sees.

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::{Mode, Stat};

use crate::trust::Trust;

/// Whom a directory's calls run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    uid: u32,
    /// The directory's group, else the caller's: where the first cannot be had without a capability.
    gids: [u32; 2],
}

impl Identity {
    /// Whom calls in a directory run as; `None`: as whom the thread is. The caller writes his own directories, and those
    /// where everybody may write.
    pub(crate) fn of(stat: &Stat, trust: &Trust) -> Option<Identity> {
        if trust.everybody || trust.uid == 0 || !rustix::process::getuid().is_root() {
            return None;
        }
        if stat.st_uid == trust.uid {
            return Some(Identity { uid: trust.uid, gids: [stat.st_gid, trust.gid] });
        }
        let is_everybodys = Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH);
        is_everybodys.then_some(Identity { uid: trust.uid, gids: [trust.gid; 2] })
    }

    /// Who owns what is made.
    pub(crate) fn ids(&self) -> (u32, u32) {
        (self.uid, self.gids[0])
    }
}

/// While it lives, this thread has another file-system identity.
#[derive(Debug)]
pub(crate) struct Guard {
    before: Option<(Uid, Gid)>,
}

/// Takes an identity on. Where the kernel does not allow it (no CAP_SETUID, and no such real or saved id), calls run as whom
/// the thread is, and the checks of each file have to do.
pub(crate) fn assume(identity: Option<Identity>) -> Guard {
    let before = identity.map(|identity| {
        let [first, second] = identity.gids.map(Gid::from_raw);
        let gid = setfsgid(first);
        // The call never fails: asking again says what became of it.
        if setfsgid(first) != first {
            setfsgid(second);
        }
        (setfsuid(Uid::from_raw(identity.uid)), gid)
    });
    Guard { before }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((uid, gid)) = self.before {
            setfsuid(uid);
            setfsgid(gid);
        }
    }
}

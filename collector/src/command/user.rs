//! Whom the command runs as.

use nix::unistd::{Uid, User};

use super::CommandError;
use crate::host::Caller;

/// A user to become, with their primary group; the other groups come from the user database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

impl RunAs {
    /// The user who was named, else the one who called sudo, else nobody else than the caller (`None`).
    ///
    /// # Errors
    /// When the named user does not exist, or only root could become them.
    pub fn choose(named: Option<&str>, caller: Option<Caller>) -> Result<Option<RunAs>, CommandError> {
        let Some(name) = named else {
            return Ok(caller.map(|caller| RunAs { uid: caller.uid, gid: caller.gid }));
        };
        let user = look_up(name)?;
        let me = Uid::effective();
        if !me.is_root() && me != user.uid {
            return Err(CommandError::NotRoot(name.to_owned()));
        }
        let other = RunAs { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
        Ok(if me == user.uid { None } else { Some(other) })
    }
}

/// A name, or a number.
fn look_up(name: &str) -> Result<User, CommandError> {
    let found = match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    };
    found
        .map_err(|error| CommandError::Lookup(name.to_owned(), error))?
        .ok_or_else(|| CommandError::NoUser(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_who_called_sudo_is_meant_unless_another_is_named() {
        let caller = Some(Caller { uid: 1000, gid: 1000 });
        assert_eq!(RunAs::choose(None, caller).expect("no look-up"), Some(RunAs { uid: 1000, gid: 1000 }));
        assert_eq!(RunAs::choose(None, None).expect("no look-up"), None);
        let error = RunAs::choose(Some("no-such-user-here"), caller).expect_err("no such user");
        assert_eq!(error.to_string(), "no user `no-such-user-here` on this machine");
        if Uid::effective().is_root() {
            assert_eq!(RunAs::choose(Some("root"), caller).expect("root exists"), None);
            let nobody = RunAs::choose(Some("nobody"), None).expect("nobody exists").expect("another user");
            assert_eq!(nobody.uid, 65_534);
            assert_eq!(RunAs::choose(Some("65534"), None).expect("nobody exists"), Some(nobody));
        }
    }
}

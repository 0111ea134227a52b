//! Threads that answer questions: they keep no capability, see few files, and can make few system calls.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::landlock::{self, Landlock};
use super::seccomp::{self, Allowed, COMMON, SOCKETS, UNIX_CONNECTIONS};
use super::{Role, drop_rights};

/// What a confined thread still needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Its own process in `/proc`.
    proc: bool,
    /// Connections that come in.
    sockets: bool,
    /// Unix sockets of others.
    connects: bool,
}

/// The HTTP endpoints, the control socket.
pub const ANSWERS: Needs = Needs { proc: true, sockets: true, connects: false };
/// Names of containers, signs of life to the service manager.
pub const ASKS: Needs = Needs { proc: false, sockets: true, connects: true };
/// Writes to what is open.
pub const WRITES: Needs = Needs { proc: false, sockets: false, connects: false };

impl Needs {
    fn calls(self) -> Vec<&'static [Allowed]> {
        let lists = [(true, COMMON), (self.sockets, SOCKETS), (self.connects, UNIX_CONNECTIONS)];
        lists.into_iter().filter(|(needed, _)| *needed).map(|(_, list)| list).collect()
    }
}

/// What holds for a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Confined {
    landlock: Result<Landlock, String>,
    seccomp: Result<(), String>,
}

/// By name of the thread, for the status.
static CONFINED: Mutex<BTreeMap<&'static str, Confined>> = Mutex::new(BTreeMap::new());

/// Gives up what the thread that calls does not need. What the kernel does not have, or refuses, is left out: weir ran without
/// it before, and the status says so.
pub fn confine(thread: &'static str, needs: Needs) {
    let confined = restrict(needs);
    if let Err(error) = &confined.seccomp {
        tracing::debug!(thread, "system calls are not filtered: {error}");
    }
    CONFINED.lock().unwrap_or_else(PoisonError::into_inner).insert(thread, confined);
}

fn restrict(needs: Needs) -> Confined {
    if let Err(error) = drop_rights(Role::Confined) {
        let error = error.to_string();
        return Confined { landlock: Err(error.clone()), seccomp: Err(error) };
    }
    let readable: &[&Path] = if needs.proc { &[Path::new("/proc")] } else { &[] };
    Confined {
        landlock: landlock::restrict(readable).map_err(|error| error.to_string()),
        seccomp: seccomp::allow(&needs.calls()).map_err(|error| error.to_string()),
    }
}

/// What a thread of this machine can be confined by: tried in one that ends at once.
pub fn try_confinement() -> (Result<Landlock, String>, Result<(), String>) {
    let tried = std::thread::spawn(|| restrict(WRITES)).join();
    tried.map_or_else(
        |_| (Err("the thread ended badly".to_owned()), Err("the thread ended badly".to_owned())),
        |confined| (confined.landlock, confined.seccomp),
    )
}

/// For the status: what is in force, the same for all threads on one kernel.
pub fn confinement_json() -> Value {
    let confined = CONFINED.lock().unwrap_or_else(PoisonError::into_inner);
    let text = |landlock: &Result<Landlock, String>| match landlock {
        Ok(landlock) => landlock.text().to_owned(),
        Err(error) => error.clone(),
    };
    json!(confined.values().next().map(|confined| text(&confined.landlock)))
}

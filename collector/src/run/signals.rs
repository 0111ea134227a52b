//! SIGINT and SIGTERM: what they ask of weir, and of the command that it runs. SIGHUP from a process asks for a reload, as the
//! control socket does; when the terminal goes away it ends weir as SIGTERM does.
//!
//! What somebody sends to weir is passed on to its command, and weir records until the command has ended: what the command
//! does about the signal is seen too. A Ctrl-C at the terminal has reached the command already and is its own matter, as
//! under strace and sudo; weir ends when the command does. weir never sends SIGKILL.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use super::stop::Stop;
use crate::command::EXIT_SIGNAL;
use crate::control::ReloadRequest;
use crate::privilege;

/// Exit status after a second signal, as a shell shows SIGINT.
const EXIT_AT_ONCE: i32 = 130;
/// How long the command may take to end after a signal was passed on, before weir stops without it. Shorter than the
/// 10 s that container engines give, so that the files are closed in time.
const COMMAND_END_MAX: Duration = Duration::from_secs(5);
/// The same signal again within this time counts once: timeout(1) sends it to weir and then to weir's whole group.
const SAME_SIGNAL_MAX: Duration = Duration::from_millis(100);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Nothing.
    Nothing,
    /// Pass it on, and stop when the command has ended, or has not for too long.
    PassOn,
    /// Stop in order.
    Stop,
    /// Stop without the last rows, after passing it on if there is a command.
    StopAtOnce,
}

/// A signal that came before.
struct First {
    same: bool,
    since: Duration,
}

/// Decides: what came before, does a command run, did the signal come from the terminal?
fn decide(first: Option<First>, command_runs: bool, from_terminal: bool) -> Act {
    match first {
        _ if command_runs && from_terminal => Act::Nothing,
        Some(first) if first.same && first.since < SAME_SIGNAL_MAX => Act::Nothing,
        Some(_) => Act::StopAtOnce,
        None if command_runs => Act::PassOn,
        None => Act::Stop,
    }
}

/// The command, by a descriptor that stays its own when its pid is given to another.
struct Command(OwnedFd);

impl Command {
    fn has_ended_within(&self, limit: Duration) -> bool {
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
        let mut ends = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut ends, Some(&limit)).is_ok_and(|n| n > 0)
    }

    fn runs(&self) -> bool {
        !self.has_ended_within(Duration::ZERO)
    }

    fn pass_on(&self, signal: i32) {
        let Some(signal) = Signal::from_named_raw(signal) else { return };
        if let Err(error) = pidfd_send_signal(self.0.as_fd(), signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!("the signal could not be passed on to the command: {error}");
        }
    }
}

#[derive(Default)]
struct Heard {
    command: OnceLock<Command>,
    first: OnceLock<(i32, Instant)>,
}

/// Listens for signals from now on.
#[derive(Clone)]
pub struct Listener {
    heard: Arc<Heard>,
    stop: Stop,
    reloads: (Sender<ReloadRequest>, Receiver<ReloadRequest>),
}

impl Listener {
    /// The first signal asks `stop`, at once or when the command has ended; a second one ends the process. Files become
    /// visible only when whole, so none is left half-visible.
    ///
    /// # Errors
    /// When the handlers cannot be set.
    pub fn listen(stop: &Stop) -> io::Result<Listener> {
        let mut signals = SignalsInfo::<WithOrigin>::new([SIGHUP, SIGINT, SIGTERM])?;
        let listener = Listener { heard: Arc::default(), stop: stop.clone(), reloads: bounded(1) };
        let own = listener.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for origin in signals.forever() {
                let from_kernel = origin.cause == Cause::Kernel;
                if origin.signal == SIGHUP && !from_kernel {
                    let _ = own.reloads.0.try_send(ReloadRequest::default());
                } else {
                    own.hear(origin.signal, from_kernel);
                }
            }
        })?;
        Ok(listener)
    }

    /// Signals go to this command too, from now on.
    pub fn pass_on_to(&self, command: OwnedFd) {
        let _ = self.heard.command.set(Command(command));
    }

    /// Wishes for a reload. One that comes while another is under way waits; more than that are one.
    pub fn reloads(&self) -> Receiver<ReloadRequest> {
        self.reloads.1.clone()
    }

    /// Where others can wish for one.
    pub fn wishes(&self) -> Sender<ReloadRequest> {
        self.reloads.0.clone()
    }

    /// The status of a run that a signal ended and its command did not: 128 and the signal.
    pub fn status_without_end(&self) -> Option<u8> {
        let (signal, _) = self.heard.command.get().and(self.heard.first.get())?;
        u8::try_from(EXIT_SIGNAL + signal).ok()
    }

    fn hear(&self, signal: i32, from_terminal: bool) {
        let command = self.heard.command.get().filter(|command| command.runs());
        let first = self.heard.first.get().map(|(first, at)| First { same: *first == signal, since: at.elapsed() });
        let act = decide(first, command.is_some(), from_terminal);
        if act == Act::Nothing {
            return;
        }
        self.heard.first.get_or_init(|| (signal, Instant::now()));
        if let Some(command) = command {
            command.pass_on(signal);
        }
        match act {
            Act::PassOn => self.stop_without_command_later(),
            Act::StopAtOnce => {
                tracing::warn!("second signal: stopping at once, without the last rows");
                std::process::exit(EXIT_AT_ONCE);
            }
            Act::Stop | Act::Nothing => self.stop.ask(),
        }
    }

    /// The end of the command asks by itself; this is for one that does not end.
    fn stop_without_command_later(&self) {
        let own = self.clone();
        let wait = move || {
            privilege::give_up_all();
            if own.heard.command.get().is_some_and(|command| !command.has_ended_within(COMMAND_END_MAX)) {
                tracing::warn!("the command still runs {COMMAND_END_MAX:?} after the signal: stopping without it");
                own.stop.ask();
            }
        };
        if thread::Builder::new().name("patience".into()).spawn(wait).is_err() {
            self.stop.ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_judged_by_what_runs_by_its_sender_and_by_what_came_before() {
        const LATER: Duration = Duration::from_secs(1);
        let same = |since| Some(First { same: true, since });
        let other = |since| Some(First { same: false, since });
        for (case, first, command_runs, from_terminal, act) in [
            ("first, nothing runs", None, false, false, Act::Stop),
            ("first, nothing runs, terminal", None, false, true, Act::Stop),
            ("first, a command runs", None, true, false, Act::PassOn),
            ("first, a command runs, terminal", None, true, true, Act::Nothing),
            ("at once again", same(Duration::ZERO), false, false, Act::Nothing),
            ("at once again, a command runs", same(Duration::ZERO), true, false, Act::Nothing),
            ("another at once", other(Duration::ZERO), true, false, Act::StopAtOnce),
            ("later again", same(LATER), false, false, Act::StopAtOnce),
            ("later again, terminal", same(LATER), false, true, Act::StopAtOnce),
            ("later again, a command runs", same(LATER), true, false, Act::StopAtOnce),
            ("later again, a command runs, terminal", same(LATER), true, true, Act::Nothing),
        ] {
            assert_eq!(decide(first, command_runs, from_terminal), act, "{case}");
        }
    }
}

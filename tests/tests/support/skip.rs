//! A test that cannot run says so in words that the runner counts.

use std::fmt::Display;
use std::io::Write;
use std::process::{Command, Stdio};

/// Prints why this part of the test did not run. It goes past the harness's capture, so that it is always seen.
pub fn skip(what: impl Display, reason: impl Display) {
    weir_tests::skip::skipped(&what.to_string(), &reason.to_string());
}

/// Prints a number that people want to see although no test depends on it.
#[expect(clippy::disallowed_methods, reason = "past the harness's capture; no foreign text")]
pub fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// Whether this is root; if not, says that the test needs it.
pub fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(what, "loading probes needs root");
    }
    root
}

/// Whether a program can be started; if not, says so.
pub fn has(what: &str, program: &str, probe: &str) -> bool {
    let started = Command::new(program).arg(probe).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if started.is_err() {
        skip(what, format_args!("{program} is not installed"));
    }
    started.is_ok()
}

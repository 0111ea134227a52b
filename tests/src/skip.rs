//! Tests that cannot run on this machine say so where libtest's capture does not hide it.

use std::io::Write;

/// Prints the line that `./x test` counts.
pub fn skipped(what: &str, reason: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}: {reason}").expect("stderr is open");
}

/// Whether this is a virtual machine of the tests, where a test may do what would harm a host.
pub fn in_vm() -> bool {
    std::env::var_os("WEIR_IN_VM").is_some_and(|v| v == "1")
}

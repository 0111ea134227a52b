//! Tests that cannot run on this machine say so where libtest's capture does not hide it.

use std::io::Write;

/// Prints the line that `./x test` counts.
#[expect(clippy::disallowed_methods, reason = "past the harness's capture; no foreign text")]
pub fn skipped(what: &str, reason: &str) {
    // One write, else libtest's own lines get in between.
    let line = format!("SKIPPED: {what}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
}

/// Whether this is a virtual machine of the tests, where a test may do what would harm a host.
pub fn in_vm() -> bool {
    std::env::var_os("WEIR_IN_VM").is_some_and(|v| v == "1")
}

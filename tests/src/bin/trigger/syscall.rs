//! Class syscall: the calls that the loop over the actions asks for, getppid and openat.

use serde_json::json;

use crate::call::*;
use crate::facts::step;

/// All of it.
pub fn run() {
    step("syscall.call", "", "without arguments").sys(
        libc::SYS_getppid,
        &[],
        |_| json!({"nr": libc::SYS_getppid, "syscall": "getppid", "compat": false}),
    );
    let path = c("/no/such/file");
    let directory = i64::from(libc::AT_FDCWD);
    step("syscall.call", "", "with a text and flags").sys(libc::SYS_openat, &[directory as usize, p(&path), 0o101, 0o640], |_| {
        json!({"nr": libc::SYS_openat, "syscall": "openat", "compat": false, "arg0": directory, "arg1": p(&path),
            "arg2": 0o101, "arg3": 0o640, "args_text": "dfd=AT_FDCWD filename=\"/no/such/file\" flags=O_WRONLY|O_CREAT mode=0640"})
    });
}

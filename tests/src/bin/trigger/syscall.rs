//! Class syscall: the calls that the loop over the actions asks for, getppid and openat.

use serde_json::json;

use crate::call::*;
use crate::facts::step;

/// A number that no kernel has, and that will not be given to a call for decades.
const UNUSED: i64 = 900;

/// A call that no table names.
pub fn run_unnamed() {
    step("syscall.call", "", "without a name").sys(UNUSED, &[1, 2, 3, 4, 5, 6], |_| {
        json!({"nr": UNUSED, "syscall": null, "compat": false, "args_text": null, "arg0": 1, "arg1": 2, "arg2": 3, "arg3": 4,
            "arg4": 5, "arg5": 6})
    });
    step("syscall.call", "", "with a name").sys(
        libc::SYS_getppid,
        &[],
        |_| json!({"nr": libc::SYS_getppid, "syscall": "getppid", "compat": false}),
    );
}

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

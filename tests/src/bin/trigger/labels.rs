//! Attempts that filters tell apart: each a mkdir whose last name is its label.

use crate::call::*;

/// The user of label `user`.
const USER: usize = 12345;

fn attempt(path: &str) {
    let text = c(path);
    call(libc::SYS_mkdirat, &[libc::AT_FDCWD as usize, p(&text), 0o700]);
}

fn failing(label: &str) {
    attempt(&format!("/no/such/{label}"));
}

fn join_cgroup() {
    let Some(directory) = std::env::var_os("TRIGGER_CGROUP") else { return };
    checked_child(|| {
        let procs = std::path::Path::new(&directory).join("cgroup.procs");
        std::fs::write(procs, std::process::id().to_string()).expect("the cgroup takes a process");
        failing("cgroup");
    });
}

/// All of it.
pub fn run() {
    failing("plain");
    attempt("succeeded");
    checked_child(|| {
        must(libc::SYS_setresuid, &[USER, USER, USER]);
        failing("user");
    });
    checked_child(|| {
        must(libc::SYS_prctl, &[libc::PR_SET_NAME as usize, p(&c("labelled"))]);
        failing("comm");
    });
    checked_child(|| {
        must(libc::SYS_unshare, &[libc::CLONE_NEWPID as usize]);
        checked_child(|| failing("container"));
    });
    join_cgroup();
    attempt("/no/such/area/in");
    attempt("/no/such/area/../area/in-by-dots");
    attempt("/no/such/other/../area//./in-by-more-dots");
    attempt("/no/such/area/../other/out-by-dots");
    attempt("/no/such/area-not/out");
    call(libc::SYS_getppid, &[]);
    // A socket's bytes, which are only recorded on request.
    let socket = must(libc::SYS_socket, &[libc::AF_INET as usize, libc::SOCK_DGRAM as usize, 0]) as usize;
    call(libc::SYS_sendto, &[socket, at("x"), 1, 0, 0, 0]);
    let version = std::fs::read("/proc/version").expect("the kernel's version");
    assert!(!version.is_empty(), "a text");
}

/// Waits for lines on stdin; each is a label, tried by this process and by a child of it.
pub fn obey() {
    for line in std::io::stdin().lines() {
        let label = line.expect("a line");
        failing(&label);
        checked_child(|| failing(&format!("{label}-child")));
        println!("{label}");
    }
}

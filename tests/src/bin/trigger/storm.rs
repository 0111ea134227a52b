//! A storm of forks that writes about itself: every process tries to open `/no/such/storm/OWN/CREATOR`.

use crate::call::*;

/// Every third child has one of its own, and ends before that one acts.
const ORPHANS_EVERY: usize = 3;
/// How long an orphan waits to be one.
const ORPHANED_AFTER: std::time::Duration = std::time::Duration::from_millis(2);

fn say(own: &str, creator: &str) {
    let path = c(format!("/no/such/storm/{own}/{creator}"));
    call(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&path), 0]);
}

fn fork(work: impl FnOnce()) {
    match call(libc::SYS_clone, &[libc::SIGCHLD as usize, 0, 0, 0, 0]) {
        0 => {
            work();
            exit_now(0);
        }
        pid => assert!(pid > 0, "fork: {}", error_name(pid)),
    }
}

/// `storm N`: N children, one after the other.
pub fn run(children: usize) {
    // Orphans come to this process, which waits for them.
    must(libc::SYS_prctl, &[libc::PR_SET_CHILD_SUBREAPER as usize, 1, 0, 0, 0]);
    say("root", "none");
    for i in 0..children {
        let own = i.to_string();
        fork(|| {
            say(&own, "root");
            if i % ORPHANS_EVERY == 0 {
                fork(|| {
                    std::thread::sleep(ORPHANED_AFTER);
                    say(&format!("{own}-orphan"), &own);
                });
            }
        });
        reap(libc::WNOHANG);
        if i % 64 == 0 {
            reap(0);
        }
    }
    reap(0);
}

/// Waits for whoever has ended; without WNOHANG until nobody is left.
fn reap(options: i32) {
    while call(libc::SYS_wait4, &[usize::MAX, 0, options as usize, 0]) > 0 {}
}

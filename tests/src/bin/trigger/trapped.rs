//! Calls that never run: a signal takes their place, and their result is what stood in the register before.

use std::os::raw::c_long;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::json;

use crate::call::*;
use crate::rules::note;

const AT_FDCWD: usize = libc::AT_FDCWD as usize;
/// A descriptor that is also what a call that never ran would leave: its number, or its first argument.
const FORGED: i64 = libc::SYS_openat;
const PATH: &str = "/no/such/trapped";

/// Whether calls are dispatched to the program itself.
static DISPATCHED: AtomicU8 = AtomicU8::new(0);

extern "C" fn go_on(_signal: i32) {
    DISPATCHED.store(0, Ordering::Relaxed);
}

/// Lets seccomp answer these calls with an action; all others run.
pub fn filter_calls(numbers: &[c_long], action: u32) {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: usize,
    }
    let statement = |code: u16, jt: u8, jf: u8, k: u32| {
        u64::from(code) | u64::from(jt) << 16 | u64::from(jf) << 24 | u64::from(k) << 32
    };
    let mut filter = vec![statement(0x20, 0, 0, 0)]; // load the number
    for (i, number) in numbers.iter().enumerate() {
        let to_action = (numbers.len() - i) as u8;
        filter.push(statement(0x15, to_action, 0, *number as u32));
    }
    filter.push(statement(0x06, 0, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(0x06, 0, 0, action));
    let program = Program { length: filter.len() as u16, filter: at(&filter[..]) };
    must(libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0]);
    must(libc::SYS_seccomp, &[libc::SECCOMP_SET_MODE_FILTER as usize, 0, at(&program)]);
}

fn handle_sigsys() {
    // SAFETY: `action` is a whole struct of zeros but for what is set, and the handler stores one byte.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = go_on as *const () as usize;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(set, 0, "a handler");
}

fn attempts() -> [(c_long, Vec<usize>); 7] {
    let path = c(PATH).into_raw() as usize;
    let address: &'static [u8; 16] = &[2, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    [
        (libc::SYS_openat, vec![AT_FDCWD, path, 0, 0]),
        (libc::SYS_unlinkat, vec![AT_FDCWD, path, 0]),
        (libc::SYS_mkdirat, vec![AT_FDCWD, path, 0o700]),
        (libc::SYS_connect, vec![0, at(address), 16]),
        (libc::SYS_setuid, vec![0]),
        (libc::SYS_kill, vec![std::process::id() as usize, 0]),
        (libc::SYS_getppid, vec![]),
    ]
}

/// What a call leaves that never ran: the register as it was.
fn unchanged(number: c_long, arguments: &[usize]) -> i64 {
    if cfg!(target_arch = "aarch64") { arguments.first().map_or(0, |first| *first as i64) } else { number }
}

/// Each is refused, and the program goes on behind it.
fn by_seccomp() {
    let pid = checked_child(|| {
        handle_sigsys();
        let attempts = attempts();
        let numbers: Vec<c_long> = attempts.iter().map(|(number, _)| *number).collect();
        filter_calls(&numbers, libc::SECCOMP_RET_TRAP);
        for (number, arguments) in &attempts {
            assert_eq!(call(*number, arguments), unchanged(*number, arguments));
        }
    });
    note("trapped", json!({"pid": pid, "path": PATH}));
}

/// The program ends with the call.
fn by_death() {
    let pids: Vec<i32> = [libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_KILL_THREAD]
        .into_iter()
        .map(|action| {
            let (pid, status) = in_child(|| {
                filter_calls(&[libc::SYS_mkdirat], action);
                call(libc::SYS_mkdirat, &[AT_FDCWD, p(&c(PATH)), 0o700]);
            });
            assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS, "{status}");
            pid
        })
        .collect();
    note("killed", json!({"pids": pids, "path": PATH}));
}

/// The program itself gets the call, of which nobody else knows what it is.
fn by_dispatch() {
    const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
    let pid = checked_child(|| {
        handle_sigsys();
        if call(libc::SYS_prctl, &[PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, at(&DISPATCHED)]) < 0 {
            return; // not every architecture has it
        }
        let path = c(PATH);
        let arguments = [AT_FDCWD, p(&path), 0o700];
        DISPATCHED.store(1, Ordering::Relaxed);
        assert_eq!(call(libc::SYS_mkdirat, &arguments), unchanged(libc::SYS_mkdirat, &arguments));
    });
    note("dispatched", json!({"pid": pid}));
}

/// A descriptor that has the number of the call, with a signal of its own making that waits: this one ran.
fn forged() {
    let pid = checked_child(|| {
        #[repr(C, align(8))]
        struct Info([i32; 32]);
        let mut info = Info([0; 32]);
        (info.0[0], info.0[2]) = (libc::SIGSYS, 1);
        let blocked = 1u64 << (libc::SIGSYS - 1);
        must(libc::SYS_rt_sigprocmask, &[libc::SIG_BLOCK as usize, at(&blocked), 0, 8]);
        let me = std::process::id() as usize;
        must(libc::SYS_rt_tgsigqueueinfo, &[me, me, libc::SIGSYS as usize, at(&info)]);
        // With a filter that lets everything run.
        filter_calls(&[], libc::SECCOMP_RET_TRAP);
        while must(libc::SYS_dup, &[0]) < FORGED - 1 {}
        let ret = call(libc::SYS_openat, &[FORGED as usize, p(&c("/dev/null")), 0, 0]);
        assert_eq!(ret, FORGED, "the result is what stood in the register");
    });
    note("forged", json!({"pid": pid, "path": "/dev/null", "ret": FORGED}));
}

/// All of it.
pub fn run() {
    by_seccomp();
    by_death();
    by_dispatch();
    forged();
}

//! System calls by number, with the kernel's own result.

use std::ffi::CString;

pub use libc::c_long;

/// Makes the call; returns what the kernel returned, `-errno` on failure.
///
/// Pointers among the arguments are the caller's business: it keeps what they point to alive.
pub fn call(number: c_long, arguments: &[usize]) -> i64 {
    let a = |i: usize| arguments.get(i).copied().unwrap_or(0);
    // SAFETY: callers pass pointers to memory of their own that outlives the call, or numbers.
    let ret = unsafe { libc::syscall(number, a(0), a(1), a(2), a(3), a(4), a(5)) };
    if ret == -1 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { ret }
}

/// Makes a call that must succeed.
pub fn must(number: c_long, arguments: &[usize]) -> i64 {
    let ret = call(number, arguments);
    assert!(ret >= 0, "system call {number} failed: {}", error_name(ret));
    ret
}

/// A text for the kernel.
pub fn c(text: impl AsRef<[u8]>) -> CString {
    CString::new(text.as_ref()).expect("no NUL inside")
}

/// Address of a value, as an argument.
pub fn at<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>() as usize
}

/// Address of a text, as an argument.
pub fn p(text: &CString) -> usize {
    text.as_ptr() as usize
}

/// CLOCK_BOOTTIME in ns.
pub fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes.
    let ret = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert_eq!(ret, 0, "clock");
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// errno name of a negative result, from the schema's table.
pub fn error_name(ret: i64) -> String {
    weir_schema::errno::errno_name(i32::try_from(-ret).unwrap_or(0)).unwrap_or("?").to_owned()
}

/// Runs `work` in a child of its own and returns the child's wait status. A panic there ends it with 101.
pub fn in_child(work: impl FnOnce()) -> (i32, i32) {
    // SAFETY: the program has a single thread here, so the child may do anything.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        exit_now(if outcome.is_ok() { 0 } else { 101 });
    }
    (pid, wait(pid))
}

/// Like [`in_child`], for work that must not panic.
pub fn checked_child(work: impl FnOnce()) -> i32 {
    let (pid, status) = in_child(work);
    assert_eq!(status, 0, "a child failed");
    pid
}

/// Waits for a child and returns its wait status.
pub fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    let ret = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(ret, pid, "waitpid");
    status
}

/// Ends the process without running anything of Rust's or C's.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(code) }
}

/// Closes a descriptor.
pub fn close(fd: i64) {
    must(libc::SYS_close, &[fd as usize]);
}

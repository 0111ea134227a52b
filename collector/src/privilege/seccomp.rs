//! Filters of system calls: a list of what a thread needs, and everything else is refused with EPERM.
//!
//! EPERM, not a signal: a library that tries something new fails where it tries it, and weir goes on.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// A system call, and which of its arguments are let through: all of these hold.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Its number on this architecture.
    pub call: i64,
    /// Conditions on 32-bit arguments; none: every call.
    pub only: &'static [Only],
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy)]
pub enum Only {
    /// Argument, and the value that it has.
    Is(u8, u32),
    /// Argument, and bits that it does not have.
    Without(u8, u32),
}

/// A call with any arguments.
pub const fn any(call: i64) -> Allowed {
    Allowed { call, only: &[] }
}

/// Bits of `open` that change something.
const OPEN_TO_CHANGE: u32 = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND) as u32;

/// What every thread needs: memory that is no code, time, locks, what is open already, reading files.
pub const COMMON: &[Allowed] = &[
    any(libc::SYS_read),
    any(libc::SYS_readv),
    any(libc::SYS_write),
    any(libc::SYS_writev),
    any(libc::SYS_lseek),
    any(libc::SYS_close),
    any(libc::SYS_fstat),
    any(libc::SYS_newfstatat),
    any(libc::SYS_statx),
    any(libc::SYS_getdents64),
    any(libc::SYS_readlinkat),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_readlink),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_stat),
    Allowed { call: libc::SYS_openat, only: &[Only::Without(2, OPEN_TO_CHANGE)] },
    any(libc::SYS_fcntl),
    Allowed { call: libc::SYS_ioctl, only: &[Only::Is(1, libc::FIONBIO as u32)] },
    Allowed { call: libc::SYS_ioctl, only: &[Only::Is(1, libc::TCGETS as u32)] },
    Allowed { call: libc::SYS_ioctl, only: &[Only::Is(1, libc::TIOCGWINSZ as u32)] },
    Allowed { call: libc::SYS_mmap, only: &[Only::Without(2, libc::PROT_EXEC as u32)] },
    Allowed { call: libc::SYS_mprotect, only: &[Only::Without(2, libc::PROT_EXEC as u32)] },
    any(libc::SYS_munmap),
    any(libc::SYS_mremap),
    any(libc::SYS_madvise),
    any(libc::SYS_brk),
    any(libc::SYS_futex),
    any(libc::SYS_sched_yield),
    any(libc::SYS_sched_getaffinity),
    any(libc::SYS_nanosleep),
    any(libc::SYS_clock_nanosleep),
    any(libc::SYS_clock_gettime),
    any(libc::SYS_gettimeofday),
    any(libc::SYS_getrandom),
    any(libc::SYS_getpid),
    any(libc::SYS_gettid),
    any(libc::SYS_getuid),
    any(libc::SYS_geteuid),
    any(libc::SYS_uname),
    Allowed { call: libc::SYS_prctl, only: &[Only::Is(0, libc::PR_SET_NAME as u32)] },
    any(libc::SYS_rseq),
    any(libc::SYS_set_robust_list),
    any(libc::SYS_sigaltstack),
    any(libc::SYS_rt_sigaction),
    any(libc::SYS_rt_sigprocmask),
    any(libc::SYS_rt_sigreturn),
    any(libc::SYS_restart_syscall),
    any(libc::SYS_tgkill),
    any(libc::SYS_exit),
    any(libc::SYS_exit_group),
];

/// Waiting for, and talking over, sockets that are open or come in.
pub const SOCKETS: &[Allowed] = &[
    any(libc::SYS_epoll_create1),
    any(libc::SYS_epoll_ctl),
    any(libc::SYS_epoll_pwait),
    any(libc::SYS_epoll_pwait2),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_epoll_wait),
    any(libc::SYS_eventfd2),
    any(libc::SYS_ppoll),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_poll),
    any(libc::SYS_accept4),
    any(libc::SYS_recvfrom),
    any(libc::SYS_recvmsg),
    any(libc::SYS_sendto),
    any(libc::SYS_sendmsg),
    any(libc::SYS_shutdown),
    any(libc::SYS_getsockopt),
    any(libc::SYS_setsockopt),
    any(libc::SYS_getsockname),
    any(libc::SYS_getpeername),
];

/// Connections to Unix sockets.
pub const UNIX_CONNECTIONS: &[Allowed] =
    &[Allowed { call: libc::SYS_socket, only: &[Only::Is(0, libc::AF_UNIX as u32)] }, any(libc::SYS_connect)];

/// A filter that was not put in force.
#[derive(Debug, thiserror::Error)]
#[error("filter system calls: {0}")]
pub struct SeccompError(#[from] seccompiler::Error);

impl From<seccompiler::BackendError> for SeccompError {
    fn from(error: seccompiler::BackendError) -> SeccompError {
        SeccompError(error.into())
    }
}

/// From now on this thread, and those that it starts, can only do what stands in the lists. It cannot be undone.
///
/// # Errors
/// The kernel has no filters, or this architecture is not known.
pub fn allow(lists: &[&[Allowed]]) -> Result<(), SeccompError> {
    apply_filter(&program(lists)?)?;
    Ok(())
}

fn program(lists: &[&[Allowed]]) -> Result<BpfProgram, SeccompError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for allowed in lists.iter().copied().flatten() {
        let of_call = rules.entry(allowed.call).or_default();
        if !allowed.only.is_empty() {
            let conditions = allowed.only.iter().map(|only| condition(*only)).collect::<Result<Vec<_>, _>>()?;
            of_call.push(SeccompRule::new(conditions)?);
        }
    }
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?)
}

fn condition(only: Only) -> Result<SeccompCondition, seccompiler::BackendError> {
    let (argument, operator, value) = match only {
        Only::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
        Only::Without(argument, bits) => (argument, SeccompCmpOp::MaskedEq(u64::from(bits)), 0),
    };
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, u64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::TcpStream;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread;

    #[test]
    fn a_filtered_thread_reads_and_can_neither_write_files_nor_start_anything() {
        let scratch = tempfile::tempdir().expect("a directory");
        let file = scratch.path().join("file");
        fs::write(&file, "text").expect("written");
        let socket = scratch.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        let filtered = move |lists: &'static [&'static [Allowed]]| {
            let (file, socket) = (file.clone(), socket.clone());
            let act = move || {
                rustix::thread::set_no_new_privs(true).expect("always allowed");
                allow(lists).expect("this kernel has filters");
                let kind = |result: std::io::Result<()>| result.map_err(|error| error.kind());
                assert_eq!(fs::read(&file).expect("readable"), b"text");
                let refused = Err(ErrorKind::PermissionDenied);
                assert_eq!(kind(File::create(file.with_file_name("new")).map(drop)), refused);
                assert_eq!(kind(File::options().append(true).open(&file).map(drop)), refused);
                assert_eq!(kind(fs::remove_file(&file)), refused);
                assert_eq!(kind(TcpStream::connect("127.0.0.1:1").map(drop)), refused);
                assert_eq!(kind(std::process::Command::new("true").status().map(drop)), refused);
                kind(UnixStream::connect(&socket).map(drop))
            };
            thread::spawn(act).join().expect("it ends well")
        };
        assert_eq!(filtered(&[COMMON, SOCKETS]), Err(ErrorKind::PermissionDenied));
        assert_eq!(filtered(&[COMMON, SOCKETS, UNIX_CONNECTIONS]), Ok(()));
        assert!(
            !fs::exists(scratch.path().join("new")).expect("to see")
                && File::create(scratch.path().join("own")).is_ok()
        );
    }
}

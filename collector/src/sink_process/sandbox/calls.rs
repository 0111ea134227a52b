//! The filter of system calls.

use std::collections::BTreeMap;

use rustix::process::getpid;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The architecture, by the crate's names.
#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// Whatever their arguments are.
const ALWAYS: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_membarrier,
    // Threads, waiting and time.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Who and where.
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
    // Files that are open, or are read.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fadvise64,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    // Sockets, once there are.
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    // The second half of this filter.
    libc::SYS_seccomp,
];

/// The older forms of some, which arm64 does not have.
#[cfg(target_arch = "x86_64")]
const ALWAYS_OLDER: &[i64] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_eventfd,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_OLDER: &[i64] = &[];

/// An argument is this value.
fn is(argument: u8, value: u64) -> Result<SeccompCondition, Error> {
    Ok(SeccompCondition::new(argument, Len::Dword, Op::Eq, value)?)
}

/// An argument has none of these bits.
fn lacks(argument: u8, bits: u64) -> Result<SeccompCondition, Error> {
    Ok(SeccompCondition::new(argument, Len::Dword, Op::MaskedEq(bits), 0)?)
}

/// An argument has these bits.
fn has(argument: u8, bits: u64) -> Result<SeccompCondition, Error> {
    Ok(SeccompCondition::new(argument, Len::Dword, Op::MaskedEq(bits), bits)?)
}

/// A call is allowed if one of these holds.
fn allow(rules: &mut Rules, call: i64, any: Vec<SeccompCondition>) -> Result<(), Error> {
    let any: Result<Vec<_>, _> = any.into_iter().map(|condition| SeccompRule::new(vec![condition])).collect();
    rules.entry(call).or_default().extend(any?);
    Ok(())
}

/// What is allowed only with some arguments.
fn sometimes(rules: &mut Rules) -> Result<(), Error> {
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    let writes = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;
    let (write, exec) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
    allow(rules, libc::SYS_openat, vec![lacks(2, writes)?])?;
    #[cfg(target_arch = "x86_64")]
    allow(rules, libc::SYS_open, vec![lacks(1, writes)?])?;
    // Resolvers load their modules; nothing that was written is run.
    allow(rules, libc::SYS_mmap, vec![lacks(2, exec)?, lacks(2, write)?])?;
    allow(rules, libc::SYS_mprotect, vec![lacks(2, exec)?])?;
    // Threads, and no processes.
    allow(rules, libc::SYS_clone, vec![has(0, libc::CLONE_THREAD as u64)?])?;
    let families = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let families: Result<Vec<_>, _> = families.into_iter().map(|family| is(0, family as u64)).collect();
    allow(rules, libc::SYS_socket, families?)?;
    let requests = [libc::FIONBIO, libc::FIONREAD, libc::TIOCOUTQ];
    let requests: Result<Vec<_>, _> = requests.into_iter().map(|request| is(1, request)).collect();
    allow(rules, libc::SYS_ioctl, requests?)?;
    // Names of threads and of memory; and what only takes away.
    let options = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_NO_NEW_PRIVS, libc::PR_SET_VMA];
    let options: Result<Vec<_>, _> = options.into_iter().map(|option| is(0, option as u64)).collect();
    allow(rules, libc::SYS_prctl, options?)?;
    // An abort is a signal to oneself; limits are asked and not set.
    allow(rules, libc::SYS_tgkill, vec![is(0, own)?])?;
    allow(rules, libc::SYS_prlimit64, vec![SeccompCondition::new(2, Len::Qword, Op::Eq, 0)?])
}

fn allowed() -> Result<BpfProgram, Error> {
    let mut rules: Rules = ALWAYS.iter().chain(ALWAYS_OLDER).map(|call| (*call, vec![])).collect();
    sometimes(&mut rules)?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    Ok(SeccompFilter::new(rules, refuse, SeccompAction::Allow, ARCH)?.try_into()?)
}

/// The C library makes threads by the older call only if it is told that there is no newer one, whose flags no filter sees.
fn missing() -> Result<BpfProgram, Error> {
    let rules: Rules = [(libc::SYS_clone3, vec![])].into();
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, missing, ARCH)?.try_into()?)
}

/// Filters the calls of this thread and of all that it starts from here on. Of two filters that refuse, the later one's
/// answer counts.
///
/// # Errors
/// When the kernel takes no filter.
pub fn filter() -> Result<(), Error> {
    apply_filter(&allowed()?)?;
    apply_filter(&missing()?)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs::{self, File};
    use std::io;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;

    use super::*;

    fn is_refused<T>(what: &str, result: io::Result<T>) {
        let error = result.err().and_then(|error| error.raw_os_error());
        assert_eq!(error, Some(libc::EPERM), "{what}");
    }

    #[test]
    fn behind_the_filter_nothing_is_run_written_or_reached() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "old").unwrap();
        let local = dir.path().join("socket");
        let _listening = UnixListener::bind(&local).unwrap();
        let remote = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = remote.local_addr().unwrap();
        // A filter is a thread's: the other tests go on without.
        let path = file.clone();
        let filtered = std::thread::spawn(move || {
            filter().unwrap();
            let writes = File::options().write(true).open(&path);
            is_refused("write", writes);
            is_refused("append", File::options().append(true).open(&path));
            is_refused("create", File::create(path.with_extension("new")));
            is_refused("truncate", File::options().read(true).write(true).truncate(true).open(&path));
            is_refused("remove", fs::remove_file(&path));
            is_refused("rename", fs::rename(&path, path.with_extension("new")));
            is_refused("link", std::os::unix::fs::symlink(&path, path.with_extension("link")));
            is_refused("directory", fs::create_dir(path.with_extension("dir")));
            is_refused("mode", fs::set_permissions(&path, fs::metadata(&path).unwrap().permissions()));
            is_refused("a program", Command::new("/bin/true").spawn());
            let program = CString::new("/bin/true").unwrap();
            is_refused("exec", nix::unistd::execv(&program, &[&program]).map_err(io::Error::from));
            is_refused("a local socket", UnixStream::connect(&local));
            is_refused("a listener", TcpListener::bind("127.0.0.1:0"));
            // Of this thread alone: the C library would ask for all of them.
            let user = rustix::thread::set_thread_uid(rustix::process::getuid());
            is_refused("a user", user.map_err(io::Error::from));
            let parent = rustix::process::getppid().unwrap();
            is_refused("a signal", rustix::process::test_kill_process(parent).map_err(io::Error::from));
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            TcpStream::connect(address).unwrap();
            std::thread::spawn(|| ()).join().unwrap();
        });
        filtered.join().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    }
}

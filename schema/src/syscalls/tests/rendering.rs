//! Calls as they are read.

use crate::syscalls::*;

/// No text was read.
const NO_TEXTS: [Option<&str>; ARGS_MAX] = [None; ARGS_MAX];

fn check_in(abi: Abi, name: &str, args: &[u64], texts: &[Option<&str>], expected: &str) {
    let call = by_name(abi, name).unwrap_or_else(|| panic!("{name} stands in the table of {abi:?}"));
    let mut registers = [0; ARGS_MAX];
    registers[..args.len()].copy_from_slice(args);
    let mut read = NO_TEXTS;
    read[..texts.len()].copy_from_slice(texts);
    let mut out = String::from("before ");
    render_args(call, &registers, &read, &mut out);
    assert_eq!(out, format!("before {expected}"), "{name}");
}

fn check(name: &str, args: &[u64], texts: &[Option<&str>], expected: &str) {
    check_in(Abi::X86_64, name, args, texts, expected);
}

/// `int` -1 as the register of a 64-bit program usually holds it.
const MINUS_ONE: u64 = 0xffff_ffff;
const FDCWD: u64 = 0xffff_ff9c;
/// Some pointer.
const P: u64 = 0x7ffd_1234_5678;

#[test]
fn opening_calls_read_well() {
    let path = [None, Some("/etc/passwd")];
    check(
        "openat",
        &[FDCWD, P, 0o2000000, 0o644],
        &path,
        r#"dfd=AT_FDCWD filename="/etc/passwd" flags=O_RDONLY|O_CLOEXEC mode=0644"#,
    );
    check("open", &[P, 0o102, 0o600], &[Some("a")], r#"filename="a" flags=O_RDWR|O_CREAT mode=0600"#);
    check("openat2", &[3, P, P, 24], &path, r#"dfd=3 filename="/etc/passwd" usize=24"#);
    check("access", &[P, 4], &[Some("/x")], r#"filename="/x" mode=R_OK"#);
    check("faccessat", &[FDCWD, P, 0], &path, r#"dfd=AT_FDCWD filename="/etc/passwd" mode=F_OK"#);
    check("faccessat2", &[3, P, 6, 0x200], &path, r#"dfd=3 filename="/etc/passwd" mode=R_OK|W_OK flags=AT_EACCESS"#);
}

#[test]
fn memory_calls_read_well() {
    check(
        "mmap",
        &[0, 4096, 3, 0x22, MINUS_ONE, 0],
        &[],
        "addr=0x0 len=4096 prot=PROT_READ|PROT_WRITE flags=MAP_PRIVATE|MAP_ANONYMOUS fd=-1 off=0x0",
    );
    check("mprotect", &[0x7f00_0000, 8192, 5], &[], "start=0x7f000000 len=8192 prot=PROT_READ|PROT_EXEC");
}

#[test]
fn process_calls_read_well() {
    check(
        "clone",
        &[0x1200011, 0, 0, P, 0],
        &[],
        "clone_flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD newsp=0x0 parent_tidptr=NULL tls=0x0",
    );
    check("unshare", &[0x1002_0000], &[], "unshare_flags=CLONE_NEWNS|CLONE_NEWUSER");
    check("waitid", &[1, 4242, P, 5, 0], &[], "which=P_PID upid=4242 options=WNOHANG|WEXITED ru=NULL");
    check("ptrace", &[16, 77, 0, 0], &[], "request=PTRACE_ATTACH pid=77 addr=0x0 data=0x0");
    check("ptrace", &[7, 77, 0, 11], &[], "request=PTRACE_CONT pid=77 addr=0x0 data=SIGSEGV");
    check("kill", &[0xffff_fffe, 9], &[], "pid=-2 sig=SIGKILL");
    check("prctl", &[1, 9, 5, 6, 7], &[], "option=PR_SET_PDEATHSIG arg2=SIGKILL");
    check("prctl", &[23, 21], &[], "option=PR_CAPBSET_READ arg2=CAP_SYS_ADMIN");
    check("prctl", &[15, P], &[], "option=PR_SET_NAME");
    check("prctl", &[38, 1, 0, 0, 0], &[], "option=PR_SET_NO_NEW_PRIVS arg2=1");
    check("prctl", &[999, 1, 2, 3, 4], &[], "option=999 arg2=0x1 arg3=0x2 arg4=0x3 arg5=0x4");
}

#[test]
fn socket_calls_read_well() {
    check("socket", &[2, 0x8_0001, 6], &[], "family=AF_INET type=SOCK_STREAM|SOCK_CLOEXEC protocol=IPPROTO_TCP");
    check("socket", &[16, 3, 9], &[], "family=AF_NETLINK type=SOCK_RAW protocol=NETLINK_AUDIT");
    check("socket", &[1, 2, 0], &[], "family=AF_UNIX type=SOCK_DGRAM protocol=0");
    check("setsockopt", &[4, 1, 2, P, 4], &[], "fd=4 level=SOL_SOCKET optname=SO_REUSEADDR optlen=4");
}

#[test]
fn mounting_calls_read_well() {
    let texts = [Some("none"), Some("/mnt"), Some("tmpfs")];
    check(
        "mount",
        &[P, P, P, 0x9, 0],
        &texts,
        r#"dev_name="none" dir_name="/mnt" type="tmpfs" flags=MS_RDONLY|MS_NOEXEC data=NULL"#,
    );
    check("umount2", &[P, 2], &[Some("/mnt")], r#"name="/mnt" flags=MNT_DETACH"#);
}

#[test]
fn what_fcntl_takes_hangs_on_its_command() {
    check("fcntl", &[3, 1, P], &[], "fd=3 cmd=F_GETFD");
    check("fcntl", &[3, 2, 1], &[], "fd=3 cmd=F_SETFD arg=FD_CLOEXEC");
    check("fcntl", &[3, 4, 0o4002], &[], "fd=3 cmd=F_SETFL arg=O_RDWR|O_NONBLOCK");
    check("fcntl", &[3, 1030, 10], &[], "fd=3 cmd=F_DUPFD_CLOEXEC arg=10");
    check("fcntl", &[3, 6, P], &[], "fd=3 cmd=F_SETLK");
    check("fcntl", &[3, 777, 16], &[], "fd=3 cmd=777 arg=0x10");
}

#[test]
fn texts_are_quoted_and_unread_ones_marked() {
    check("unlink", &[P], &[Some(r#"a"b\c"#)], r#"pathname="a\"b\\c""#);
    check("unlink", &[P], &[Some("ä\n")], "pathname=\"ä\n\"");
    check("unlink", &[P], &[None], "pathname=?");
    check("unlink", &[0], &[None], "pathname=NULL");
}

#[test]
fn leftovers_above_a_c_int_are_not_shown() {
    check("dup2", &[0xdead_0000_0003, 0xffff_ffff_0000_0004], &[], "oldfd=3 newfd=4");
    check("lseek", &[3, u64::MAX, 1], &[], "fd=3 offset=-1 whence=SEEK_CUR");
    check("chown", &[P, MINUS_ONE, 0xaaaa_0000_03e8], &[Some("f")], r#"filename="f" user=-1 group=1000"#);
}

#[test]
fn arguments_of_32_bit_programs_are_theirs() {
    check_in(Abi::I386, "lseek", &[3, MINUS_ONE, 2], &[], "fd=3 offset=-1 whence=SEEK_END");
    check_in(
        Abi::I386,
        "clone",
        &[0x11, 0, 0, 0x1000, 0],
        &[],
        "clone_flags=SIGCHLD newsp=0x0 parent_tidptr=NULL tls_val=0x1000 child_tidptr=NULL",
    );
    check_in(Abi::I386, "pread64", &[3, 0x1000, 5, 0x10, 1], &[], "fd=3 count=5 poslo=0x10 poshi=0x1");
    check_in(Abi::I386, "socketcall", &[3, 0x1000], &[], "call=SYS_CONNECT");
    check_in(Abi::I386, "umount", &[0x1000], &[Some("/m")], r#"name="/m""#);
    check_in(
        Abi::I386,
        "mmap2",
        &[0, 4096, 1, 2, 3, 1],
        &[],
        "addr=0x0 len=4096 prot=PROT_READ flags=MAP_PRIVATE fd=3 pgoff=0x1",
    );
    check_in(Abi::I386, "fcntl64", &[3, 4, 0o4000], &[], "fd=3 cmd=F_SETFL arg=O_RDONLY|O_NONBLOCK");
}

#[test]
fn arm_programs_have_other_open_flags() {
    let path = [None, Some("/")];
    check_in(
        Abi::Aarch64,
        "openat",
        &[FDCWD, P, 0x4000, 0],
        &path,
        r#"dfd=AT_FDCWD filename="/" flags=O_RDONLY|O_DIRECTORY mode=0"#,
    );
    check_in(
        Abi::Aarch64,
        "clone",
        &[0x11, 0, 0, 7, 0],
        &[],
        "clone_flags=SIGCHLD newsp=0x0 parent_tidptr=NULL tls=0x7 child_tidptr=NULL",
    );
}

//! Sets put together from parts: those that differ by architecture, and those that share their names.

use super::{ENUM, FLAGS, Symbols, flags};

/// The two parts, in their order, as one list.
const fn join<const N: usize>(
    first: &[(u64, &'static str)],
    second: &[(u64, &'static str)],
) -> [(u64, &'static str); N] {
    let mut all = [(0, ""); N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() { first[at] } else { second[at - first.len()] };
        at += 1;
    }
    all
}

/// Names of numbers as names of the bits with these numbers.
const fn bits<const N: usize>(numbers: &[(u64, &'static str)]) -> [(u64, &'static str); N] {
    let mut all = [(0, ""); N];
    let mut at = 0;
    while at < N {
        all[at] = (1 << numbers[at].0, numbers[at].1);
        at += 1;
    }
    all
}

/// `&'static` list of two parts.
macro_rules! joined {
    ($first:expr, $second:expr) => {{
        const ALL: [(u64, &str); $first.len() + $second.len()] = join($first, $second);
        &ALL
    }};
}

const SIGNALS: &[(u64, &str)] = values! {
    SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9,
    SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15, SIGSTKFLT = 16, SIGCHLD = 17,
    SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22, SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25,
    SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29, SIGPWR = 30, SIGSYS = 31, SIGRT_0 = 32, SIGRT_1 = 33,
    SIGRT_2 = 34, SIGRT_3 = 35, SIGRT_4 = 36, SIGRT_5 = 37, SIGRT_6 = 38, SIGRT_7 = 39, SIGRT_8 = 40, SIGRT_9 = 41,
    SIGRT_10 = 42, SIGRT_11 = 43, SIGRT_12 = 44, SIGRT_13 = 45, SIGRT_14 = 46, SIGRT_15 = 47, SIGRT_16 = 48,
    SIGRT_17 = 49, SIGRT_18 = 50, SIGRT_19 = 51, SIGRT_20 = 52, SIGRT_21 = 53, SIGRT_22 = 54, SIGRT_23 = 55,
    SIGRT_24 = 56, SIGRT_25 = 57, SIGRT_26 = 58, SIGRT_27 = 59, SIGRT_28 = 60, SIGRT_29 = 61, SIGRT_30 = 62,
    SIGRT_31 = 63, SIGRT_32 = 64,
};

/// Signals by number. `SIGRT_n` counts from the kernel's first real-time signal, 32; the C library keeps 0 and 1.
pub static SIGNAL: Symbols = Symbols { name: "signals", kind: ENUM, values: SIGNALS };

const CLONE_FLAGS: &[(u64, &str)] = values! {
    CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_PIDFD = 0x1000,
    CLONE_PTRACE = 0x2000, CLONE_VFORK = 0x4000, CLONE_PARENT = 0x8000, CLONE_THREAD = 0x1_0000,
    CLONE_NEWNS = 0x2_0000, CLONE_SYSVSEM = 0x4_0000, CLONE_SETTLS = 0x8_0000, CLONE_PARENT_SETTID = 0x10_0000,
    CLONE_CHILD_CLEARTID = 0x20_0000, CLONE_DETACHED = 0x40_0000, CLONE_UNTRACED = 0x80_0000,
    CLONE_CHILD_SETTID = 0x100_0000, CLONE_NEWCGROUP = 0x200_0000, CLONE_NEWUTS = 0x400_0000,
    CLONE_NEWIPC = 0x800_0000, CLONE_NEWUSER = 0x1000_0000, CLONE_NEWPID = 0x2000_0000, CLONE_NEWNET = 0x4000_0000,
    CLONE_IO = 0x8000_0000, CLONE_CLEAR_SIGHAND = 0x1_0000_0000, CLONE_INTO_CGROUP = 0x2_0000_0000,
};

/// Flags of clone(2); the low byte is the signal that the parent gets at the end.
pub static CLONE: Symbols = Symbols { name: "clone_flags", kind: flags(0xff), values: joined!(CLONE_FLAGS, SIGNALS) };

/// Flags of unshare(2) and setns(2): no signal here, and bit 0x80 is a namespace.
pub static UNSHARE: Symbols =
    Symbols { name: "namespace_flags", kind: FLAGS, values: joined!(CLONE_FLAGS, values! { CLONE_NEWTIME = 0x80 }) };

const OPEN_COMMON: &[(u64, &str)] = values! {
    O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0x40, O_EXCL = 0x80, O_NOCTTY = 0x100, O_TRUNC = 0x200,
    O_APPEND = 0x400, O_NONBLOCK = 0x800, O_SYNC = 0x10_1000, O_DSYNC = 0x1000, FASYNC = 0x2000, O_NOATIME = 0x4_0000,
    O_CLOEXEC = 0x8_0000, O_PATH = 0x20_0000,
};

/// Flags of open(2) on x86; the low two bits are the access mode.
pub static OPEN: Symbols = Symbols {
    name: "open_flags",
    kind: flags(0x3),
    values: joined!(
        OPEN_COMMON,
        values! {
            O_TMPFILE = 0x41_0000, O_DIRECTORY = 0x1_0000, O_NOFOLLOW = 0x2_0000, O_DIRECT = 0x4000, O_LARGEFILE = 0x8000,
        }
    ),
};

/// Flags of open(2) on ARM: four of them sit elsewhere than on x86.
pub static OPEN_ARM: Symbols = Symbols {
    name: "open_flags_arm",
    kind: flags(0x3),
    values: joined!(
        OPEN_COMMON,
        values! {
            O_TMPFILE = 0x40_4000, O_DIRECTORY = 0x4000, O_NOFOLLOW = 0x8000, O_DIRECT = 0x1_0000, O_LARGEFILE = 0x2_0000,
        }
    ),
};

const PIPE_COMMON: &[(u64, &str)] = values! { O_CLOEXEC = 0x8_0000, O_NONBLOCK = 0x800, O_NOTIFICATION_PIPE = 0x80 };

/// Flags of pipe2(2) on x86.
pub static PIPE: Symbols =
    Symbols { name: "pipe_flags", kind: FLAGS, values: joined!(PIPE_COMMON, values! { O_DIRECT = 0x4000 }) };

/// Flags of pipe2(2) on ARM.
pub static PIPE_ARM: Symbols =
    Symbols { name: "pipe_flags_arm", kind: FLAGS, values: joined!(PIPE_COMMON, values! { O_DIRECT = 0x1_0000 }) };

const PTRACE_FIRST: &[(u64, &str)] = values! {
    PTRACE_TRACEME = 0, PTRACE_PEEKTEXT = 1, PTRACE_PEEKDATA = 2, PTRACE_PEEKUSR = 3, PTRACE_POKETEXT = 4,
    PTRACE_POKEDATA = 5, PTRACE_POKEUSR = 6, PTRACE_CONT = 7, PTRACE_KILL = 8, PTRACE_SINGLESTEP = 9,
};

const PTRACE_LAST: &[(u64, &str)] = values! {
    PTRACE_SETOPTIONS = 0x4200, PTRACE_GETEVENTMSG = 0x4201, PTRACE_GETSIGINFO = 0x4202, PTRACE_SETSIGINFO = 0x4203,
    PTRACE_GETREGSET = 0x4204, PTRACE_SETREGSET = 0x4205, PTRACE_SEIZE = 0x4206, PTRACE_INTERRUPT = 0x4207,
    PTRACE_LISTEN = 0x4208, PTRACE_PEEKSIGINFO = 0x4209, PTRACE_GETSIGMASK = 0x420a, PTRACE_SETSIGMASK = 0x420b,
    PTRACE_SECCOMP_GET_FILTER = 0x420c, PTRACE_SECCOMP_GET_METADATA = 0x420d, PTRACE_GET_SYSCALL_INFO = 0x420e,
    PTRACE_GET_RSEQ_CONFIGURATION = 0x420f, PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG = 0x4210,
    PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211, PTRACE_SET_SYSCALL_INFO = 0x4212,
};

/// Requests of ptrace(2) on x86.
pub static PTRACE: Symbols = Symbols {
    name: "ptrace_requests",
    kind: ENUM,
    values: joined!(
        joined!(
            PTRACE_FIRST,
            values! {
                PTRACE_GETREGS = 12, PTRACE_SETREGS = 13, PTRACE_GETFPREGS = 14, PTRACE_SETFPREGS = 15,
                PTRACE_ATTACH = 16, PTRACE_DETACH = 17, PTRACE_GETFPXREGS = 18, PTRACE_SETFPXREGS = 19,
                PTRACE_OLDSETOPTIONS = 21, PTRACE_SYSCALL = 24, PTRACE_GET_THREAD_AREA = 25, PTRACE_SET_THREAD_AREA = 26,
                PTRACE_ARCH_PRCTL = 30, PTRACE_SYSEMU = 31, PTRACE_SYSEMU_SINGLESTEP = 32, PTRACE_SINGLEBLOCK = 33,
            }
        ),
        PTRACE_LAST
    ),
};

/// Requests of ptrace(2) on ARM.
pub static PTRACE_ARM: Symbols = Symbols {
    name: "ptrace_requests_arm",
    kind: ENUM,
    values: joined!(
        joined!(
            PTRACE_FIRST,
            values! {
                PTRACE_ATTACH = 16, PTRACE_DETACH = 17, PTRACE_SYSCALL = 24, PTRACE_SYSEMU = 31,
                PTRACE_SYSEMU_SINGLESTEP = 32, PTRACE_PEEKMTETAGS = 33, PTRACE_POKEMTETAGS = 34,
            }
        ),
        PTRACE_LAST
    ),
};

const CAPABILITIES: &[(u64, &str)] = values! {
    CAP_CHOWN = 0, CAP_DAC_OVERRIDE = 1, CAP_DAC_READ_SEARCH = 2, CAP_FOWNER = 3, CAP_FSETID = 4, CAP_KILL = 5,
    CAP_SETGID = 6, CAP_SETUID = 7, CAP_SETPCAP = 8, CAP_LINUX_IMMUTABLE = 9, CAP_NET_BIND_SERVICE = 10,
    CAP_NET_BROADCAST = 11, CAP_NET_ADMIN = 12, CAP_NET_RAW = 13, CAP_IPC_LOCK = 14, CAP_IPC_OWNER = 15,
    CAP_SYS_MODULE = 16, CAP_SYS_RAWIO = 17, CAP_SYS_CHROOT = 18, CAP_SYS_PTRACE = 19, CAP_SYS_PACCT = 20,
    CAP_SYS_ADMIN = 21, CAP_SYS_BOOT = 22, CAP_SYS_NICE = 23, CAP_SYS_RESOURCE = 24, CAP_SYS_TIME = 25,
    CAP_SYS_TTY_CONFIG = 26, CAP_MKNOD = 27, CAP_LEASE = 28, CAP_AUDIT_WRITE = 29, CAP_AUDIT_CONTROL = 30,
    CAP_SETFCAP = 31, CAP_MAC_OVERRIDE = 32, CAP_MAC_ADMIN = 33, CAP_SYSLOG = 34, CAP_WAKE_ALARM = 35,
    CAP_BLOCK_SUSPEND = 36, CAP_AUDIT_READ = 37, CAP_PERFMON = 38, CAP_BPF = 39, CAP_CHECKPOINT_RESTORE = 40,
};

/// One capability, by its number.
pub static CAP: Symbols = Symbols { name: "capability", kind: ENUM, values: CAPABILITIES };

/// A mask of capabilities: bit n is capability n.
pub static CAPABILITY_MASK: Symbols = Symbols {
    name: "capabilities",
    kind: FLAGS,
    values: {
        const BITS: [(u64, &str); CAPABILITIES.len()] = bits(CAPABILITIES);
        &BITS
    },
};

pub(super) static SETS: &[&Symbols] =
    &[&SIGNAL, &CLONE, &UNSHARE, &OPEN, &OPEN_ARM, &PIPE, &PIPE_ARM, &PTRACE, &PTRACE_ARM, &CAP, &CAPABILITY_MASK];

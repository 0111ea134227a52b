//! What arguments hold: short names for the signatures, and arguments whose meaning hangs on another one.

use super::{ArgKind, Case};
use crate::symbols::{self as names, Symbols};

/// What an argument holds, and whether all bits of its register count.
#[derive(Clone, Copy)]
pub(super) struct Type {
    pub(super) kind: ArgKind,
    pub(super) wide: bool,
}

const fn narrow(kind: ArgKind) -> Type {
    Type { kind, wide: false }
}

const fn whole(kind: ArgKind) -> Type {
    Type { kind, wide: true }
}

/// C `int`.
pub(super) const INT: Type = narrow(ArgKind::Int);
/// C `unsigned int`.
pub(super) const UINT: Type = narrow(ArgKind::Uint);
/// C `long`, `loff_t`.
pub(super) const LONG: Type = whole(ArgKind::Int);
/// C `unsigned long`, `size_t`.
pub(super) const SIZE: Type = whole(ArgKind::Uint);
/// File descriptor.
pub(super) const FD: Type = narrow(ArgKind::Fd);
/// Process, thread or process group.
pub(super) const PID: Type = narrow(ArgKind::Pid);
/// User or group.
pub(super) const ID: Type = narrow(ArgKind::Id);
/// 32 bits that mean no amount.
pub(super) const HEX: Type = narrow(ArgKind::Hex);
/// Address, or other bits as wide as one, that is not a pointer to the kernel.
pub(super) const ADDR: Type = whole(ArgKind::Hex);
/// `umode_t`.
pub(super) const MODE: Type = narrow(ArgKind::Octal);
/// Pointer to something other than a text.
pub(super) const PTR: Type = whole(ArgKind::Pointer);
/// Pointer to a NUL-terminated text.
pub(super) const TEXT: Type = whole(ArgKind::Text);

/// `int` with names.
pub(super) const fn symbols(set: &'static Symbols) -> Type {
    narrow(ArgKind::Symbols(set))
}

/// `unsigned long` with names.
pub(super) const fn wide(set: &'static Symbols) -> Type {
    whole(ArgKind::Symbols(set))
}

const fn case(values: &'static [u64], kind: ArgKind) -> Case {
    Case { values, kind }
}

const fn depends(on: usize, cases: &'static [Case], other: &'static ArgKind) -> ArgKind {
    ArgKind::Depends { on, cases, other }
}

const HEX_KIND: ArgKind = ArgKind::Hex;
const INT_KIND: ArgKind = ArgKind::Int;

/// `arg` of fcntl by its command, given the flags that F_SETFL takes.
macro_rules! fcntl_arg {
    ($open:expr) => {{
        const CASES: &[Case] = &[
            // F_GETFD, F_GETFL, F_GETOWN, F_GETSIG, F_GETLEASE, F_CREATED_QUERY, F_GETPIPE_SZ, F_GET_SEALS
            case(&[1, 3, 9, 11, 1025, 1028, 1032, 1034], ArgKind::Unused),
            case(&[0, 1030, 1031], ArgKind::Int), // F_DUPFD, F_DUPFD_CLOEXEC, F_SETPIPE_SZ
            case(&[1027], ArgKind::Fd),           // F_DUPFD_QUERY
            case(&[2], ArgKind::Symbols(&names::FD_FLAGS)),
            case(&[4], ArgKind::Symbols($open)),
            case(&[8], ArgKind::Pid), // F_SETOWN
            case(&[10], ArgKind::Symbols(&names::SIGNAL)),
            case(&[1024], ArgKind::Symbols(&names::LEASE)),
            case(&[1026], ArgKind::Symbols(&names::NOTIFY)),
            case(&[1033], ArgKind::Symbols(&names::SEALS)),
            // Locks, owners and hints: structures.
            case(&[5, 6, 7, 12, 13, 14, 15, 16, 17, 36, 37, 38, 1029, 1035, 1036, 1037, 1038], ArgKind::Pointer),
        ];
        whole(depends(1, CASES, &HEX_KIND))
    }};
}
pub(super) const FCNTL_ARG: Type = fcntl_arg!(&names::OPEN);
pub(super) const FCNTL_ARG_ARM: Type = fcntl_arg!(&names::OPEN_ARM);

/// prctl options whose second argument is the last one that the kernel looks at.
const PRCTL_ONE: &[u64] = &[1, 2, 4, 6, 8, 10, 12, 14, 15, 16, 20, 23, 24, 26, 28, 29, 36, 37, 38, 40, 0x5961_6d61];
/// prctl options without any argument: getters that return their value, and the two that switch perf events.
const PRCTL_NONE: &[u64] = &[3, 7, 13, 21, 27, 30, 31, 32, 34, 39, 42];

const PRCTL_ARG2_CASES: &[Case] = &[
    case(PRCTL_NONE, ArgKind::Unused),
    case(&[1], ArgKind::Symbols(&names::SIGNAL)),        // PR_SET_PDEATHSIG
    case(&[22], ArgKind::Symbols(&names::SECCOMP_MODE)), // PR_SET_SECCOMP
    case(&[23, 24], ArgKind::Symbols(&names::CAP)),      // PR_CAPBSET_READ, PR_CAPBSET_DROP
    case(&[35], ArgKind::Symbols(&names::PR_MM)),        // PR_SET_MM
    case(&[47], ArgKind::Symbols(&names::PR_AMBIENT)),   // PR_CAP_AMBIENT
    // PR_GET_PDEATHSIG, PR_SET_NAME, PR_GET_NAME, PR_GET_CHILD_SUBREAPER, PR_GET_TID_ADDRESS
    case(&[2, 15, 16, 37, 40], ArgKind::Pointer),
    // PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_TIMERSLACK, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_SET_PTRACER
    case(&[4, 8, 29, 36, 38, 0x5961_6d61], ArgKind::Int),
];
const PRCTL_ARG3_CASES: &[Case] = &[
    case(PRCTL_NONE, ArgKind::Unused),
    case(PRCTL_ONE, ArgKind::Unused),
    case(&[22], ArgKind::Pointer),              // PR_SET_SECCOMP
    case(&[47], ArgKind::Symbols(&names::CAP)), // PR_CAP_AMBIENT
];
const PRCTL_REST_CASES: &[Case] = &[
    case(PRCTL_NONE, ArgKind::Unused),
    case(PRCTL_ONE, ArgKind::Unused),
    case(&[22, 47], ArgKind::Unused), // PR_SET_SECCOMP, PR_CAP_AMBIENT
];
/// `arg2` of prctl by its option.
pub(super) const PRCTL_ARG2: Type = whole(depends(0, PRCTL_ARG2_CASES, &HEX_KIND));
/// `arg3` of prctl.
pub(super) const PRCTL_ARG3: Type = whole(depends(0, PRCTL_ARG3_CASES, &HEX_KIND));
/// `arg4` and `arg5` of prctl.
pub(super) const PRCTL_REST: Type = whole(depends(0, PRCTL_REST_CASES, &HEX_KIND));

// PTRACE_CONT, PTRACE_SINGLESTEP, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP
const PTRACE_CASES: &[Case] = &[case(&[7, 9, 17, 24, 31, 32], ArgKind::Symbols(&names::SIGNAL))];
/// `data` of ptrace: the signal to deliver where the tracee goes on.
pub(super) const PTRACE_DATA: Type = whole(depends(0, PTRACE_CASES, &HEX_KIND));

// SECCOMP_SET_MODE_FILTER
const SECCOMP_CASES: &[Case] = &[case(&[1], ArgKind::Symbols(&names::SECCOMP_FILTER))];
/// `flags` of seccomp by its operation.
pub(super) const SECCOMP_FLAGS: Type = narrow(depends(0, SECCOMP_CASES, &HEX_KIND));

const PROTOCOL_CASES: &[Case] = &[
    case(&[2, 10], ArgKind::Symbols(&names::IPPROTO)), // AF_INET, AF_INET6
    case(&[16], ArgKind::Symbols(&names::NETLINK)),    // AF_NETLINK
    case(&[17], ArgKind::Hex),                         // AF_PACKET: an Ethernet type in network order
];
/// `protocol` of socket by its family.
pub(super) const PROTOCOL: Type = narrow(depends(0, PROTOCOL_CASES, &INT_KIND));

const OPTION_CASES: &[Case] = &[
    case(&[1], ArgKind::Symbols(&names::SO)),  // SOL_SOCKET
    case(&[6], ArgKind::Symbols(&names::TCP)), // SOL_TCP
];
/// `optname` of getsockopt and setsockopt by its level.
pub(super) const SOCKET_OPTION: Type = narrow(depends(1, OPTION_CASES, &INT_KIND));

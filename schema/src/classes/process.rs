//! Class `process`: lifecycle, credentials, namespaces, signals.

use super::file::{FOLDED_DOC, PATH_STATES, TRUNCATED_DOC};
use crate::class::{Action, Class, ClassId};
use crate::column::{ColumnType::*, ERROR, RET, Source, TEXT_ESCAPED, column, optional, same};
use crate::wire::{Wire, field};

/// Value of `exit_code` in a record of a process that a signal ended.
pub const NO_EXIT_CODE: i64 = i32::MIN as i64;

const NAMESPACES: &[&str] = &["mnt_ns", "pid_ns", "net_ns", "user_ns", "uts_ns", "ipc_ns", "cgroup_ns"];

pub(super) static PROCESS: Class = Class {
    id: ClassId::Process,
    name: "process",
    doc: "Processes: start, end, credentials, namespaces, signals.",
    default: true,
    fields: &[
        field("ret", Wire::I64, "return value of the call"),
        field("duration_ns", Wire::U64, "exit: run time of the process"),
        field("child_key", Wire::I64, "fork: key of the child"),
        field("cap_effective", Wire::U64, "effective capabilities after the call"),
        field("flags", Wire::I64, "clone, namespace flags, or -1"),
        field("child_pid", Wire::U32, "fork: tgid of the child"),
        field("exit_code", Wire::I32, "exit status, or the lowest number when a signal ended it"),
        field("exit_signal", Wire::I32, "signal that ended it, or 0"),
        field("target_pid", Wire::I32, "process that the call names"),
        field("signal", Wire::I32, "signal sent"),
        field("request", Wire::I32, "ptrace request"),
        field("fd", Wire::I32, "file descriptor argument, or -1"),
        field("ruid", Wire::U32, "real user id after the call"),
        field("euid", Wire::U32, "effective user id after the call"),
        field("suid", Wire::U32, "saved user id after the call"),
        field("rgid", Wire::U32, "real group id after the call"),
        field("egid", Wire::U32, "effective group id after the call"),
        field("sgid", Wire::U32, "saved group id after the call"),
        field("requested", Wire::I32, "first id argument of the call, -1 for none"),
        field("session_id", Wire::U32, "session of the process, 0 for none"),
        field("login", Wire::U32, "login user id, all ones for none"),
        field("mnt_ns", Wire::U32, "inode number of the mount namespace"),
        field("pid_ns", Wire::U32, "of the pid namespace"),
        field("net_ns", Wire::U32, "of the network namespace"),
        field("user_ns", Wire::U32, "of the user namespace"),
        field("uts_ns", Wire::U32, "of the UTS namespace"),
        field("ipc_ns", Wire::U32, "of the IPC namespace"),
        field("cgroup_ns", Wire::U32, "of the cgroup namespace"),
        field(
            "path_state",
            Wire::U8,
            "bits of paths: 0 truncated, 1 deleted, 2 unreachable, 3 and 4 how `..` of a text ends",
        ),
        field("path_odd", Wire::U8, "bits 1 and 2 of `path_state`"),
        field("bits", Wire::U8, "0: arguments cut, 1: core dumped, 2: dirfd unreadable"),
    ],
    tails: &["exe", "path", "path_raw", "path_dir", "args", "env", "cwd", "tty"],
    columns: &[
        RET,
        ERROR,
        column(
            "path",
            Text,
            Source::Path { walk: Some("path"), raw: "path_raw", dir: "path_dir" },
            "exec: the file asked for, absolute: of a script the script, while `exe` is its interpreter",
        ),
        column(
            "path_raw",
            Text,
            Source::Text { tail: "path_raw" },
            "the program's text of `path`; null where a descriptor alone says it",
        ),
        column("path_dir", Text, Source::Walk { tail: "path_dir" }, "directory that `path_raw` was relative to"),
        column("args", TextList, Source::List { tail: "args" }, "exec: the arguments"),
        column("env", TextList, Source::List { tail: "env" }, "exec: the environment, only on request"),
        column(
            "args_truncated",
            Bool,
            Source::Bit { field: "bits", bit: 0 },
            "exec: arguments or environment beyond the limit, as bytes or as text, or unreadable, were left out",
        ),
        optional("child_pid", Int32, 0, "fork: process id of the child"),
        optional("child_key", Int64, 0, "fork: `process_key` of the child"),
        optional("exit_code", Int32, NO_EXIT_CODE, "exit: status, null when a signal ended the process"),
        optional("exit_signal", Int32, 0, "exit: the signal that ended the process"),
        column("core_dumped", Bool, Source::Bit { field: "bits", bit: 1 }, "exit: a core was dumped"),
        same("duration_ns", Int64, "ns; exit: run time of the process; syscall: time in the kernel, if asked for"),
        optional(
            "target_pid",
            Int32,
            i32::MIN as i64,
            "kill, ptrace: process id as the caller gave it (negative: a group); of a pidfd the process behind it, by its number on the host",
        ),
        same("signal", Int32, "kill: number of the signal"),
        column("signal_text", Text, Source::Symbols { field: "signal" }, "its name"),
        same("request", Int32, "ptrace: number of the request"),
        column("request_text", Text, Source::Symbols { field: "request" }, "its name"),
        optional(
            "flags",
            Int64,
            -1,
            "flags argument; null where the kernel does not tell them (a fork that succeeded)",
        ),
        column("flags_text", Text, Source::Symbols { field: "flags" }, "`flags` in words"),
        optional("fd", Int32, -1, "file descriptor; null when the call failed or had none"),
        same("ruid", Int64, "real user id after the call"),
        same("euid", Int64, "effective user id after the call"),
        same("suid", Int64, "saved user id after the call"),
        same("rgid", Int64, "real group id after the call"),
        same("egid", Int64, "effective group id after the call"),
        same("sgid", Int64, "saved group id after the call"),
        optional("requested", Int64, -1, "setuid, setgid, setgroups: first id (or count) asked for"),
        same("cap_effective", Int64, "effective capabilities after the call, as bits"),
        column("cap_effective_text", Text, Source::Symbols { field: "cap_effective" }, "their names"),
        column("path_truncated", Bool, Source::Bit { field: "path_state", bit: 0 }, TRUNCATED_DOC),
        column(
            "path_state",
            Text,
            Source::Names { field: "path_odd", names: PATH_STATES },
            "exec: `deleted` where `exe` or `path` had no name any more, `unreachable` where one was not below the root of the \
             process's mount namespace or in no directory at all (memfd), or both; else null",
        ),
        column("path_folded", Bool, Source::Collector, FOLDED_DOC),
        TEXT_ESCAPED,
        optional("mnt_ns", Int64, 0, "mount namespace (inode number) after the event; fork: the child's"),
        optional("pid_ns", Int64, 0, "pid namespace; fork: the child's"),
        optional("net_ns", Int64, 0, "network namespace; fork: the child's"),
        optional("user_ns", Int64, 0, "user namespace; fork: the child's"),
        optional("uts_ns", Int64, 0, "UTS namespace; fork: the child's"),
        optional("ipc_ns", Int64, 0, "IPC namespace; fork: the child's"),
        optional("cgroup_ns", Int64, 0, "cgroup namespace; fork: the child's"),
    ],
    actions: &[
        Action::new(0x0101, "running", "a process that was alive when weir started").also(NAMESPACES),
        Action::new(0x0102, "exec", "a program was started, or could not be")
            .calls(&["execve", "execveat"])
            .sets(&[
                "ret",
                "error",
                "path",
                "path_raw",
                "path_dir",
                "path_truncated",
                "path_folded",
                "path_state",
                "args",
                "env",
                "args_truncated",
                "ruid",
                "euid",
                "suid",
                "rgid",
                "egid",
                "sgid",
                "cap_effective",
                "cap_effective_text",
                "flags",
                "flags_text",
                "fd",
            ])
            .also(NAMESPACES)
            .symbols(&[("flags_text", "at_flags"), ("cap_effective_text", "capabilities")]),
        Action::new(0x0103, "fork", "a process was created, or could not be")
            .calls(&["clone", "clone3", "fork", "vfork"])
            .sets(&["ret", "error", "child_pid", "child_key", "flags", "flags_text"])
            .also(NAMESPACES)
            .symbols(&[("flags_text", "clone_flags")]),
        Action::new(0x0104, "exit", "the last thread of a process ended").sets(&[
            "exit_code",
            "exit_signal",
            "core_dumped",
            "duration_ns",
        ]),
        Action::new(0x0105, "setuid", "user ids were set")
            .calls(&["setuid", "setreuid", "setresuid", "setfsuid"])
            .sets(&["ret", "error", "ruid", "euid", "suid", "requested"]),
        Action::new(0x0106, "setgid", "group ids were set")
            .calls(&["setgid", "setregid", "setresgid", "setfsgid"])
            .sets(&["ret", "error", "rgid", "egid", "sgid", "requested"]),
        Action::new(0x0107, "setgroups", "supplementary groups were set").calls(&["setgroups"]).sets(&[
            "ret",
            "error",
            "requested",
        ]),
        Action::new(0x0108, "capset", "capabilities were set")
            .calls(&["capset"])
            .sets(&["ret", "error", "cap_effective", "cap_effective_text"])
            .symbols(&[("cap_effective_text", "capabilities")]),
        Action::new(0x0109, "setns", "a namespace was joined")
            .calls(&["setns"])
            .sets(&["ret", "error", "fd", "flags", "flags_text"])
            .also(NAMESPACES)
            .symbols(&[("flags_text", "namespace_flags")]),
        Action::new(0x010a, "unshare", "namespaces were left")
            .calls(&["unshare"])
            .sets(&["ret", "error", "flags", "flags_text"])
            .also(NAMESPACES)
            .symbols(&[("flags_text", "namespace_flags")]),
        Action::new(0x010b, "ptrace", "a process was traced")
            .calls(&["ptrace"])
            .sets(&["ret", "error", "target_pid", "request", "request_text"])
            .symbols(&[("request_text", "ptrace_requests")]),
        Action::new(0x010c, "kill", "a signal was sent")
            .calls(&["kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"])
            .sets(&["ret", "error", "target_pid", "signal", "signal_text", "fd"])
            .symbols(&[("signal_text", "signals")]),
        Action::new(0x010d, "chdir", "the working directory was changed: `cwd` is the new one")
            .calls(&["chdir", "fchdir"])
            .sets(&["ret", "error", "path", "path_raw", "path_dir", "path_truncated", "path_folded", "fd"])
            .on_request(),
        Action::new(0x010e, "setsid", "a session was created: `session` is the new one")
            .calls(&["setsid"])
            .sets(&["ret", "error"])
            .on_request(),
    ],
};

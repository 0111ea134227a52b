/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rendered from the definition in schema/ by `weir schema --format c`. */
#ifndef WEIR_RECORDS_H
#define WEIR_RECORDS_H

#ifndef __bpf__ /* the probes have the types of kernel.h */
#include <linux/types.h>
#endif

#define WEIR_RECORD_BYTES_MAX 65536
#define WEIR_RET_SECCOMP (-4095)
#define WEIR_CONTEXT_TASK 1
#define WEIR_CONTEXT_INNER 2
#define WEIR_CONTEXT_LEFT_OUT 4

#define WEIR_CLASS_PROCESS 1
#define WEIR_CLASS_FILE 2
#define WEIR_CLASS_NETWORK 3
#define WEIR_CLASS_MEMORY 4
#define WEIR_CLASS_KERNEL 5
#define WEIR_CLASS_SYSCALL 6
#define WEIR_CLASS_LOSS 7
#define WEIR_CLASS_CONTAINER 8

enum weir_action {
	WEIR_VOID = 0,
	WEIR_PROCESS_RUNNING = 0x0101, /* a process that was alive when weir started */
	WEIR_PROCESS_EXEC = 0x0102, /* a program was started, or could not be */
	WEIR_PROCESS_FORK = 0x0103, /* a process was created, or could not be */
	WEIR_PROCESS_EXIT = 0x0104, /* the last thread of a process ended */
	WEIR_PROCESS_SETUID = 0x0105, /* user ids were set */
	WEIR_PROCESS_SETGID = 0x0106, /* group ids were set */
	WEIR_PROCESS_SETGROUPS = 0x0107, /* supplementary groups were set */
	WEIR_PROCESS_CAPSET = 0x0108, /* capabilities were set */
	WEIR_PROCESS_SETNS = 0x0109, /* a namespace was joined */
	WEIR_PROCESS_UNSHARE = 0x010a, /* namespaces were left */
	WEIR_PROCESS_PTRACE = 0x010b, /* a process was traced */
	WEIR_PROCESS_KILL = 0x010c, /* a signal was sent */
	WEIR_PROCESS_CHDIR = 0x010d, /* the working directory was changed: `cwd` is the new one */
	WEIR_PROCESS_SETSID = 0x010e, /* a session was created: `session` is the new one */
	WEIR_FILE_OPEN = 0x0201, /* a file was opened, created or truncated */
	WEIR_FILE_UNLINK = 0x0202, /* a name was removed */
	WEIR_FILE_RMDIR = 0x0203, /* a directory was removed */
	WEIR_FILE_RENAME = 0x0204, /* a name was changed */
	WEIR_FILE_LINK = 0x0205, /* a hard link was made */
	WEIR_FILE_SYMLINK = 0x0206, /* a symbolic link was made; `path` is its target */
	WEIR_FILE_MKDIR = 0x0207, /* a directory was made */
	WEIR_FILE_CHMOD = 0x0208, /* permissions were set */
	WEIR_FILE_CHOWN = 0x0209, /* owner or group was set */
	WEIR_FILE_TRUNCATE = 0x020a, /* the length of a file was set */
	WEIR_FILE_MOUNT = 0x020b, /* a file system was mounted, moved, or mounted anew with other options (`MS_REMOUNT`) */
	WEIR_FILE_UMOUNT = 0x020c, /* a file system was unmounted */
	WEIR_FILE_CLOSE = 0x020d, /* the last reference to a file that was open for writing is closed by close(2) */
	WEIR_FILE_MOUNT_SETATTR = 0x020e, /* attributes of a mount were changed */
	WEIR_FILE_PIVOT_ROOT = 0x020f, /* the root of the mount namespace was changed to `path` */
	WEIR_NETWORK_CONNECT = 0x0301, /* a connection was asked for */
	WEIR_NETWORK_ESTABLISHED = 0x0302, /* a TCP connection that this host asked for came to be */
	WEIR_NETWORK_REFUSED = 0x0303, /* a TCP connection that this host asked for failed */
	WEIR_NETWORK_ACCEPT = 0x0304, /* a connection was taken */
	WEIR_NETWORK_BIND = 0x0305, /* a local address was chosen */
	WEIR_NETWORK_LISTEN = 0x0306, /* a socket waits for connections */
	WEIR_NETWORK_CLOSE = 0x0307, /* the last reference to a socket is gone */
	WEIR_NETWORK_SENDTO = 0x0308, /* bytes were sent to an address */
	WEIR_NETWORK_RECVFROM = 0x0309, /* bytes were received */
	WEIR_MEMORY_MMAP = 0x0401, /* memory was mapped with PROT_EXEC */
	WEIR_MEMORY_MPROTECT = 0x0402, /* memory was given PROT_EXEC */
	WEIR_MEMORY_MEMFD_CREATE = 0x0403, /* an anonymous file was made */
	WEIR_MEMORY_PROCESS_VM_WRITEV = 0x0404, /* memory of another process was written */
	WEIR_KERNEL_MODULE_LOAD = 0x0501, /* a module was loaded */
	WEIR_KERNEL_MODULE_UNLOAD = 0x0502, /* a module was unloaded */
	WEIR_KERNEL_BPF_LOAD = 0x0503, /* a BPF program was loaded */
	WEIR_KERNEL_PERF_EVENT_OPEN = 0x0504, /* a perf event was opened */
	WEIR_KERNEL_KEXEC_LOAD = 0x0505, /* another kernel was loaded from memory */
	WEIR_KERNEL_IO_URING_SUBMIT = 0x0506, /* an operation was handed to io_uring */
	WEIR_KERNEL_KEXEC_FILE_LOAD = 0x0507, /* another kernel was loaded from a file */
	WEIR_SYSCALL_CALL = 0x0601, /* a system call returned */
	WEIR_CONTAINER_RUNNING = 0x0801, /* a container that was there when weir started */
	WEIR_CONTAINER_START = 0x0802, /* the cgroup of a container was made, by the process of the row */
	WEIR_CONTAINER_DIE = 0x0803, /* the cgroup of a container was removed */
	WEIR_CONTAINER_METADATA = 0x0804, /* what the container's runtime says: it completes rows that came before */
};

enum weir_reason {
	WEIR_LOST_RING_FULL = 1,
	WEIR_LOST_PROBE_REENTERED = 4,
	WEIR_LOST_BAD_RECORD = 5,
	WEIR_LOST_LANE_FULL = 6,
	WEIR_LOST_SINK_REFUSED = 7,
	WEIR_LOST_SPOOL_FULL = 8,
	WEIR_LOST_SHUTDOWN = 9,
	WEIR_LOST_NOT_SELECTED = 10,
	WEIR_LOST_NO_RING = 11,
	WEIR_LOST_FILTER_FULL = 12,
	WEIR_LOST_SPOOL_DAMAGED = 13,
};

struct weir_header {
	__u32 size; /* bytes of the record, this header included */
	__u16 action; /* what happened: `class << 8 | action`; 0 is a void record */
	__u16 context; /* bit 0: written in a task, so the process fields are valid; bit 1: in a container by its pid namespace; bit 2: left out by the filters */
	__u64 seq; /* attempt number on this CPU, from 0 at load */
	__u64 ktime_ns; /* CLOCK_BOOTTIME in ns, taken after the sequence number */
	__s64 process_key; /* `(start_boottime_ns >> 17) << 22 | tgid` of the group leader */
	__s64 parent_key; /* the same for the parent at the event */
	__u64 cgroup_id; /* inode number of the cgroup v2 directory */
	__u64 container_cgroup; /* the same in the hierarchy that has the containers: v2, or a controller of v1 */
	__u32 cpu; /* CPU that wrote the record */
	__u32 pid; /* tgid */
	__u32 tid; /* kernel pid */
	__u32 ppid; /* tgid of the parent at the event */
	__u32 uid; /* real user id in the initial user namespace */
	__u32 gid; /* real group id in the initial user namespace */
	__u32 login_uid; /* 0 in the ring; the collector puts the login user of the process here */
	__u32 session; /* 0 in the ring; the collector puts the session of the process here */
	__u8 comm[16]; /* name of the thread, NUL-padded */
};

/* Processes: start, end, credentials, namespaces, signals. */
struct weir_process {
	struct weir_header header;
	__s64 ret; /* return value of the call */
	__u64 duration_ns; /* exit: run time of the process */
	__s64 child_key; /* fork: key of the child */
	__u64 cap_effective; /* effective capabilities after the call */
	__s64 flags; /* clone, namespace flags, or -1 */
	__u32 child_pid; /* fork: tgid of the child */
	__s32 exit_code; /* exit status, or the lowest number when a signal ended it */
	__s32 exit_signal; /* signal that ended it, or 0 */
	__s32 target_pid; /* process that the call names */
	__s32 signal; /* signal sent */
	__s32 request; /* ptrace request */
	__s32 fd; /* file descriptor argument, or -1 */
	__u32 ruid; /* real user id after the call */
	__u32 euid; /* effective user id after the call */
	__u32 suid; /* saved user id after the call */
	__u32 rgid; /* real group id after the call */
	__u32 egid; /* effective group id after the call */
	__u32 sgid; /* saved group id after the call */
	__s32 requested; /* first id argument of the call, -1 for none */
	__u32 session_id; /* session of the process, 0 for none */
	__u32 login; /* login user id, all ones for none */
	__u32 mnt_ns; /* inode number of the mount namespace */
	__u32 pid_ns; /* of the pid namespace */
	__u32 net_ns; /* of the network namespace */
	__u32 user_ns; /* of the user namespace */
	__u32 uts_ns; /* of the UTS namespace */
	__u32 ipc_ns; /* of the IPC namespace */
	__u32 cgroup_ns; /* of the cgroup namespace */
	__u8 path_state; /* bits of paths: 0 truncated, 1 deleted, 2 unreachable, 3 and 4 how `..` of a text ends */
	__u8 path_odd; /* bits 1 and 2 of `path_state` */
	__u8 bits; /* 0: arguments cut, 1: core dumped, 2: dirfd unreadable */
	__u16 exe_len; /* bytes of tail `exe` */
	__u16 path_len; /* bytes of tail `path` */
	__u16 path_raw_len; /* bytes of tail `path_raw` */
	__u16 path_dir_len; /* bytes of tail `path_dir` */
	__u16 args_len; /* bytes of tail `args` */
	__u16 env_len; /* bytes of tail `env` */
	__u16 cwd_len; /* bytes of tail `cwd` */
	__u16 tty_len; /* bytes of tail `tty` */
} __attribute__((aligned(8)));

/* Paths and files: open, names, attributes, mounts. */
struct weir_file {
	struct weir_header header;
	__s64 ret; /* return value of the call */
	__u64 ino; /* inode number, or 0 */
	__s64 length; /* bytes: length asked for by truncate, size of the file at close */
	__u64 flags; /* flags argument */
	__u32 dev; /* device of the file as stat(2) shows it, or 0 */
	__s32 fd; /* file descriptor, or -1 */
	__u32 mode; /* mode argument */
	__u32 attributes_set; /* mount_setattr: attributes that are set */
	__u32 attributes_cleared; /* mount_setattr: attributes that are cleared */
	__u32 propagation; /* mount_setattr: kind of propagation, or 0 */
	__s32 new_uid; /* chown: owner asked for, -1 unchanged */
	__s32 new_gid; /* chown: group asked for, -1 unchanged */
	__u8 bits; /* 0: created, 1: truncated */
	__u8 path_source; /* 1 kernel, 2 argument, 3 descriptor */
	__u8 path_state; /* bits: 0 truncated, 1 deleted, 2 unreachable, 3 and 4 how `..` of a text ends */
	__u8 path_odd; /* bits 1 and 2 of `path_state` */
	__u16 path_len; /* bytes of tail `path` */
	__u16 path_raw_len; /* bytes of tail `path_raw` */
	__u16 path_dir_len; /* bytes of tail `path_dir` */
	__u16 new_path_raw_len; /* bytes of tail `new_path_raw` */
	__u16 new_path_dir_len; /* bytes of tail `new_path_dir` */
	__u16 source_len; /* bytes of tail `source` */
	__u16 fs_type_len; /* bytes of tail `fs_type` */
} __attribute__((aligned(8)));

/* Sockets: IPv4, IPv6 and Unix, with both ends. */
struct weir_network {
	struct weir_header header;
	__s64 ret; /* return value of the call */
	__u64 socket_cookie; /* the kernel's name of the socket */
	__s64 bytes_sent; /* bytes sent, or -1 */
	__s64 bytes_received; /* bytes received, or -1 */
	__s64 length; /* bytes asked for, or -1 */
	__u8 local_ip[16]; /* IPv4 in the first four bytes */
	__u8 remote_ip[16]; /* IPv4 in the first four bytes */
	__s32 fd; /* file descriptor, or -1 */
	__s32 backlog; /* listen: backlog asked for */
	__s32 peer_pid; /* Unix: tgid of the other end, or 0 */
	__s32 local_port; /* host byte order, or -1 */
	__s32 remote_port; /* host byte order, or -1 */
	__u16 family; /* AF_* */
	__u16 type; /* SOCK_* */
	__u16 protocol; /* IPPROTO_* */
	__u8 address_source; /* 1 kernel, 2 argument */
	__u8 ends; /* bit 0: the local address is known, bit 1: the remote one */
	__u16 unix_path_len; /* bytes of tail `unix_path` */
	__u16 unix_peer_path_len; /* bytes of tail `unix_peer_path` */
} __attribute__((aligned(8)));

/* Executable mappings, anonymous files, writes into other processes. */
struct weir_memory {
	struct weir_header header;
	__s64 ret; /* return value of the call */
	__u64 address; /* start of the range */
	__s64 length; /* bytes of the range */
	__u64 flags; /* flags argument */
	__u64 ino; /* inode of the mapped file, or 0 */
	__u32 dev; /* device of the mapped file, or 0 */
	__u32 prot; /* PROT_* */
	__s32 fd; /* file descriptor, or -1 */
	__s32 target_pid; /* process that is written to */
	__u8 path_source; /* 1 kernel, 3 descriptor, 0 no path */
	__u8 path_state; /* bits: 0 truncated, 1 deleted, 2 unreachable */
	__u8 path_odd; /* bits 1 and 2 of `path_state` */
	__u16 path_len; /* bytes of tail `path` */
	__u16 name_len; /* bytes of tail `name` */
} __attribute__((aligned(8)));

/* Modules, BPF programs, perf events, kexec, io_uring. */
struct weir_kernel {
	struct weir_header header;
	__s64 ret; /* return value of the call */
	__u64 flags; /* flags argument */
	__u64 config; /* perf: attr.config */
	__u64 ino; /* inode of the file, or 0 */
	__u32 dev; /* device of the file, or 0 */
	__s32 fd; /* file descriptor, or -1 */
	__s32 type; /* number of the kind, or -1 */
	__s32 target_pid; /* perf: process, -1 all */
	__s32 target_cpu; /* perf: CPU, -1 any */
	__u32 instructions; /* bpf: instructions of the program */
	__u8 path_source; /* 1 kernel, 3 descriptor, 0 no path */
	__u8 path_state; /* bits: 0 truncated, 1 deleted, 2 unreachable */
	__u8 path_odd; /* bits 1 and 2 of `path_state` */
	__u16 path_len; /* bytes of tail `path` */
	__u16 name_len; /* bytes of tail `name` */
	__u16 params_len; /* bytes of tail `params` */
} __attribute__((aligned(8)));

/* Any system call of the machine, chosen by name with `--syscall`. */
struct weir_syscall {
	struct weir_header header;
	__s64 ret; /* return value of the call */
	__u64 args[6]; /* arguments as the registers held them at the exit */
	__s64 duration_ns; /* time between enter and exit, or -1 */
	__s32 nr; /* number of the call in the caller's own table */
	__u8 abi; /* 0 native, 1 compat (32-bit), 2 x32 */
	__u8 text_mask; /* bit i: the text of argument i follows in the tail */
	__u16 texts_len; /* bytes of tail `texts` */
} __attribute__((aligned(8)));

/* Containers: start, end, and what their runtime says of them. */
struct weir_container {
	struct weir_header header;
	__u32 bits; /* 0: labels were left out */
	__u16 cgroup_path_len; /* bytes of tail `cgroup_path` */
	__u16 digest_len; /* bytes of tail `digest` */
	__u16 labels_len; /* bytes of tail `labels` */
	__u16 pod_name_len; /* bytes of tail `pod_name` */
	__u16 pod_namespace_len; /* bytes of tail `pod_namespace` */
	__u16 pod_uid_len; /* bytes of tail `pod_uid` */
} __attribute__((aligned(8)));

#endif

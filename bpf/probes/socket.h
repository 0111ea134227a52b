/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a socket is: its ends, its names, its bytes, and the process it belongs to. No programs here.
 *
 * A pointer that comes from a descriptor is the kernel's, but the verifier does not know that: it can be read and not be
 * handed to helpers. So storage that hangs on the socket serves where the tracepoint itself has the socket, and tables by
 * the socket's cookie serve where a system call has it.
 */
#include <bpf/bpf_endian.h>

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_RAW 3
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
#define SOCK_DONE_BIT 1 /* of skc_flags: the other end has sent its last byte */
#define S_IFSOCK 0140000

#define PF_EXITING 4 /* of task->flags */

#define END_LOCAL 1
#define END_REMOTE 2

#define SOCKETS_MAX 8192 /* entries of each table by cookie; the least recently used one makes room */

/* Bytes that went through a socket since its first transfer that weir saw. */
struct transfer {
	__s64 sent, received;
	__u64 state;
};

#define TRANSFER_PARTIAL 1 /* not all of its life was counted */
#define TRANSFER_WANTED 2  /* the filters took the process of the first transfer */

/* of sockets that are not TCP and not Unix */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct transfer);
} inet_transfers SEC(".maps");

/* of Unix sockets, by cookie */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOCKETS_MAX);
	__type(key, __u64);
	__type(value, struct transfer);
} unix_transfers SEC(".maps");

#define OWNER_KNOWN 1	 /* `task` holds the process */
#define OWNER_UNWANTED 2 /* the filters leave the process out */
#define OWNER_ASKING 4	 /* has asked for a connection that has not come to be */
#define OWNER_CLOSED 8	 /* the connection has had its row of close */

/* The process that connected, accepted or closed a TCP socket: most changes of state happen in interrupts. */
struct owner {
	struct weir_header task; /* the process fields */
	__u64 state;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct owner);
} owners SEC(".maps");

/* of accepted sockets, by cookie */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOCKETS_MAX);
	__type(key, __u64);
	__type(value, struct owner);
} acceptors SEC(".maps");

static __always_inline bool is_inet(__u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

static __always_inline bool is_tcp(__u16 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

/* The socket of a file, or NULL: the name of a Unix socket opened by O_PATH has the mode of a socket, too. */
static __always_inline struct sock *sock_of_file(struct file *file)
{
	struct inode *inode = LOAD(file, f_inode);
	struct socket *socket;

	if ((LOAD(inode, i_mode) & S_IFMT) != S_IFSOCK || !LOAD(file, private_data))
		return NULL;
	socket = CAST(socket, LOAD(file, private_data));
	return LOAD(socket, file) == file ? LOAD(socket, sk) : NULL;
}

static __always_inline struct sock *sock_of(struct task_struct *task, int fd)
{
	struct file *file = file_of(task, fd);

	return file ? sock_of_file(file) : NULL;
}

static __always_inline void no_values(struct weir_network *record)
{
	record->bytes_sent = -1;
	record->bytes_received = -1;
	record->length = -1;
	record->fd = -1;
	record->backlog = -1;
	record->local_port = -1;
	record->remote_port = -1;
}

static __always_inline void fill_kind(struct weir_network *record, struct sock *sk)
{
	record->family = LOAD(sk, __sk_common.skc_family);
	record->type = LOAD(sk, sk_type);
	if (is_inet(record->family)) /* others have numbers of their own */
		record->protocol = LOAD(sk, sk_protocol);
	record->socket_cookie = LOAD(sk, __sk_common.skc_cookie.counter);
}

/* A wildcard address counts when there is a port: the socket is bound to it. */
static __always_inline void known_end(struct weir_network *record, __u8 *ip, __s32 *port, __be16 number, __u8 end)
{
	__u64 *halves = (void *)ip;

	if (number && record->type != SOCK_RAW) {
		*port = bpf_ntohs(number);
		record->ends |= end;
	} else if (halves[0] || halves[1]) {
		record->ends |= end;
	}
}

/* This end of an inet socket. TCP gives its number back before it is closed, and keeps the port until it is used again. */
static __always_inline void fill_local(struct weir_network *record, struct sock *sk)
{
	struct inet_sock *inet = CAST(inet_sock, sk);

	if (record->family == AF_INET)
		*(__be32 *)record->local_ip = LOAD(sk, __sk_common.skc_rcv_saddr);
	else if (bpf_core_field_exists(sk->__sk_common.skc_v6_rcv_saddr))
		bpf_probe_read_kernel(record->local_ip, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	known_end(record, record->local_ip, &record->local_port, LOAD(inet, inet_sport), END_LOCAL);
}

static __always_inline void fill_remote(struct weir_network *record, struct sock *sk)
{
	if (record->family == AF_INET)
		*(__be32 *)record->remote_ip = LOAD(sk, __sk_common.skc_daddr);
	else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
		bpf_probe_read_kernel(record->remote_ip, 16, &sk->__sk_common.skc_v6_daddr);
	known_end(record, record->remote_ip, &record->remote_port, LOAD(sk, __sk_common.skc_dport), END_REMOTE);
}

/* Both ends as the kernel has them. */
static __always_inline void fill_ends(struct weir_network *record, struct sock *sk)
{
	record->address_source = SOURCE_KERNEL;
	fill_local(record, sk);
	fill_remote(record, sk);
}

#define UNIX_PATH_BYTES 108

/* Takes over the `bytes` bytes at the draft's end: a path ends at its NUL, an abstract name gets `@` for its first NUL. */
static __always_inline __u16 keep_name(struct draft *draft, __u32 bytes)
{
	__u8 *name = AT(draft);
	long path;

	if (name[0]) {
		name[bytes] = 0;
		path = bpf_probe_read_kernel_str(name, UNIX_PATH_BYTES + 1, name);
		bytes = path > 0 ? (path - 1) & 127 : 0;
	} else {
		name[0] = '@';
	}
	draft->at += bytes;
	return bytes;
}

/* The name that a Unix socket is bound to; nothing for an unnamed one. */
static __always_inline __u16 add_unix_name(struct draft *draft, struct sock *sk)
{
	struct unix_sock *unix = CAST(unix_sock, sk);
	struct unix_address *address = LOAD(unix, addr);
	__u32 bytes;

	if (!address || draft->at >= DRAFT_BYTES_MAX)
		return 0;
	bytes = LOAD(address, len) - sizeof(__u16);
	if (bytes > UNIX_PATH_BYTES + 1) /* of a path that fills its address the kernel has a NUL more */
		return 0;
	bpf_barrier_var(bytes); /* else one comparison does for both bounds, which the verifier does not see through */
	if (!bytes || bpf_probe_read_kernel(AT(draft), bytes, &address->name[0].sun_path))
		return 0;
	return keep_name(draft, bytes);
}

/* The name in a program's struct sockaddr_un of `bytes` bytes. */
static __always_inline __u16 add_unix_argument(struct draft *draft, const void *address, __u32 bytes)
{
	bytes -= sizeof(__u16);
	if (!address || draft->at >= DRAFT_BYTES_MAX || bytes > UNIX_PATH_BYTES)
		return 0;
	bpf_barrier_var(bytes);
	if (!bytes || bpf_probe_read_user(AT(draft), bytes, address + sizeof(__u16)))
		return 0;
	return keep_name(draft, bytes);
}

static __always_inline struct sock *unix_peer(struct sock *sk)
{
	struct unix_sock *unix = CAST(unix_sock, sk);

	return LOAD(unix, peer);
}

/* The process at the other end when it connected or listened, by its number in the initial namespace. */
static __always_inline __s32 peer_pid(struct sock *sk)
{
	struct pid *pid = LOAD(sk, sk_peer_pid);

	return pid ? LOAD(pid, numbers[0].nr) : 0;
}

/* Whether this kernel tells the lengths of transfers at all (6.3). */
static __always_inline bool counts_transfers(void)
{
	return bpf_core_type_exists(btf_trace_sock_send_length);
}

/* No transfer seen is none, where they are seen. */
static __always_inline void fill_transfer(struct weir_network *record, const struct transfer *transfer, bool unused)
{
	if (!counts_transfers())
		return;
	if (transfer && !(transfer->state & TRANSFER_PARTIAL)) {
		record->bytes_sent = transfer->sent;
		record->bytes_received = transfer->received;
	} else if (!transfer && unused) {
		record->bytes_sent = 0;
		record->bytes_received = 0;
	}
}

static __always_inline void fill_owner(struct weir_header *header, const struct weir_header *task)
{
	header->context = task->context;
	header->process_key = task->process_key;
	header->parent_key = task->parent_key;
	header->cgroup_id = task->cgroup_id;
	header->pid = task->pid;
	header->tid = task->tid;
	header->ppid = task->ppid;
	header->uid = task->uid;
	header->gid = task->gid;
	__builtin_memcpy(header->comm, task->comm, sizeof(header->comm));
}

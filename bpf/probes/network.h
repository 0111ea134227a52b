/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class network.
 *
 * Hooks and why these:
 * - the exit of the system calls, through weir_exit: result and socket are both there, so the ends are the kernel's own;
 * - tp_btf/inet_sock_set_state: connections come to be, fail and end in interrupts, long after the call;
 * - cgroup/sock_release: inet sockets that never were a TCP connection, whoever lets go of them, exits included;
 * - tp_btf/sock_send_length, sock_recv_length: the only place where UDP and Unix sockets tell their bytes;
 * - the enter of close(2), in close.h: Unix sockets.
 * Kernel floor: 5.15; byte counts of UDP and Unix sockets 6.3 (null before). Without them: no ends that can be trusted,
 * no `established` and `refused`, no closes.
 *
 * One row of `close` per TCP connection, when its state becomes CLOSE (which a reset does long before close(2)), else
 * one per socket. A row of an interrupt names the process that connected, accepted or closed the socket; it has no process
 * when that was before weir started or more than SOCKETS_MAX accepted sockets ago, and is then left out if a filter asks
 * for processes.
 * A process that exits has left the followed subtrees when its sockets are closed: then the filters' answer at the socket's
 * last use stands, and sockets that were never used have no row.
 * Not seen: sendmsg, recvmsg and io_uring as calls (their bytes count); the close
 * of a Unix socket by exit, exec or dup.
 */
#include "socket.h"

#define EINTR 4
#define EINPROGRESS 115
#define ERESTARTSYS 512

/* What a call says beside its socket. */
struct asked {
	__s32 fd, backlog;
	__s64 length;
	const void *address; /* the program's struct sockaddr, or NULL */
	__u32 bytes;	     /* of it */
	__u8 end;	     /* which end it names */
	bool trusted;	     /* the call did what it was asked to: the kernel's ends are those of the call */
};

/* A program's struct sockaddr_in or sockaddr_in6. */
struct address {
	__u16 family;
	__be16 port;
	__be32 ip4; /* IPv6: flow label */
	__u8 ip6[16];
	__u32 scope;
};

static __always_inline void read_address(struct address *address, const struct asked *asked)
{
	__u32 bytes = asked->bytes;

	if (!asked->address)
		return;
	if (bytes > sizeof(*address))
		bytes = sizeof(*address);
	bpf_barrier_var(bytes);
	bpf_probe_read_user(address, bytes, asked->address);
}

/* An end by the program's bytes, in the family of the record: IPv4 on an IPv6 socket is mapped, as the kernel does it. */
static __always_inline void fill_argument(struct weir_network *record, const struct address *address, __u8 end)
{
	__u8 *ip = end == END_LOCAL ? record->local_ip : record->remote_ip;
	__be32 *words = (void *)ip;

	if (address->family == AF_INET6 && record->family == AF_INET6) {
		__builtin_memcpy(ip, address->ip6, 16);
	} else if (address->family == AF_INET && record->family == AF_INET6) {
		words[2] = bpf_htonl(0xffff);
		words[3] = address->ip4;
	} else if (address->family == AF_INET && record->family == AF_INET) {
		words[0] = address->ip4;
	} else {
		return;
	}
	if (end == END_LOCAL)
		record->local_port = bpf_ntohs(address->port);
	else
		record->remote_port = bpf_ntohs(address->port);
	record->ends |= end;
	record->address_source = SOURCE_ARGUMENT;
}

static __always_inline void fill_call_socket(struct weir_network *record, struct call *call, struct sock *sk,
					     const struct asked *asked, const struct address *address)
{
	fill_task(&record->header, call->task);
	no_values(record);
	record->ret = call->ret;
	record->fd = asked->fd;
	record->backlog = asked->backlog;
	record->length = asked->length;
	record->family = address->family;
	if (sk)
		fill_kind(record, sk);
}

/* The kernel's end where the call did what it was asked to and the kernel has one, else the program's. */
static __always_inline void fill_call_ends(struct weir_network *record, struct sock *sk, const struct asked *asked,
					   const struct address *address)
{
	if (sk) {
		fill_local(record, sk);
		if (asked->trusted || asked->end != END_REMOTE)
			fill_remote(record, sk);
		record->address_source = SOURCE_KERNEL;
	}
	if (asked->address && (!asked->trusted || !(record->ends & asked->end)))
		fill_argument(record, address, asked->end);
}

/* connect names the other end first, all others this end. */
static __always_inline void add_unix_names(struct draft *draft, struct weir_network *record, struct sock *sk,
					   const struct asked *asked, bool connects)
{
	struct sock *peer = asked->trusted ? unix_peer(sk) : NULL;
	struct sock *first = connects ? peer : sk, *second = connects ? sk : peer;
	bool first_asked = asked->address && (connects || asked->end == END_LOCAL);
	bool second_asked = asked->address && !first_asked;

	record->address_source = SOURCE_KERNEL;
	if (first && (asked->trusted || !first_asked))
		record->unix_path_len = add_unix_name(draft, first);
	if (!record->unix_path_len && first_asked) {
		record->unix_path_len = add_unix_argument(draft, asked->address, asked->bytes);
		record->address_source = SOURCE_ARGUMENT;
	}
	if (second_asked) {
		record->unix_peer_path_len = add_unix_argument(draft, asked->address, asked->bytes);
		record->address_source = SOURCE_ARGUMENT;
	} else if (second) {
		record->unix_peer_path_len = add_unix_name(draft, second);
	}
	record->peer_pid = peer_pid(sk);
}

static __noinline void socket_call(struct call *call, struct sock *sk, const struct asked *asked, __u16 action)
{
	struct weir_network *record;
	struct address address = {};
	struct draft *draft;
	__u16 family;

	read_address(&address, asked);
	family = sk ? LOAD(sk, __sk_common.skc_family) : address.family;
	if (family != AF_UNIX) {
		record = take_fixed(weir_network, action);
		if (!record)
			return;
		fill_call_socket(record, call, sk, asked, &address);
		if (is_inet(family))
			fill_call_ends(record, sk, asked, &address);
		submit(record);
		return;
	}
	record = draft_of(draft, weir_network, action);
	if (!record)
		return;
	fill_call_socket(record, call, sk, asked, &address);
	if (sk)
		add_unix_names(draft, record, sk, asked, action == WEIR_NETWORK_CONNECT);
	draft_send(draft);
}

static __always_inline struct asked asked_of(struct call *call)
{
	return (struct asked){ .fd = ARG(call, 0), .backlog = -1, .length = -1, .trusted = call->ret >= 0 };
}

/* connect and bind: (fd, address, bytes). */
static __always_inline struct asked asked_for(struct call *call, __u8 end)
{
	struct asked asked = asked_of(call);

	asked.address = (void *)ARG(call, 1);
	asked.bytes = ARG(call, 2);
	asked.end = end;
	return asked;
}

HANDLER(connect)
{
	struct asked asked = asked_for(call, END_REMOTE);

	if (call->ret == -EINPROGRESS || call->ret == -EINTR || call->ret == -ERESTARTSYS)
		asked.trusted = true;
	socket_call(call, sock_of(call->task, asked.fd), &asked, WEIR_NETWORK_CONNECT);
}

HANDLER(bind)
{
	struct asked asked = asked_for(call, END_LOCAL);

	socket_call(call, sock_of(call->task, asked.fd), &asked, WEIR_NETWORK_BIND);
}

HANDLER(listen)
{
	struct asked asked = asked_of(call);

	asked.backlog = ARG(call, 1);
	socket_call(call, sock_of(call->task, asked.fd), &asked, WEIR_NETWORK_LISTEN);
}

/* The end of the connection may come in an interrupt: who took it is kept for that row. */
static __always_inline void keep_acceptor(struct task_struct *task, struct sock *sk)
{
	__u64 cookie = LOAD(sk, __sk_common.skc_cookie.counter);
	struct owner owner = { .state = OWNER_KNOWN };

	if (!cookie || !selected(WEIR_NETWORK_CLOSE) || !is_tcp(LOAD(sk, sk_protocol)))
		return;
	fill_task(&owner.task, task);
	bpf_map_update_elem(&acceptors, &cookie, &owner, BPF_ANY);
}

/* The new socket, or after a failure the one that listens. */
static __always_inline void accepted(struct call *call)
{
	struct asked asked = asked_of(call);
	struct sock *sk = sock_of(call->task, call->ret >= 0 ? call->ret : asked.fd);

	asked.fd = call->ret >= 0 ? call->ret : -1;
	if (sk && call->ret >= 0)
		keep_acceptor(call->task, sk);
	socket_call(call, sk, &asked, WEIR_NETWORK_ACCEPT);
}

HANDLER(accept) { accepted(call); }
HANDLER(accept4) { accepted(call); }

/* Without an address it is a connected socket, whose ends do not hang on the result. */
HANDLER(sendto)
{
	struct asked asked = asked_of(call);

	asked.length = ARG(call, 2);
	asked.address = (void *)ARG(call, 4);
	asked.bytes = ARG(call, 5);
	asked.end = END_REMOTE;
	asked.trusted = !asked.address;
	socket_call(call, sock_of(call->task, asked.fd), &asked, WEIR_NETWORK_SENDTO);
}

/* The sender's address stands where the program asked for it, written by the kernel, and there the program can reach it. */
HANDLER(recvfrom)
{
	struct asked asked = asked_of(call);

	asked.length = ARG(call, 2);
	asked.end = END_REMOTE;
	asked.trusted = true;
	if (call->ret >= 0 && ARG(call, 4)) {
		bpf_probe_read_user(&asked.bytes, sizeof(asked.bytes), (void *)ARG(call, 5));
		asked.address = (void *)ARG(call, 4);
		asked.trusted = !asked.bytes; /* a stream has no sender but its other end */
	}
	socket_call(call, sock_of(call->task, asked.fd), &asked, WEIR_NETWORK_RECVFROM);
}

#include "network_state.h"
#include "network_close.h"

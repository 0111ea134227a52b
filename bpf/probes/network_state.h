/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class network: the states of TCP sockets, and whose they are. Hooks and reasons stand in network.h.
 *
 * The lock of a socket is owned while a task makes a call on it, and only then: an interrupt that finds it owned leaves its
 * work to the task. So it tells, where nothing else does before 6.14, whether the current task is the one that acts.
 */

/* Whether the current task is at work on the socket, rather than an interrupt that came in its time. */
static __always_inline bool held(struct sock *sk)
{
	return sk->sk_lock.owned;
}

/* A process that exits leaves the followed subtrees before it closes its sockets: who had them counts. */
static __always_inline bool exiting(struct task_struct *task)
{
	return task->flags & PF_EXITING;
}

/* The current task is the socket's process from now on; that it is unwanted is remembered, too. */
static __always_inline void own(struct sock *sk, __u64 state)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct owner *owner;

	if (!held(sk) || exiting(task))
		return;
	owner = bpf_sk_storage_get(&owners, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!owner)
		return;
	if (wanted(task)) {
		fill_task(&owner->task, task);
		state |= OWNER_KNOWN;
	} else {
		state |= OWNER_UNWANTED;
	}
	owner->state = state;
}

/* Whose row it is: NULL for nobody's. `*keep` says whether it is recorded. */
static __always_inline struct owner *owner_of(struct sock *sk, struct owner *owner, bool *keep)
{
	__u64 cookie = sk->__sk_common.skc_cookie.counter;

	if (!owner || !(owner->state & (OWNER_KNOWN | OWNER_UNWANTED)))
		owner = bpf_map_lookup_elem(&acceptors, &cookie);
	*keep = owner ? owner->state & OWNER_KNOWN : !(config.filters & FILTER_LISTS);
	return owner;
}

/* Data bytes, each once; the kernel counts the end of the other side's stream as a byte. */
static __always_inline void fill_tcp_bytes(struct weir_network *record, struct sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	if (!tcp)
		return;
	record->bytes_sent = tcp->bytes_sent - tcp->bytes_retrans;
	record->bytes_received = tcp->bytes_received - (sk->__sk_common.skc_flags >> SOCK_DONE_BIT & 1);
}

/* A close is the current task's where that holds the socket; the other changes are those of who asked. */
static __always_inline void state_row(struct sock *sk, struct owner *owner, __u16 action)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool mine = held(sk) && !exiting(task) && (action == WEIR_NETWORK_CLOSE || !owner), keep;
	struct weir_network *record;

	if (!selected(action) || !wanted_result(action == WEIR_NETWORK_REFUSED ? -1 : 0))
		return;
	if (mine)
		keep = wanted(task);
	else
		owner = owner_of(sk, owner, &keep);
	if (!keep)
		return;
	record = take_fixed(weir_network, action);
	if (!record)
		return;
	if (mine)
		fill_task(&record->header, task);
	else if (owner)
		fill_owner(&record->header, &owner->task);
	no_values(record);
	fill_kind(record, sk);
	fill_ends(record, sk);
	if (action == WEIR_NETWORK_CLOSE)
		fill_tcp_bytes(record, sk);
	submit(record);
}

/* The end of a connection, of an attempt, or of a socket that listened. */
static __always_inline void state_closed(struct sock *sk, struct owner *owner, int old)
{
	__u64 cookie = sk->__sk_common.skc_cookie.counter;

	if (old == BPF_TCP_SYN_SENT || (owner && owner->state & OWNER_ASKING)) {
		state_row(sk, owner, WEIR_NETWORK_REFUSED);
		return;
	}
	if (old == BPF_TCP_SYN_RECV || old == BPF_TCP_CLOSE) /* never handed to a program */
		return;
	state_row(sk, owner, WEIR_NETWORK_CLOSE);
	bpf_map_delete_elem(&acceptors, &cookie);
	if (!POINTER(sk, sk_socket))
		return;
	owner = bpf_sk_storage_get(&owners, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (owner)
		owner->state |= OWNER_CLOSED;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(weir_socket_state, struct sock *sk, int old, int new)
{
	struct owner *owner;

	if (!is_tcp(sk->sk_protocol))
		return 0;
	bpf_get_socket_cookie(sk); /* made here, where the verifier knows the socket: all other places find it */
	switch (new) {
	case BPF_TCP_SYN_SENT:
		own(sk, OWNER_ASKING);
		return 0;
	case BPF_TCP_FIN_WAIT1:
	case BPF_TCP_LAST_ACK:
		own(sk, 0);
		return 0;
	case BPF_TCP_ESTABLISHED:
	case BPF_TCP_CLOSE:
		break;
	default:
		return 0;
	}
	owner = bpf_sk_storage_get(&owners, sk, NULL, 0);
	if (new == BPF_TCP_CLOSE) {
		state_closed(sk, owner, old);
	} else if (old == BPF_TCP_SYN_SENT || (owner && owner->state & OWNER_ASKING)) {
		state_row(sk, owner, WEIR_NETWORK_ESTABLISHED);
		if (owner)
			owner->state &= ~OWNER_ASKING;
	}
	return 0;
}

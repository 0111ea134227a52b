/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class network: bytes of UDP and Unix sockets, and the closes that TCP's states do not tell. Hooks and reasons stand in
 * network.h.
 */

static __always_inline void count(struct transfer *transfer, __s64 sent, __s64 received)
{
	if (sent)
		__sync_fetch_and_add(&transfer->sent, sent);
	if (received)
		__sync_fetch_and_add(&transfer->received, received);
}

/* A cookie that was there before the first count: an entry that had to make room, or a socket that someone looked at. */
static __noinline struct transfer *first_unix_transfer(struct sock *sk, __u64 cookie)
{
	struct transfer first = { .state = cookie ? TRANSFER_PARTIAL : 0 };

	if (!cookie)
		cookie = bpf_get_socket_cookie(sk);
	bpf_map_update_elem(&unix_transfers, &cookie, &first, BPF_NOEXIST);
	return bpf_map_lookup_elem(&unix_transfers, &cookie);
}

static __always_inline struct transfer *unix_transfer(struct sock *sk)
{
	__u64 cookie = sk->__sk_common.skc_cookie.counter;
	struct transfer *transfer = cookie ? bpf_map_lookup_elem(&unix_transfers, &cookie) : NULL;

	return transfer ?: first_unix_transfer(sk, cookie);
}

static __noinline struct transfer *first_inet_transfer(struct sock *sk)
{
	struct transfer *transfer;

	bpf_get_socket_cookie(sk); /* made: the rows of the socket carry it from now on */
	transfer = bpf_sk_storage_get(&inet_transfers, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (transfer && wanted(bpf_get_current_task_btf()))
		transfer->state = TRANSFER_WANTED;
	return transfer;
}

static __always_inline struct transfer *inet_transfer(struct sock *sk)
{
	return bpf_sk_storage_get(&inet_transfers, sk, NULL, 0) ?: first_inet_transfer(sk);
}

/* TCP keeps its own counts, so it leaves at once. */
static __always_inline void transferred(struct sock *sk, __s64 sent, __s64 received)
{
	__u16 family = sk->__sk_common.skc_family;
	struct transfer *transfer = NULL;

	if (family == AF_UNIX)
		transfer = unix_transfer(sk);
	else if (is_inet(family) && !is_tcp(sk->sk_protocol))
		transfer = inet_transfer(sk);
	if (transfer)
		count(transfer, sent, received);
}

SEC("?tp_btf/sock_send_length")
int BPF_PROG(weir_socket_sent, struct sock *sk, int bytes, int flags)
{
	if (bytes > 0)
		transferred(sk, bytes, 0);
	return 0;
}

#define MSG_PEEK 2 /* looked at, not taken */

SEC("?tp_btf/sock_recv_length")
int BPF_PROG(weir_socket_received, struct sock *sk, int bytes, int flags)
{
	if (bytes > 0 && !(flags & MSG_PEEK))
		transferred(sk, 0, bytes);
	return 0;
}

/*
 * Before 6.12 a cgroup program cannot ask whether a task is under a cgroup, and the verifier refuses all of wanted() for it.
 * Older kernels get the subtrees, and no row where another filter is set. (The kfunc stands for a version that has both.)
 */
static __always_inline bool wanted_release(struct task_struct *task)
{
	__u32 filters = config.filters, tgid = task->tgid;

	if (bpf_ksym_exists(bpf_local_irq_save))
		return wanted(task);
	if (filters & FILTER_LISTS & ~(FILTER_TREE | FILTER_NOT_TREE))
		return false;
	if (filters & FILTER_SELF && is_own(task))
		return false;
	if (filters & FILTER_TREE && !bpf_map_lookup_elem(&followed, &tgid))
		return false;
	return !(filters & FILTER_NOT_TREE && bpf_map_lookup_elem(&not_followed, &tgid));
}

/* Preemptible, so without drafts. The states of TCP have told the end of every connection already. */
SEC("?cgroup/sock_release")
int weir_socket_release(struct bpf_sock *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sock *sk = CAST(sock, ctx);
	bool tcp = is_tcp(LOAD(sk, sk_protocol));
	struct transfer *transfer;
	struct weir_network *record;

	if (!selected(WEIR_NETWORK_CLOSE) || !wanted_result(0))
		return 1;
	if (tcp) {
		struct owner *owner = bpf_sk_storage_get(&owners, ctx, NULL, 0);
		__u8 state = LOAD(sk, __sk_common.skc_state);

		if (state != BPF_TCP_CLOSE && state != BPF_TCP_SYN_SENT)
			return 1;
		if (owner && owner->state & OWNER_CLOSED)
			return 1;
	}
	transfer = bpf_sk_storage_get(&inet_transfers, ctx, NULL, 0);
	if (!wanted_release(task) && !(exiting(task) && transfer && transfer->state & TRANSFER_WANTED))
		return 1;
	record = take_fixed(weir_network, WEIR_NETWORK_CLOSE);
	if (!record)
		return 1;
	fill_task(&record->header, task);
	no_values(record);
	fill_kind(record, sk);
	fill_ends(record, sk);
	if (tcp) {
		record->bytes_sent = 0;
		record->bytes_received = 0;
	} else {
		fill_transfer(record, transfer, true);
	}
	submit(record);
	return 1;
}

/* At the enter of close(2), for a file that nobody else holds. */
static __always_inline void closing_socket(struct task_struct *task, int fd, struct file *file)
{
	struct sock *sk = sock_of_file(file);
	struct weir_network *record;
	struct draft *draft;
	__u64 cookie;

	if (!sk || LOAD(sk, __sk_common.skc_family) != AF_UNIX)
		return;
	if (!selected(WEIR_NETWORK_CLOSE) || !wanted_result(0))
		return;
	record = draft_of(draft, weir_network, WEIR_NETWORK_CLOSE);
	if (!record)
		return;
	fill_task(&record->header, task);
	no_values(record);
	fill_kind(record, sk);
	record->fd = fd;
	record->address_source = SOURCE_KERNEL;
	record->peer_pid = peer_pid(sk);
	cookie = record->socket_cookie;
	fill_transfer(record, bpf_map_lookup_elem(&unix_transfers, &cookie), !cookie);
	record->unix_path_len = add_unix_name(draft, sk);
	sk = unix_peer(sk);
	if (sk)
		record->unix_peer_path_len = add_unix_name(draft, sk);
	draft_send(draft);
}

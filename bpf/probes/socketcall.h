/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class network, for 32-bit programs of x86 whose C library still makes all socket calls through socketcall(2): a number,
 * and the arguments as 32-bit words in memory.
 *
 * Hook: the exit of that call, as of the others. Kernel floor: 5.15. Without it: only TCP's states are seen of them.
 */

/* from the kernel's user interface: linux/net.h; number, words that the call reads, what it is */
#define SOCKETCALLS(F)                                                                             \
	F(2, 3, BIND)                                                                              \
	F(3, 3, CONNECT)                                                                           \
	F(4, 2, LISTEN)                                                                            \
	F(5, 3, ACCEPT)                                                                            \
	F(9, 4, SENDTO) /* send: the words of an address stay 0 */                                 \
	F(10, 4, RECVFROM) /* recv */                                                              \
	F(11, 6, SENDTO)                                                                           \
	F(12, 6, RECVFROM)                                                                         \
	F(18, 4, ACCEPT)

#define SOCKETCALL(number, words, what)                                                            \
	case number:                                                                               \
		count = words;                                                                     \
		action = WEIR_NETWORK_##what;                                                      \
		break;

HANDLER(socketcall)
{
	__u32 words[6] = {}, count;
	struct call inner = { call->task, call->regs, call->ret, call->nr, call->abi, .words = words };
	__u16 action;

	switch ((__u32)ARG(call, 0)) {
		SOCKETCALLS(SOCKETCALL)
	default:
		return;
	}
	if (!selected(action))
		return;
	bpf_probe_read_user(words, count * sizeof(__u32), (void *)ARG(call, 1));
	if (action == WEIR_NETWORK_CONNECT)
		on_connect(&inner);
	else if (action == WEIR_NETWORK_BIND)
		on_bind(&inner);
	else if (action == WEIR_NETWORK_LISTEN)
		on_listen(&inner);
	else if (action == WEIR_NETWORK_ACCEPT)
		accepted(&inner);
	else if (action == WEIR_NETWORK_SENDTO)
		on_sendto(&inner);
	else
		on_recvfrom(&inner);
}

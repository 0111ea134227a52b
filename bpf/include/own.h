/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which processes are the collector's own, and so left out: itself and the children that work for it.
 *
 * They are known by their process keys, which nobody else can have: a pid is another's as soon as its owner is gone, and these
 * programs can outlive the collector by hours. A key costs three loads, so a task's pid asks one word of bits first.
 *
 * Children of the collector join from before their first instruction. Their own children do not: nothing that is made to start
 * a program there is hidden by it. A command that the collector starts for its user is forked before there are any programs.
 */
#ifndef WEIR_OWN_H
#define WEIR_OWN_H

#include "context.h"

#define COLLECTOR 0 /* its own place in the table; the others are its children's */

static __always_inline __u64 own_bit(__u32 tgid)
{
	return 1ULL << (tgid & 63);
}

/*
 * Only for a pid whose bit is set, which is rare for others. Without a branch for each key, or the verifier follows them all:
 * of x and -x one has the sign bit unless x is zero.
 */
static __noinline bool is_own_key(struct task_struct *task)
{
	__u64 key = key_of(task), differ = -1ULL;

	for (__u32 i = 0; i < OWN_MAX; i++) {
		__u64 x = ours.keys[i] ^ key, minus = -x;

		asm volatile("" : "+r"(minus));
		differ &= x | minus;
	}
	return !(differ >> 63);
}

static __always_inline bool is_own(struct task_struct *task)
{
	return *(volatile __u64 *)&ours.bits & own_bit(task->tgid) && is_own_key(task);
}

/* A place that is left keeps its key until it is taken again: a process closes files behind its end. */
static __always_inline void add_own(__u32 i, __s64 key, __u32 tgid)
{
	ours.keys[i & (OWN_MAX - 1)] = key;
	__sync_fetch_and_or(&ours.bits, own_bit(tgid));
}

/* Takes a child in. In a full table it is recorded like any other. */
static __always_inline void join_own(__s64 key, __u32 tgid)
{
	for (__u32 i = COLLECTOR + 1; i < OWN_MAX; i++)
		if (!ours.taken[i] && !__sync_lock_test_and_set(&ours.taken[i], 1)) {
			add_own(i, key, tgid);
			return;
		}
}

static __always_inline void fork_own(struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = child->tgid;

	if (ours.keys[COLLECTOR] && ours.keys[COLLECTOR] == key_of(parent))
		join_own(process_key(child->start_boottime, tgid), tgid);
}

static __always_inline void leave_own(struct task_struct *task)
{
	__s64 key = key_of(task);

	if (!is_own(task))
		return;
	for (__u32 i = COLLECTOR + 1; i < OWN_MAX; i++)
		if (ours.keys[i] == key)
			ours.taken[i] = 0;
}

#endif

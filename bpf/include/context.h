/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who: the identity of a task, read by direct loads (a fifth of the cost of probe reads).
 */
#ifndef WEIR_CONTEXT_H
#define WEIR_CONTEXT_H

#include "maps.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* Names one process of one boot for ever; of the group leader. */
static __always_inline __s64 process_key(__u64 start_boottime, __u32 tgid)
{
	return (__s64)((start_boottime >> 17) << 22 | (tgid & ((1 << 22) - 1)));
}

static __always_inline __s64 key_of(struct task_struct *task)
{
	return process_key(task->group_leader->start_boottime, task->tgid);
}

/* Eight bytes in one load; where the compiler knows that they are characters it would load each. */
static __always_inline __u64 word(const void *from, int i)
{
	return ((const __u64 *)from)[i];
}

static __always_inline void copy_comm(void *to, const struct task_struct *task)
{
	((__u64 *)to)[0] = word(task->comm, 0);
	((__u64 *)to)[1] = word(task->comm, 1);
}

/* All fields of the header but size, action, sequence number and time. */
static __always_inline void fill_task(struct weir_header *header, struct task_struct *task)
{
	struct task_struct *parent = task->real_parent;
	const struct cred *cred = task->cred;

	header->context = WEIR_CONTEXT_TASK;
	header->process_key = key_of(task);
	header->parent_key = key_of(parent);
	header->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	header->pid = task->tgid;
	header->tid = task->pid;
	header->ppid = parent->tgid;
	header->uid = cred->uid.val;
	header->gid = cred->gid.val;
	copy_comm(header->comm, task);
}

static __always_inline __u32 stat_dev(__u32 dev)
{
	__u32 major = dev >> 20, minor = dev & 0xfffff;

	return (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}

#endif

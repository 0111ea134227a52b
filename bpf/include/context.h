/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who: the identity of a task, by direct loads.
 */
#ifndef WEIR_CONTEXT_H
#define WEIR_CONTEXT_H

#include "load.h"
#include "maps.h"
#include <bpf/bpf_tracing.h>

/* Names one process of one boot for ever; of the group leader. */
static __always_inline __s64 process_key(__u64 start_boottime, __u32 tgid)
{
	return (__s64)((start_boottime >> 17) << 22 | (tgid & ((1 << 22) - 1)));
}

/* Most tasks lead their group. */
static __always_inline __s64 key_of(struct task_struct *task)
{
	__u64 start = task->start_boottime;
	__u32 tgid = task->tgid;

	if (task->pid != tgid)
		start = POINTER(task, group_leader)->start_boottime;
	return process_key(start, tgid);
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

#define HAS_CONTROLLER(controller) bpf_core_enum_value_exists(enum cgroup_subsys_id, controller)
#define CGROUP_OF(set, controller)                                                                 \
	((set)->subsys[bpf_core_enum_value(enum cgroup_subsys_id, controller)]->cgroup->kn->id)

/* The cgroup of v2. */
static __always_inline __u64 cgroup_of(struct css_set *set)
{
	return set->dfl_cgrp->kn->id;
}

/* The cgroup that tells the container: of v2, or of a controller where containers live on v1. */
static __always_inline __u64 container_cgroup(struct css_set *set, __u64 cgroup)
{
	if (HAS_CONTROLLER(pids_cgrp_id) && config.container_hierarchy == CONTAINERS_IN_V1_PIDS)
		return CGROUP_OF(set, pids_cgrp_id);
	if (HAS_CONTROLLER(memory_cgrp_id) && config.container_hierarchy == CONTAINERS_IN_V1_MEMORY)
		return CGROUP_OF(set, memory_cgrp_id);
	return cgroup;
}

/* In a pid namespace below the collector's. */
static __always_inline bool is_inner(struct task_struct *task)
{
	return POINTER(task, thread_pid)->level > config.host_pid_level;
}

/* The number of a task in the pid namespace of this level. */
static __always_inline __u32 number_at(struct task_struct *task, __u32 level)
{
	struct pid *pid = POINTER(task, thread_pid);
	unsigned long number = (unsigned long)pid + bpf_core_field_offset(struct pid, numbers);
	__u32 found = 0;

	if (pid->level < level)
		return 0;
	number += level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr);
	bpf_probe_read_kernel(&found, sizeof(found), (void *)number);
	return found;
}

/*
 * Whether root made the outermost pid namespace below the collector's: it belongs to the initial user namespace, which
 * takes a capability there, and its first process is root's. Programs that have the capability by their file (sandboxes)
 * make such namespaces for everybody, and there the first process is their user's.
 */
static __noinline bool is_inner_of_root(struct task_struct *task)
{
	unsigned long number = (unsigned long)POINTER(task, thread_pid) + bpf_core_field_offset(struct pid, numbers);
	struct pid_namespace *namespace = NULL;
	struct task_struct *init;

	number += (config.host_pid_level + 1) * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, ns);
	bpf_probe_read_kernel(&namespace, sizeof(namespace), (void *)number);
	if (!namespace || BPF_CORE_READ(namespace, user_ns, level))
		return false;
	init = BPF_CORE_READ(namespace, child_reaper);
	return init && !BPF_CORE_READ(init, cred, uid.val);
}

/*
 * Whether the pid namespace alone puts a task into a container. Anybody can make one: who is to be left out must be in one of
 * root's, and where only containers are recorded each of them counts, since a row too many hides nothing.
 */
static __always_inline bool is_inner_for(struct task_struct *task, __u32 filters)
{
	return is_inner(task) && (filters & FILTER_CONTAINERS || is_inner_of_root(task));
}

/* All fields of the header but size, action, sequence number and time. */
static __always_inline void fill_task(struct weir_header *header, struct task_struct *task)
{
	struct task_struct *parent = POINTER(task, real_parent);
	const struct cred *cred = POINTER(task, cred);
	struct css_set *set = POINTER(task, cgroups);

	header->context = WEIR_CONTEXT_TASK;
	if (config.filters & (FILTER_CONTAINERS | FILTER_NOT_CONTAINERS) && is_inner_for(task, config.filters))
		header->context |= WEIR_CONTEXT_INNER;
	header->process_key = key_of(task);
	header->ppid = parent->tgid;
	header->parent_key = process_key(parent->group_leader->start_boottime, header->ppid);
	header->cgroup_id = cgroup_of(set);
	header->container_cgroup = container_cgroup(set, header->cgroup_id);
	header->pid = task->tgid;
	header->tid = task->pid;
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

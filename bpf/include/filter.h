/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is recorded at all: asked before anything is reserved, so what is filtered out costs no room and no number.
 * Each list filter has its exclusion; a kept event passes every filter that is set.
 */
#ifndef WEIR_FILTER_H
#define WEIR_FILTER_H

#include "own.h"

#define SET(name_, key_, entries)                                                                  \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, entries);                                                      \
		__type(key, key_);                                                                 \
		__type(value, __u8);                                                               \
	} name_ SEC(".maps")

struct comm_key {
	char text[16];
} __attribute__((aligned(8)));

/* tgids of the followed and of the excluded subtrees; set to `followed_max` at load */
SET(followed, __u32, 65536);
SET(not_followed, __u32, 65536);
SET(users, __u32, LIST_MAX);
SET(not_users, __u32, LIST_MAX);
SET(comms, struct comm_key, LIST_MAX);
SET(not_comms, struct comm_key, LIST_MAX);

#define CGROUPS(name_)                                                                             \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);                                           \
		__uint(max_entries, LIST_MAX);                                                     \
		__uint(key_size, sizeof(__u32));                                                   \
		__uint(value_size, sizeof(__u32));                                                 \
	} name_ SEC(".maps")

CGROUPS(cgroup_list);
CGROUPS(not_cgroup_list);

/* What the collector says of each cgroup that can have a container; it decides itself where it has not said it yet. */
#define CGROUPS_MAX 65536
#define CGROUP_INSIDE 1	  /* a container's, as far as the filter believes it */
#define CGROUP_UNWANTED 2 /* the filter by id and name leaves it out */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CGROUPS_MAX);
	__type(key, __u64);
	__type(value, __u8);
} container_cgroups SEC(".maps");

static __always_inline bool passes_containers(struct task_struct *task, __u32 filters)
{
	struct css_set *set = POINTER(task, cgroups);
	__u64 cgroup = container_cgroup(set, cgroup_of(set));
	__u8 *known = bpf_map_lookup_elem(&container_cgroups, &cgroup);
	bool inside = is_inner_for(task, filters);

	if (!known && !inside)
		return true;
	inside |= known && *known & CGROUP_INSIDE;
	if (filters & (FILTER_CONTAINERS | FILTER_NOT_CONTAINERS) && inside != !!(filters & FILTER_CONTAINERS))
		return false;
	return !known || !(filters & FILTER_CONTAINER_IDS) || !(*known & CGROUP_UNWANTED);
}

static __always_inline bool under_cgroup(void *list, __u32 entries)
{
	for (__u32 i = 0; i < LIST_MAX && i < entries; i++)
		if (bpf_current_task_under_cgroup(list, i) == 1)
			return true;
	return false;
}

static __noinline bool passes_lists(struct task_struct *task, __u32 filters)
{
	__u32 tgid = task->tgid, uid = POINTER(task, cred)->uid.val;

	if (filters & FILTER_TREE && !bpf_map_lookup_elem(&followed, &tgid))
		return false;
	if (filters & FILTER_NOT_TREE && bpf_map_lookup_elem(&not_followed, &tgid))
		return false;
	if (filters & (FILTER_CONTAINERS | FILTER_NOT_CONTAINERS | FILTER_CONTAINER_IDS) &&
	    !passes_containers(task, filters))
		return false;
	if (filters & FILTER_USER && !bpf_map_lookup_elem(&users, &uid))
		return false;
	if (filters & FILTER_NOT_USER && bpf_map_lookup_elem(&not_users, &uid))
		return false;
	if (filters & (FILTER_COMM | FILTER_NOT_COMM)) {
		struct comm_key comm;

		copy_comm(&comm, task);
		if (filters & FILTER_COMM && !bpf_map_lookup_elem(&comms, &comm))
			return false;
		if (filters & FILTER_NOT_COMM && bpf_map_lookup_elem(&not_comms, &comm))
			return false;
	}
	if (filters & FILTER_CGROUP && !under_cgroup(&cgroup_list, config.cgroups))
		return false;
	if (filters & FILTER_NOT_CGROUP && under_cgroup(&not_cgroup_list, config.not_cgroups))
		return false;
	return true;
}

#define FILTER_LISTS                                                                               \
	(FILTER_CONTAINER_IDS | (FILTER_SELF - 1 - (FILTER_PATH | FILTER_NOT_PATH | FILTER_FAILED | FILTER_SUCCEEDED)))

/* Whether this task passes all of these filters; of cgroups only the current task can be asked. */
static __always_inline bool passes(struct task_struct *task, __u32 filters)
{
	if (filters & FILTER_SELF && is_own(task))
		return false;
	if (filters & FILTER_LISTS)
		return passes_lists(task, filters);
	return true;
}

/* Whether an event of this (the current) task is recorded. */
static __always_inline bool wanted(struct task_struct *task)
{
	return passes(task, config.filters);
}

/* Whether an attempt with this result is recorded. */
static __always_inline bool wanted_result(long ret)
{
	if (config.filters & FILTER_FAILED && ret >= 0)
		return false;
	if (config.filters & FILTER_SUCCEEDED && ret < 0)
		return false;
	return true;
}

static __always_inline bool selected(__u16 action)
{
	return config.actions[(action >> 8) & 7] & 1ULL << (action & 63);
}

#endif

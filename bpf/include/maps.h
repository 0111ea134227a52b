/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs share with the collector: the rings, the state of each CPU, and the configuration.
 * The collector maps `cpus`, `reader` and `config` into its memory; their layout is checked against BTF at start.
 */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include "kernel.h"
#include "records.h"
#include <bpf/bpf_helpers.h>

#define CPUS_MAX 1024		    /* CPUs that can take numbers */
#define LOST_LOG_ENTRIES (1U << 16) /* losses per CPU whose action is remembered until the reader has seen the gap */
#define SCRATCH_BYTES (2 * WEIR_RECORD_BYTES_MAX)
#define CALLS 2048 /* slots of system calls: native and x32 below 1024, compat above */
#define COMPAT_SLOT 1024
#define TEXT_BYTES_MAX 4096 /* longest path or name that is read, the kernel's PATH_MAX */
#define PREFIX_BYTES_MAX 240 /* longest path prefix of a filter; the kernel's tries end at 256 */
#define LIST_MAX 64	    /* values of one list filter */

/* One CPU's counters; written on that CPU only, read by the collector. A line of its own against false sharing. */
struct cpu_state {
	__u64 seq;	  /* next number */
	__u64 lost;	  /* attempts that got a number and no room, also the write position in lost_log */
	__u64 forced_wakeups;
	__u32 in_draft; /* a variable record is being made on this CPU */
	__u32 filter_full; /* children that could not be followed */
	__u32 room;	/* bytes that the ring is known to have before the room that only process records may use */
	__u32 pad;
	__u64 pads[2];
} __attribute__((aligned(64)));

struct cpu_state cpus[CPUS_MAX] SEC(".data.cpus");

/* The reader sets `sleeping` before it goes to epoll; the first record after that exchanges it and wakes it. */
struct reader_state {
	__u32 sleeping;
	__u32 pad;
} reader SEC(".data.reader") = {};

#define OWN_MAX 16 /* the collector and the children that work for it */

/* The collector's own processes; never recorded unless asked. See own.h. */
struct own_state {
	__u64 bits; /* of each pid that may be there */
	__s64 keys[OWN_MAX]; /* process keys, 0 for none; the collector's first */
	__u32 taken[OWN_MAX]; /* by a child that lives */
	__u32 asked; /* pid, as the collector sees it, of a process that weir_own is to take in */
	__u32 pad;
} ours SEC(".data.own") = {};

/* Bits of config.calls[slot] */
#define CALL_RECORD 1  /* a record of class syscall */
#define CALL_ACTION 2  /* a handler in `handlers` */
#define CALL_TIMED 4   /* the duration is asked for */
#define CALL_CLOSE 8   /* close(2): looked at before it happens */
#define CALL_COMPAT 16 /* the compat call of the same number has bits: look there */
#define CALL_ENTER 32  /* this call or its compat twin is timed or a close */
#define CALL_PLACE 64  /* what it tells of the process is needed whatever the filter by results says */

/* Bits of config.filters; each list filter has a "not" of its own */
#define FILTER_TREE (1 << 0)
#define FILTER_NOT_TREE (1 << 1)
#define FILTER_CONTAINERS (1 << 2)
#define FILTER_NOT_CONTAINERS (1 << 3)
#define FILTER_USER (1 << 4)
#define FILTER_NOT_USER (1 << 5)
#define FILTER_COMM (1 << 6)
#define FILTER_NOT_COMM (1 << 7)
#define FILTER_CGROUP (1 << 8)
#define FILTER_NOT_CGROUP (1 << 9)
#define FILTER_PATH (1 << 10)
#define FILTER_NOT_PATH (1 << 11)
#define FILTER_FAILED (1 << 12)
#define FILTER_SUCCEEDED (1 << 13)
#define FILTER_SELF (1 << 14) /* leave the collector's own processes out */
#define FILTER_GROW (1 << 15) /* children join both subtrees, whether these are asked yet or not */
#define FILTER_CONTAINER_IDS (1 << 16) /* containers by id or name: `container_verdicts` */

/* Where the cgroups of containers are: cgroup v2, or the hierarchy of a controller of v1. */
enum container_hierarchy {
	CONTAINERS_IN_V2 = 0,
	CONTAINERS_IN_V1_PIDS = 1,
	CONTAINERS_IN_V1_MEMORY = 2,
};

struct config {
	__u32 filters;
	__u32 args_bytes_max;  /* bytes of argv and of the environment that an exec record keeps */
	__u32 env;	       /* record the environment */
	__u32 lifecycle_bytes; /* room of every ring that only process records may use */
	__u32 ring_bytes;
	__u32 cgroups, not_cgroups; /* entries of `cgroups` and `not_cgroups` in use */
	__u32 host_pid_level; /* depth of the collector's pid namespace: deeper is a container */
	__u32 container_hierarchy; /* enum container_hierarchy */
	__u32 container_hierarchy_id; /* its number, as the kernel's cgroup_root has it */
	__u64 actions[8];     /* by class: bit of each selected action */
	__u8 calls[CALLS];
	__u8 texts[CALLS];    /* by slot: bit of each argument that is a text */
	__u8 counts[CALLS];   /* by slot: number of arguments */
} config SEC(".data.config") = {};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1); /* set to the CPUs of the machine at load */
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_RINGBUF);
		__uint(max_entries, 4096);
	});
} rings SEC(".maps");

/* action | reason << 16 of each refused attempt, in the order of the numbers */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LOST_LOG_ENTRIES); /* times the CPUs of the machine */
	__type(key, __u32);
	__type(value, __u32);
} lost_log SEC(".maps");

/*
 * Where a variable record is put together. How much is used stands in memory rather than in a variable: the verifier
 * forgets what it knew of it, so that the many ways through a walk are one state and not thousands.
 */
struct draft {
	__u32 at;
	__u32 pad;
	unsigned long mnt, dentry; /* where a walk begins */
	unsigned long mnt_ns;	   /* the mount namespace that paths are of; 0 where the task has none any more */
	__u8 bytes[SCRATCH_BYTES];
};

/* one per CPU */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the CPUs of the machine */
	__type(key, __u32);
	__type(value, struct draft);
} drafts SEC(".maps");

/* programs that make the action of a system call, by slot */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, CALLS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} handlers SEC(".maps");

#endif

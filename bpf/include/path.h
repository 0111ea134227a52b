/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Paths as the kernel has them: names leaf first, each ended by NUL, up to the root of the mount namespace.
 * The reader turns them round. An empty walk with no state bits is the root itself: one lone NUL.
 */
#ifndef WEIR_PATH_H
#define WEIR_PATH_H

#include "context.h"

extern void *bpf_rdonly_cast(const void *, __u32) __weak __ksym;

#define PATH_TRUNCATED 1
#define PATH_DELETED 2
#define PATH_UNREACHABLE 4

#define WALK_MOUNTS_MAX 6 /* mount points on the way up */
#define WALK_NAMES_MAX 32 /* names between two of them */
#define WALK_BYTES_MAX 4096

/* Before 6.2 nothing turns an address into a typed pointer: there every load is a probe read. */
#define LOAD(pointer, field)                                                                       \
	(bpf_ksym_exists(bpf_rdonly_cast) ? (pointer)->field : BPF_CORE_READ(pointer, field))

#define CAST(type, address)                                                                        \
	((struct type *)(bpf_ksym_exists(bpf_rdonly_cast)                                          \
				 ? bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(struct type)) \
				 : (void *)(address)))

/* the next free byte of a draft */
#define AT(draft) ((draft)->bytes + ((draft)->at & (WEIR_RECORD_BYTES_MAX - 1)))

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return CAST(mount, (unsigned long)mnt - bpf_core_field_offset(struct mount, mnt));
}

/* Names from `dentry` up to the root of its mount; returns that the root was reached. */
static __always_inline bool walk_names(struct draft *draft, __u32 end, struct dentry **at, struct dentry *root)
{
	struct dentry *dentry = *at;

	for (int i = 0; i < WALK_NAMES_MAX; i++) {
		struct dentry *parent;
		long bytes;

		if (dentry == root) {
			*at = dentry;
			return true;
		}
		parent = LOAD(dentry, d_parent);
		if (dentry == parent) { /* the root of a file system that is mounted nowhere here */
			*at = dentry;
			return false;
		}
		if (draft->at >= end)
			break;
		bytes = bpf_probe_read_kernel_str(AT(draft), 256, LOAD(dentry, d_name.name));
		if (bytes > 0)
			draft->at += bytes;
		dentry = parent;
	}
	*at = dentry;
	return false;
}

/* Appends the walk to the draft, at most WALK_BYTES_MAX bytes; returns the PATH_ bits. */
static __noinline __u32 walk(struct draft *draft, struct vfsmount *mnt, struct dentry *dentry)
{
	__u32 end = draft->at + WALK_BYTES_MAX - 256;
	__u32 start = draft->at;
	__u32 state = 0;

	if (LOAD(dentry, d_hash.pprev) == NULL && LOAD(dentry, d_parent) != dentry)
		state |= PATH_DELETED;
	for (int i = 0; i < WALK_MOUNTS_MAX; i++) {
		struct mount *mount = mount_of(mnt), *parent;

		if (!walk_names(draft, end, &dentry, LOAD(mnt, mnt_root))) {
			state |= dentry == LOAD(dentry, d_parent) ? PATH_UNREACHABLE : PATH_TRUNCATED;
			break;
		}
		parent = LOAD(mount, mnt_parent);
		if (parent == mount) {
			if (!LOAD(mount, mnt_ns))
				state |= PATH_UNREACHABLE;
			break;
		}
		if (i == WALK_MOUNTS_MAX - 1) {
			state |= PATH_TRUNCATED;
			break;
		}
		dentry = LOAD(mount, mnt_mountpoint);
		mnt = &parent->mnt;
	}
	if (draft->at == start) {
		*AT(draft) = 0;
		draft->at++;
	}
	return state;
}

static __always_inline __u32 walk_file(struct draft *draft, struct file *file)
{
	return walk(draft, LOAD(file, f_path.mnt), LOAD(file, f_path.dentry));
}

/* The file behind a descriptor of the current task, or NULL. */
static __always_inline struct file *file_of(struct task_struct *task, int fd)
{
	struct fdtable *table = task->files->fdt;
	struct file *file = NULL;

	if (fd < 0 || (__u32)fd >= table->max_fds)
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), &table->fd[fd]);
	return file ? CAST(file, file) : NULL;
}

#endif

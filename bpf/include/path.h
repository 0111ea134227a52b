/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Paths as the kernel has them: names leaf first, each ended by NUL, up to the root of the mount namespace.
 * The reader turns them round. The root itself is `/`. One NUL more ends what does not begin at a root: `pipe:[1]`, and
 * `...` where the names above were left out.
 */
#ifndef WEIR_PATH_H
#define WEIR_PATH_H

#include "context.h"

#define PATH_TRUNCATED 1
#define PATH_DELETED 2
#define PATH_UNREACHABLE 4 /* not below the root of the task's mount namespace */
#define PATH_ROOTED 8	   /* the directory of an argument is its root, too: `..` ends there */
#define PATH_JAILED 16	   /* leading `..` of an argument may end at a root that the program has changed */

#define WALK_STEP_NAMES 4	/* names that are walked in one step: a step is a call */
#define WALK_STEPS_MAX 512	/* ... and at most one mount point behind them */
#define WALK_STEPS_OLD_MAX 24	/* ... without bpf_loop (before 5.17), where each is verified by itself */
#define WALK_STEPS_INLINE 2	/* steps before them that are no calls */
#define WALK_BYTES_MAX 4096
#define NAME_ROOM 256	/* of the longest name, with its NUL */
#define CUT_BYTES 5	/* of `...`, with two NULs */

#define HAS_LOOP bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)

/* the next free byte of a draft */
#define AT(draft) ((draft)->bytes + ((draft)->at & (WEIR_RECORD_BYTES_MAX - 1)))

/* What is odd about a path, as the rows name it. */
static __always_inline __u8 odd_of(__u8 state)
{
	return (state & (PATH_DELETED | PATH_UNREACHABLE)) >> 1;
}

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return CAST(mount, (unsigned long)mnt - bpf_core_field_offset(struct mount, mnt));
}

/* Where a walk stands. Addresses rather than pointers: to the verifier all walks are then the same one. */
struct walk {
	struct draft *draft;
	unsigned long dentry, root, mnt; /* root: of the mount */
	__u32 end;			 /* no name begins at or behind it */
	__u32 state;			 /* PATH_ bits; truncated until the walk has come to its end */
};

static __always_inline void walk_enters(struct walk *walk, unsigned long mnt, unsigned long dentry)
{
	walk->mnt = mnt;
	walk->dentry = dentry;
	walk->root = (unsigned long)LOAD(CAST(vfsmount, mnt), mnt_root);
}

#define ERRORS_FROM ((unsigned long)-4095) /* pointers from here on are the kernel's error numbers */

/*
 * Whether a root is another than that of the task's mount namespace: of a mount that was detached, which is in no namespace or
 * in one of its own, or of the namespace of others. The kernel's own mounts (pipes, memfd) have an error number there.
 */
static __always_inline bool is_elsewhere(struct draft *draft, unsigned long mnt_ns)
{
	return !mnt_ns || (draft->mnt_ns && mnt_ns != draft->mnt_ns && mnt_ns < ERRORS_FROM);
}

/* From the root of a mount to the place where it is mounted; returns 1 at the root of all. */
static __always_inline long walk_mount(struct walk *walk)
{
	struct mount *mount = mount_of((void *)walk->mnt);
	struct mount *parent = LOAD(mount, mnt_parent);

	if (parent == mount) {
		walk->state &= ~PATH_TRUNCATED;
		if (is_elsewhere(walk->draft, (unsigned long)LOAD(mount, mnt_ns)))
			walk->state |= PATH_UNREACHABLE;
		return 1;
	}
	walk_enters(walk, (unsigned long)parent + bpf_core_field_offset(struct mount, mnt),
		    (unsigned long)LOAD(mount, mnt_mountpoint));
	return 0;
}

#define HAS_SHORTNAME bpf_core_field_exists(struct dentry___shortname, d_shortname)
#define SHORTNAME_OFFSET                                                                           \
	(HAS_SHORTNAME ? bpf_core_field_offset(struct dentry___shortname, d_shortname)             \
		       : bpf_core_field_offset(struct dentry___iname, d_iname))
#define SHORTNAME_BYTES                                                                            \
	(HAS_SHORTNAME ? bpf_core_field_size(struct dentry___shortname, d_shortname)               \
		       : bpf_core_field_size(struct dentry___iname, d_iname))
#define SHORTNAME(dentry)                                                                          \
	(HAS_SHORTNAME ? ((struct dentry___shortname *)(dentry))->d_shortname.string               \
		       : ((struct dentry___iname *)(dentry))->d_iname)

/* A name that stands inside the dentry is copied by words: a fifth of the cost of a probe read. */
static __always_inline void add_short_name(struct draft *draft, struct dentry *dentry)
{
	__u32 bytes = (dentry->d_name.len & 63) + 1;
	const void *name = SHORTNAME(dentry);
	__u64 *to = (__u64 *)AT(draft);

	to[0] = word(name, 0);
	to[1] = word(name, 1);
	if (bytes > 16) {
		to[2] = word(name, 2);
		to[3] = word(name, 3);
		if (SHORTNAME_BYTES > 32)
			to[4] = word(name, 4);
	}
	draft->at += bytes;
}

static __always_inline void add_name(struct draft *draft, struct dentry *dentry)
{
	const unsigned char *name = LOAD(dentry, d_name.name);
	long bytes;

	if (bpf_ksym_exists(bpf_rdonly_cast) && (unsigned long)name == (unsigned long)dentry + SHORTNAME_OFFSET) {
		add_short_name(draft, dentry);
		return;
	}
	bytes = bpf_probe_read_kernel_str(AT(draft), NAME_ROOM, name);
	if (bytes > 0)
		draft->at += bytes;
}

/* Some names, or one mount, further up; returns 1 at the end. */
static __always_inline long walk_on(struct walk *walk)
{
	unsigned long at = walk->dentry, parent;
	struct draft *draft = walk->draft;

	for (int n = 0; n < WALK_STEP_NAMES && at != walk->root; n++) {
		struct dentry *dentry = CAST(dentry, at);

		parent = (unsigned long)LOAD(dentry, d_parent);
		if (parent == at) { /* the root of a file system that is mounted nowhere here */
			walk->state = (walk->state & ~PATH_TRUNCATED) | PATH_UNREACHABLE;
			return 1;
		}
		if (draft->at >= walk->end)
			return 1;
		add_name(draft, dentry);
		at = parent;
	}
	walk->dentry = at;
	return at == walk->root ? walk_mount(walk) : 0;
}

static long walk_step(__u32 i, struct walk *walk)
{
	return walk_on(walk);
}

/* The first steps are in line: most paths end in them, and every call costs its return. */
static __always_inline __u32 walk_steps(struct walk *walk)
{
	struct walk rest;

	for (int i = 0; i < WALK_STEPS_INLINE; i++)
		if (walk_on(walk))
			return walk->state;
	rest = *walk; /* its address is given away; `walk` stays in registers */
	bpf_loop(WALK_STEPS_MAX, walk_step, &rest, 0);
	return rest.state;
}

static __always_inline __u32 walk_steps_old(struct walk *walk)
{
	for (__u32 i = 0; i < WALK_STEPS_OLD_MAX; i++)
		if (walk_on(walk))
			break;
	return walk->state;
}

#define PIPEFS_MAGIC 0x50495045
#define SOCKFS_MAGIC 0x534f434b
#define ANON_INODE_FS_MAGIC 0x09041934
#define ODD_NAME_BYTES_MAX 64

/*
 * A root, or a file in no directory: `/`, `memfd:x`, or what the kernel makes up for a pipe, a socket, an anonymous inode. No
 * slash belongs before the last ones: they end in a NUL more. A function for the same reason as walk().
 */
__noinline __u32 name_root(struct draft *draft)
{
	struct dentry *dentry;
	struct inode *inode;
	struct super_block *super;
	unsigned long magic;
	__u64 value;
	long bytes = 0;

	if (!draft)
		return 0;
	dentry = CAST(dentry, draft->dentry);
	inode = LOAD(dentry, d_inode);
	super = LOAD(inode, i_sb);
	magic = LOAD(super, s_magic);
	value = LOAD(inode, i_ino);
	if (magic == PIPEFS_MAGIC) {
		bytes = BPF_SNPRINTF((char *)AT(draft), ODD_NAME_BYTES_MAX, "pipe:[%lu]", value);
	} else if (magic == SOCKFS_MAGIC) {
		bytes = BPF_SNPRINTF((char *)AT(draft), ODD_NAME_BYTES_MAX, "socket:[%lu]", value);
	} else if (magic == ANON_INODE_FS_MAGIC) {
		value = (__u64)LOAD(dentry, d_name.name);
		bytes = BPF_SNPRINTF((char *)AT(draft), ODD_NAME_BYTES_MAX, "anon_inode:%s", value);
	}
	if (bytes <= 1) {
		add_name(draft, dentry);
		return 0;
	}
	draft->at += bytes & (ODD_NAME_BYTES_MAX - 1);
	*AT(draft) = 0;
	draft->at++;
	return 0;
}

/* The names above were left out. */
static __always_inline void name_cut(struct draft *draft)
{
	*(__u32 *)AT(draft) = '.' | '.' << 8 | '.' << 16;
	AT(draft)[sizeof(__u32)] = 0;
	draft->at += CUT_BYTES;
}

/* Appends the walk to the draft, at most WALK_BYTES_MAX bytes; returns the PATH_ bits. */
static __always_inline __u32 walk_inline(struct draft *draft)
{
	struct walk walk = { .draft = draft, .state = PATH_TRUNCATED };
	__u32 start = draft->at, state;
	struct dentry *dentry;

	walk.end = start + WALK_BYTES_MAX - NAME_ROOM - CUT_BYTES;
	walk_enters(&walk, draft->mnt, draft->dentry);
	dentry = CAST(dentry, walk.dentry);
	if (LOAD(dentry, d_hash.pprev) == NULL && LOAD(dentry, d_parent) != dentry)
		walk.state |= PATH_DELETED;
	state = HAS_LOOP ? walk_steps(&walk) : walk_steps_old(&walk);
	if (draft->at == start)
		name_root(draft);
	else if (state & PATH_TRUNCATED)
		name_cut(draft);
	return state;
}

/*
 * The same as a global function, which the verifier looks at once per program and not once per call; such a function takes
 * no kernel pointers, so they stand in the draft.
 */
__noinline __u32 walk(struct draft *draft)
{
	return draft ? walk_inline(draft) : 0;
}

static __always_inline void walk_from_file(struct draft *draft, struct file *file)
{
	draft->mnt = (unsigned long)LOAD(file, f_path.mnt);
	draft->dentry = (unsigned long)LOAD(file, f_path.dentry);
}

static __always_inline __u32 walk_path(struct draft *draft, const struct path *path)
{
	draft->mnt = (unsigned long)path->mnt;
	draft->dentry = (unsigned long)path->dentry;
	return walk(draft);
}

static __always_inline __u32 walk_file(struct draft *draft, struct file *file)
{
	walk_from_file(draft, file);
	return walk(draft);
}

/*
 * The file behind a descriptor of the current task, or NULL. A type whose first field is a file makes a direct load of the
 * table's entry.
 */
static __always_inline struct file *file_of(struct task_struct *task, int fd)
{
	struct fdtable *table = POINTER(task, files)->fdt;
	struct file *file = NULL;

	if (fd < 0 || (__u32)fd >= table->max_fds)
		return NULL;
	if (bpf_ksym_exists(bpf_rdonly_cast) && bpf_core_field_exists(struct io_cmd_data, file))
		file = CAST(io_cmd_data, &table->fd[fd])->file;
	else
		bpf_probe_read_kernel(&file, sizeof(file), &table->fd[fd]);
	return file ? CAST(file, file) : NULL;
}

/* Whether another task can put another file behind a descriptor of this one. */
static __always_inline bool shares_descriptors(struct task_struct *task)
{
	return POINTER(task, files)->count.counter != 1;
}

#endif

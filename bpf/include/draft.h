/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How variable records are put together: fixed part first, tails behind it in the order of the definition.
 * Each append returns the bytes it added, which is the tail's length.
 */
#ifndef WEIR_DRAFT_H
#define WEIR_DRAFT_H

#include "emit.h"
#include "filter.h"
#include "path.h"

/* Tails other than paths end below this, so that an append never runs off the record. */
#define DRAFT_BYTES_MAX (WEIR_RECORD_BYTES_MAX - TEXT_BYTES_MAX)

/*
 * An attempt that gets no draft. As in stamp(): with interrupts off, or the loss of an interrupt could come between and
 * the two would swap their numbers; and by the fetch form of the add, which is a full barrier on every machine.
 */
static __always_inline void refuse(struct cpu_state *state, __u32 cpu, __u16 action, enum weir_reason reason)
{
	unsigned long irq;
	__u64 seq;

	irq_off(&irq);
	lose(state, cpu, action, reason);
	seq = __sync_fetch_and_add(&state->seq, 1);
	bpf_barrier_var(seq);
	irq_on(&irq);
}

static __always_inline unsigned long mount_namespace(struct task_struct *task)
{
	struct nsproxy *namespaces = POINTER(task, nsproxy);

	return namespaces ? (unsigned long)namespaces->mnt_ns : 0;
}

/* Takes this CPU's draft and zeroes the fixed part; NULL (with a number and a loss) when it is in use. */
static __always_inline struct draft *draft_begin(__u32 fixed, __u16 action)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = &cpus[cpu & (CPUS_MAX - 1)];
	struct draft *draft = bpf_map_lookup_elem(&drafts, &cpu);

	if (!draft || state->in_draft) {
		refuse(state, cpu, action, draft ? WEIR_LOST_PROBE_REENTERED : WEIR_LOST_NO_RING);
		return NULL;
	}
	state->in_draft = 1;
	draft->at = fixed;
	draft->mnt_ns = mount_namespace(bpf_get_current_task_btf());
	((struct weir_header *)draft->bytes)->action = action;
	return draft;
}

/* Begins a record of this type; `draft` is set to where its tails go. */
#define draft_of(draft, type, action_)                                                             \
	({                                                                                         \
		struct type *record_ = NULL;                                                       \
		(draft) = draft_begin(sizeof(struct type), action_);                               \
		if (draft) {                                                                       \
			record_ = (void *)(draft)->bytes;                                          \
			zero_fields(record_);                                                      \
		}                                                                                  \
		record_;                                                                           \
	})

static __always_inline void draft_drop(void)
{
	this_cpu()->in_draft = 0;
}

static __always_inline void draft_send(struct draft *draft)
{
	emit_draft((void *)draft->bytes, draft->at);
	draft_drop();
}

static __always_inline void draft_send_inline(struct draft *draft)
{
	emit_draft_inline((void *)draft->bytes, draft->at);
	draft_drop();
}

/* A NUL-terminated text of the program, without its NUL; 0 when it cannot be read. */
static __always_inline __u16 add_user_text(struct draft *draft, const void *text)
{
	long bytes;

	if (!text || draft->at >= DRAFT_BYTES_MAX)
		return 0;
	bytes = bpf_probe_read_user_str(AT(draft), TEXT_BYTES_MAX, text);
	if (bytes <= 1)
		return 0;
	draft->at += (bytes - 1) & (TEXT_BYTES_MAX - 1);
	return bytes - 1;
}

static __always_inline __u16 add_kernel_text(struct draft *draft, const void *text)
{
	long bytes;

	if (!text || draft->at >= DRAFT_BYTES_MAX)
		return 0;
	bytes = bpf_probe_read_kernel_str(AT(draft), TEXT_BYTES_MAX, text);
	if (bytes <= 1)
		return 0;
	draft->at += (bytes - 1) & (TEXT_BYTES_MAX - 1);
	return bytes - 1;
}

static __always_inline __u16 add_walk(struct draft *draft, struct file *file, __u8 *state)
{
	__u32 start = draft->at;

	if (start >= DRAFT_BYTES_MAX - WALK_BYTES_MAX)
		return 0;
	*state |= walk_file(draft, file);
	return draft->at - start;
}

/* The same in line, for an empty draft. Without bpf_loop the walk is too much for a program that does other things. */
static __always_inline __u16 add_walk_inline(struct draft *draft, struct file *file, __u8 *state)
{
	__u32 start = draft->at;

	walk_from_file(draft, file);
	*state |= HAS_LOOP ? walk_inline(draft) : walk(draft);
	return draft->at - start;
}

#define SOURCE_KERNEL 1
#define SOURCE_ARGUMENT 2
#define SOURCE_DESCRIPTOR 3

#define AT_EMPTY_PATH 0x1000

/* An empty text stands for the descriptor itself where the caller says so: there the file is the kernel's own. */
static __always_inline bool is_descriptor(const void *path, __u64 flags)
{
	char first = 1;

	if (!path)
		return true;
	return flags & AT_EMPTY_PATH && !bpf_probe_read_user(&first, 1, path) && !first;
}

/*
 * Path, device and inode from the kernel's own file behind a descriptor, for any record that has these fields. Who shares the
 * descriptors may have put another file there between the call and its exit.
 */
#define from_file_by(add_walk, draft, record, task, file)                                          \
	({                                                                                         \
		struct inode *inode_ = LOAD(file, f_inode);                                        \
		struct super_block *super_ = LOAD(inode_, i_sb);                                   \
		(record)->path_source = shares_descriptors(task) ? SOURCE_DESCRIPTOR : SOURCE_KERNEL; \
		(record)->ino = LOAD(inode_, i_ino);                                               \
		(record)->dev = stat_dev(LOAD(super_, s_dev));                                     \
		(record)->path_len = add_walk(draft, file, &(record)->path_state);                 \
	})
#define from_file(draft, record, task, file) from_file_by(add_walk, draft, record, task, file)

#define AT_FDCWD -100

/* The directory that a relative text is relative to: of the descriptor, or the working directory. */
static __always_inline __u16 add_directory(struct draft *draft, struct task_struct *task, int dirfd, __u8 *state)
{
	__u32 start = draft->at;

	if (start >= DRAFT_BYTES_MAX - WALK_BYTES_MAX)
		return 0;
	if (dirfd == AT_FDCWD) {
		*state |= walk_path(draft, &POINTER(task, fs)->pwd) & ~PATH_DELETED;
	} else {
		struct file *file = file_of(task, dirfd);

		if (file)
			*state |= walk_file(draft, file) & ~PATH_DELETED;
	}
	return draft->at - start;
}

static __always_inline bool is_absolute(struct draft *draft, __u32 start, __u16 length)
{
	return length && draft->bytes[start & (WEIR_RECORD_BYTES_MAX - 1)] == '/';
}

static __always_inline bool begins_with_parent(struct draft *draft, __u32 start, __u16 length)
{
	return length >= 2 && draft->bytes[start & (WEIR_RECORD_BYTES_MAX - 1)] == '.' &&
	       draft->bytes[(start + 1) & (WEIR_RECORD_BYTES_MAX - 1)] == '.';
}

#define ROOTS_MAX 3 /* mounts on one another at `/`: what the system was booted from lies below the rest */

/*
 * Whether the program's root is another than that of its mount namespace. Unrolled, and a function of its own: otherwise clang
 * joins the ways out by a register that nothing was put into on some of them, and the verifier refuses that.
 */
static __noinline bool has_other_root(struct task_struct *task)
{
	struct path *root = &POINTER(task, fs)->root;
	unsigned long dentry = (unsigned long)root->dentry, mnt = (unsigned long)root->mnt;

#pragma unroll
	for (int i = 0; i < ROOTS_MAX; i++) {
		struct mount *mount = mount_of((void *)mnt), *parent;

		if (dentry != (unsigned long)LOAD(CAST(vfsmount, mnt), mnt_root))
			return true;
		parent = LOAD(mount, mnt_parent);
		if (parent == mount)
			return false;
		dentry = (unsigned long)LOAD(mount, mnt_mountpoint);
		mnt = (unsigned long)parent + bpf_core_field_offset(struct mount, mnt);
	}
	return true;
}

/* The root directory of a program that has changed it; nothing for all others. An absolute text starts there. */
static __always_inline __u16 add_root(struct draft *draft, struct task_struct *task, __u8 *state)
{
	__u32 start = draft->at;

	if (!has_other_root(task) || start >= DRAFT_BYTES_MAX - WALK_BYTES_MAX)
		return 0;
	*state |= walk_path(draft, &POINTER(task, fs)->root);
	return draft->at - start;
}

/* Whether a text that fills its room goes on behind it: both look the same to who has read that much. */
static __always_inline bool is_cut(const void *text, __u16 length)
{
	char next = 1;

	return length == TEXT_BYTES_MAX - 1 && (bpf_probe_read_user(&next, 1, text + length) || next);
}

/* The directory of a text that stands in the draft: that which it is relative to, else a changed root. */
static __always_inline void add_directory_of(struct draft *draft, struct task_struct *task, int dirfd, __u32 start,
					     __u16 length, __u16 *dir_len, __u8 *state)
{
	if (begins_with_parent(draft, start, length) && has_other_root(task))
		*state |= PATH_JAILED;
	*dir_len = is_absolute(draft, start, length) ? add_root(draft, task, state)
						     : add_directory(draft, task, dirfd, state);
}

/* Text and directory of one path argument; the directory is its root where the call says so. */
static __always_inline void add_argument_below(struct draft *draft, struct task_struct *task, int dirfd, const void *text,
					       __u16 *raw_len, __u16 *dir_len, __u8 *state, bool is_root)
{
	__u32 start = draft->at;

	*raw_len = add_user_text(draft, text);
	if (is_cut(text, *raw_len))
		*state |= PATH_TRUNCATED;
	if (is_root) {
		*state |= PATH_ROOTED;
		*dir_len = add_directory(draft, task, dirfd, state);
	} else {
		add_directory_of(draft, task, dirfd, start, *raw_len, dir_len, state);
	}
}

static __always_inline void add_argument(struct draft *draft, struct task_struct *task, int dirfd, const void *text,
					 __u16 *raw_len, __u16 *dir_len, __u8 *state)
{
	add_argument_below(draft, task, dirfd, text, raw_len, dir_len, state, false);
}

#endif

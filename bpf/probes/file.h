/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class file.
 *
 * Hooks: the exit of the system calls, through weir_exit; sys_enter for close. Why these: the opened file is there at the
 * exit, so its path is walked from the kernel's own object; where only a text exists (unlink, rename, mkdir) the text is
 * resident by then, and the row says that it is the program's.
 * Kernel floor: 5.15. Without them: no file events. Not seen: opens by io_uring; a close by exit, exec or dup.
 *
 * An opened file is found by the descriptor that the call returned. Who shares the descriptors may have put another file there
 * meanwhile: then the row says so, and the program's text, which every row has, is judged by the filters as well.
 */

#define FMODE_WRITE 0x2
#define FMODE_CREATED 0x100000
#define O_TRUNC 01000
#define O_PATH 010000000
#define O_TMPFILE 020000000 /* without the bit of O_DIRECTORY, which is another one on each architecture */
#define O_CREAT_FLAGS (01 | 0100 | 01000) /* what creat(2) stands for */
#define AT_REMOVEDIR 0x200
#define S_IFMT 0170000
#define S_IFREG 0100000

static __always_inline struct weir_file *file_draft(struct draft **draft, struct call *call, __u16 action)
{
	struct weir_file *record = draft_of(*draft, weir_file, action);

	if (!record)
		return NULL;
	fill_task(&record->header, call->task);
	record->ret = call->ret;
	record->fd = -1;
	record->length = -1;
	record->new_uid = -1;
	record->new_gid = -1;
	record->path_source = SOURCE_ARGUMENT;
	return record;
}

/* Completes it; false, and nothing is left of it, where a path filter says no. */
static __always_inline bool file_passes(struct draft *draft, struct weir_file *record)
{
	record->path_odd = odd_of(record->path_state);
	if (config.filters & (FILTER_PATH | FILTER_NOT_PATH) && !passes_path(draft, record)) {
		draft_drop();
		return false;
	}
	return true;
}

static __always_inline void file_send(struct draft *draft, struct weir_file *record)
{
	if (file_passes(draft, record))
		draft_send(draft);
}

/* A nameless file is made by the open that asks for it; what is no regular file has nothing to lose. */
static __always_inline void fill_made(struct weir_file *record, struct file *file, __u64 flags)
{
	struct inode *inode = LOAD(file, f_inode);

	if (flags & O_PATH) /* opens nothing, whatever else is asked for */
		return;
	if (LOAD(file, f_mode) & FMODE_CREATED || flags & O_TMPFILE)
		record->bits |= 1;
	else if (flags & O_TRUNC && (LOAD(inode, i_mode) & S_IFMT) == S_IFREG)
		record->bits |= 2;
}

/* The most frequent event of files: the walk and the sending are in line. */
static __always_inline void opened_below(struct call *call, int dirfd, const void *path, __u64 flags, __u32 mode,
					 bool is_root)
{
	struct draft *draft;
	struct weir_file *record = file_draft(&draft, call, WEIR_FILE_OPEN);
	struct file *file = NULL;
	__u8 text_state = 0;

	if (!record)
		return;
	record->flags = flags;
	record->mode = mode;
	if (call->ret >= 0) {
		record->fd = call->ret;
		file = file_of(call->task, call->ret);
	}
	if (file) {
		fill_made(record, file, flags);
		from_file_by(add_walk_inline, draft, record, call->task, file);
	}
	if (path)
		add_argument_below(draft, call->task, dirfd, path, &record->path_raw_len, &record->path_dir_len,
				   &text_state, is_root);
	record->path_state |= file ? text_state & (PATH_ROOTED | PATH_JAILED) : text_state;
	if (file_passes(draft, record))
		draft_send_inline(draft);
}

static __always_inline void opened(struct call *call, int dirfd, const void *path, __u64 flags, __u32 mode)
{
	opened_below(call, dirfd, path, flags, mode, false);
}

HANDLER(open) { opened(call, AT_FDCWD, (void *)ARG(call, 0), (__u32)ARG(call, 1), ARG(call, 2)); }
HANDLER(openat) { opened(call, ARG(call, 0), (void *)ARG(call, 1), (__u32)ARG(call, 2), ARG(call, 3)); }
HANDLER(creat) { opened(call, AT_FDCWD, (void *)ARG(call, 0), O_CREAT_FLAGS, ARG(call, 1)); }
HANDLER(open_by_handle_at) { opened(call, AT_FDCWD, NULL, (__u32)ARG(call, 2), 0); }

#define RESOLVE_IN_ROOT 0x10

HANDLER(openat2)
{
	struct {
		__u64 flags, mode, resolve;
	} how = {};

	bpf_probe_read_user(&how, sizeof(how), (void *)ARG(call, 2));
	opened_below(call, ARG(call, 0), (void *)ARG(call, 1), how.flags, how.mode, how.resolve & RESOLVE_IN_ROOT);
}

/* One path argument and nothing else. */
static __always_inline void named(struct call *call, __u16 action, int dirfd, const void *path, __u32 mode, __u64 flags)
{
	struct draft *draft;
	struct weir_file *record = file_draft(&draft, call, action);

	if (!record)
		return;
	record->mode = mode;
	record->flags = flags;
	add_argument(draft, call->task, dirfd, path, &record->path_raw_len, &record->path_dir_len, &record->path_state);
	file_send(draft, record);
}

HANDLER(unlink)
{
	if (selected(WEIR_FILE_UNLINK))
		named(call, WEIR_FILE_UNLINK, AT_FDCWD, (void *)ARG(call, 0), 0, 0);
}

HANDLER(rmdir) { named(call, WEIR_FILE_RMDIR, AT_FDCWD, (void *)ARG(call, 0), 0, 0); }

HANDLER(unlinkat)
{
	__u16 action = ARG(call, 2) & AT_REMOVEDIR ? WEIR_FILE_RMDIR : WEIR_FILE_UNLINK;

	if (selected(action))
		named(call, action, ARG(call, 0), (void *)ARG(call, 1), 0, 0);
}

HANDLER(mkdir) { named(call, WEIR_FILE_MKDIR, AT_FDCWD, (void *)ARG(call, 0), ARG(call, 1), 0); }
HANDLER(mkdirat) { named(call, WEIR_FILE_MKDIR, ARG(call, 0), (void *)ARG(call, 1), ARG(call, 2), 0); }
HANDLER(umount2) { named(call, WEIR_FILE_UMOUNT, AT_FDCWD, (void *)ARG(call, 0), 0, ARG(call, 1)); }

/* The first path of a call: a name, or a descriptor where the text is empty and the call says that this may be. */
static __always_inline void add_name_or_file(struct draft *draft, struct weir_file *record, struct call *call, int fd,
					     const void *path, bool may_be_empty)
{
	struct file *file = may_be_empty && is_descriptor(path, AT_EMPTY_PATH) ? file_of(call->task, fd) : NULL;

	if (file)
		from_file(draft, record, call->task, file);
	else
		add_argument(draft, call->task, fd, path, &record->path_raw_len, &record->path_dir_len,
			     &record->path_state);
}

/* Two path arguments: the old name and the new one. */
static __always_inline void two_names(struct call *call, __u16 action, int dirfd, const void *path, int new_dirfd,
				      const void *new_path, __u32 flags)
{
	struct draft *draft;
	struct weir_file *record = file_draft(&draft, call, action);

	if (!record)
		return;
	record->flags = flags;
	add_name_or_file(draft, record, call, dirfd, path, action == WEIR_FILE_LINK && path && flags & AT_EMPTY_PATH);
	add_argument(draft, call->task, new_dirfd, new_path, &record->new_path_raw_len, &record->new_path_dir_len,
		     &record->path_state);
	file_send(draft, record);
}

HANDLER(rename)
{
	two_names(call, WEIR_FILE_RENAME, AT_FDCWD, (void *)ARG(call, 0), AT_FDCWD, (void *)ARG(call, 1), 0);
}

HANDLER(renameat)
{
	two_names(call, WEIR_FILE_RENAME, ARG(call, 0), (void *)ARG(call, 1), ARG(call, 2), (void *)ARG(call, 3), 0);
}

HANDLER(renameat2)
{
	two_names(call, WEIR_FILE_RENAME, ARG(call, 0), (void *)ARG(call, 1), ARG(call, 2), (void *)ARG(call, 3),
		  ARG(call, 4));
}

HANDLER(link)
{
	two_names(call, WEIR_FILE_LINK, AT_FDCWD, (void *)ARG(call, 0), AT_FDCWD, (void *)ARG(call, 1), 0);
}

HANDLER(linkat)
{
	two_names(call, WEIR_FILE_LINK, ARG(call, 0), (void *)ARG(call, 1), ARG(call, 2), (void *)ARG(call, 3),
		  ARG(call, 4));
}

/* The target of a symbolic link is only a text: the reader makes it absolute with the directory of the link. */
static __always_inline void symbolic_link(struct call *call, const void *target, int dirfd, const void *path)
{
	struct draft *draft;
	struct weir_file *record = file_draft(&draft, call, WEIR_FILE_SYMLINK);

	if (!record)
		return;
	record->path_raw_len = add_user_text(draft, target);
	add_argument(draft, call->task, dirfd, path, &record->new_path_raw_len, &record->new_path_dir_len,
		     &record->path_state);
	file_send(draft, record);
}

HANDLER(symlink) { symbolic_link(call, (void *)ARG(call, 0), AT_FDCWD, (void *)ARG(call, 1)); }
HANDLER(symlinkat) { symbolic_link(call, (void *)ARG(call, 0), ARG(call, 1), (void *)ARG(call, 2)); }

/* Attributes by name, or by descriptor (path NULL, or empty with the flag): there the file is the kernel's own. */
static __always_inline struct weir_file *attribute(struct draft **out, struct call *call, __u16 action, int fd,
						   const void *path, __u64 flags)
{
	struct weir_file *record = file_draft(out, call, action);
	struct draft *draft = *out;
	struct file *file;

	if (!record)
		return NULL;
	if (!is_descriptor(path, flags)) {
		add_argument(draft, call->task, fd, path, &record->path_raw_len, &record->path_dir_len,
			     &record->path_state);
		return record;
	}
	if (fd >= 0)
		record->fd = fd;
	file = file_of(call->task, fd);
	if (file)
		from_file(draft, record, call->task, file);
	return record;
}

static __always_inline void change_mode(struct call *call, int fd, const void *path, __u32 mode, __u64 flags)
{
	struct draft *draft;
	struct weir_file *record = attribute(&draft, call, WEIR_FILE_CHMOD, fd, path, flags);

	if (!record)
		return;
	record->mode = mode;
	file_send(draft, record);
}

HANDLER(chmod) { change_mode(call, AT_FDCWD, (void *)ARG(call, 0), ARG(call, 1), 0); }
HANDLER(fchmod) { change_mode(call, ARG(call, 0), NULL, ARG(call, 1), 0); }
HANDLER(fchmodat) { change_mode(call, ARG(call, 0), (void *)ARG(call, 1), ARG(call, 2), 0); }
HANDLER(fchmodat2) { change_mode(call, ARG(call, 0), (void *)ARG(call, 1), ARG(call, 2), ARG(call, 3)); }

static __always_inline void change_owner(struct call *call, int fd, const void *path, int uid, int gid, __u64 flags)
{
	struct draft *draft;
	struct weir_file *record = attribute(&draft, call, WEIR_FILE_CHOWN, fd, path, flags);

	if (!record)
		return;
	record->new_uid = uid;
	record->new_gid = gid;
	file_send(draft, record);
}

HANDLER(chown) { change_owner(call, AT_FDCWD, (void *)ARG(call, 0), ARG(call, 1), ARG(call, 2), 0); }
HANDLER(lchown) { change_owner(call, AT_FDCWD, (void *)ARG(call, 0), ARG(call, 1), ARG(call, 2), 0); }
HANDLER(fchown) { change_owner(call, ARG(call, 0), NULL, ARG(call, 1), ARG(call, 2), 0); }

HANDLER(fchownat)
{
	change_owner(call, ARG(call, 0), (void *)ARG(call, 1), ARG(call, 2), ARG(call, 3), ARG(call, 4));
}


static __always_inline void change_length(struct call *call, int fd, const void *path, __s64 length)
{
	struct draft *draft;
	struct weir_file *record = attribute(&draft, call, WEIR_FILE_TRUNCATE, fd, path, 0);

	if (!record)
		return;
	record->length = length;
	file_send(draft, record);
}

#define I386_TRUNCATE64 193
#define I386_FTRUNCATE64 194

/* 32-bit programs hand over the length as one signed word, or as two. */
static __always_inline __s64 length_of(struct call *call)
{
	if (call->abi != WEIR_ABI_COMPAT)
		return ARG(call, 1);
	if (call->nr == I386_TRUNCATE64 || call->nr == I386_FTRUNCATE64)
		return (__u32)ARG(call, 1) | ARG(call, 2) << 32;
	return (__s32)ARG(call, 1);
}

HANDLER(truncate) { change_length(call, AT_FDCWD, (void *)ARG(call, 0), length_of(call)); }
HANDLER(ftruncate) { change_length(call, ARG(call, 0), NULL, length_of(call)); }

HANDLER(mount)
{
	struct draft *draft;
	struct weir_file *record = file_draft(&draft, call, WEIR_FILE_MOUNT);

	if (!record)
		return;
	record->flags = ARG(call, 3);
	add_argument(draft, call->task, AT_FDCWD, (void *)ARG(call, 1), &record->path_raw_len, &record->path_dir_len,
		     &record->path_state);
	record->source_len = add_user_text(draft, (void *)ARG(call, 0));
	record->fs_type_len = add_user_text(draft, (void *)ARG(call, 2));
	file_send(draft, record);
}

#define MOVE_MOUNT_F_EMPTY_PATH 0x4
#define MOVE_MOUNT_T_EMPTY_PATH 0x40

/* A mount that a descriptor stands for (fsmount, open_tree) is known to the kernel; any other is only a text. */
HANDLER(move_mount)
{
	struct draft *draft;
	struct weir_file *record = file_draft(&draft, call, WEIR_FILE_MOUNT);
	const void *from = (void *)ARG(call, 1);
	__u64 flags = ARG(call, 4);
	struct file *mounted = NULL;
	struct vfsmount *mnt;

	if (!record)
		return;
	add_name_or_file(draft, record, call, ARG(call, 2), (void *)ARG(call, 3), flags & MOVE_MOUNT_T_EMPTY_PATH);
	if (flags & MOVE_MOUNT_F_EMPTY_PATH && is_descriptor(from, AT_EMPTY_PATH))
		mounted = file_of(call->task, ARG(call, 0));
	if (mounted) {
		mnt = LOAD(mounted, f_path.mnt);
		record->source_len = add_kernel_text(draft, LOAD(mount_of(mnt), mnt_devname));
		record->fs_type_len = add_kernel_text(draft, BPF_CORE_READ(mnt, mnt_sb, s_type, name));
	} else {
		record->source_len = add_user_text(draft, from);
	}
	file_send(draft, record);
}

#define MS_REMOUNT 0x20
#define FSCONFIG_CMD_RECONFIGURE 7

/*
 * The newer way of mount(2) with MS_REMOUNT: of a file system, wherever it is mounted. Its context is only read where the call
 * made sure that the descriptor is one, and where nobody can have put another file there since.
 */
HANDLER(fsconfig)
{
	struct draft *draft;
	struct weir_file *record;
	struct file *file;
	struct fs_context *context;

	if ((__u32)ARG(call, 1) != FSCONFIG_CMD_RECONFIGURE)
		return;
	record = file_draft(&draft, call, WEIR_FILE_MOUNT);
	if (!record)
		return;
	record->flags = MS_REMOUNT;
	file = call->ret || shares_descriptors(call->task) ? NULL : file_of(call->task, ARG(call, 0));
	if (file) {
		context = (void *)LOAD(file, private_data);
		record->source_len = add_kernel_text(draft, BPF_CORE_READ(context, source));
		record->fs_type_len = add_kernel_text(draft, BPF_CORE_READ(context, fs_type, name));
	}
	file_send(draft, record);
}

HANDLER(mount_setattr)
{
	struct {
		__u64 set, clear, propagation;
	} attributes = {};
	struct draft *draft;
	struct weir_file *record = file_draft(&draft, call, WEIR_FILE_MOUNT_SETATTR);
	__u64 flags = ARG(call, 2);

	if (!record)
		return;
	bpf_probe_read_user(&attributes, sizeof(attributes), (void *)ARG(call, 3));
	record->flags = flags;
	record->attributes_set = attributes.set;
	record->attributes_cleared = attributes.clear;
	record->propagation = attributes.propagation;
	add_name_or_file(draft, record, call, ARG(call, 0), (void *)ARG(call, 1), flags & AT_EMPTY_PATH);
	file_send(draft, record);
}

/*
 * One of the two names of pivot_root. After its success the new root has the place of the old one, which an absolute name begins
 * at; the directory that a relative one was relative to has another path, or none: only the text is told.
 */
static __always_inline void add_pivot(struct draft *draft, struct call *call, const void *text, __u16 *raw_len,
				      __u16 *dir_len, __u8 *state)
{
	__u32 start = draft->at;

	*raw_len = add_user_text(draft, text);
	if (call->ret || is_absolute(draft, start, *raw_len))
		add_directory_of(draft, call->task, AT_FDCWD, start, *raw_len, dir_len, state);
}

HANDLER(pivot_root)
{
	struct draft *draft;
	struct weir_file *record = file_draft(&draft, call, WEIR_FILE_PIVOT_ROOT);

	if (!record)
		return;
	add_pivot(draft, call, (void *)ARG(call, 0), &record->path_raw_len, &record->path_dir_len, &record->path_state);
	add_pivot(draft, call, (void *)ARG(call, 1), &record->new_path_raw_len, &record->new_path_dir_len,
		  &record->path_state);
	file_send(draft, record);
}

/* Only this descriptor holds the file: its close is the last one. */
static __always_inline bool is_last(struct file *file)
{
	if (bpf_core_field_exists(struct file___ref, f_ref))
		return LOAD((struct file___ref *)file, f_ref.refcnt.counter) == 0;
	return LOAD((struct file___count *)file, f_count.counter) == 1;
}

/* At the enter of close: the call has not returned, so the row has no result. */
static __always_inline void closing_file(struct task_struct *task, int fd, struct file *file, struct inode *inode)
{
	struct call call = { .task = task };
	struct draft *draft;
	struct weir_file *record;

	if (!selected(WEIR_FILE_CLOSE) || !(LOAD(file, f_mode) & FMODE_WRITE))
		return;
	record = file_draft(&draft, &call, WEIR_FILE_CLOSE);
	if (!record)
		return;
	record->fd = fd;
	record->flags = LOAD(file, f_flags);
	record->length = LOAD(inode, i_size);
	from_file(draft, record, task, file);
	file_send(draft, record);
}

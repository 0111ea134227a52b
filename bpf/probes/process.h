/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class process.
 *
 * Hooks: tp_btf sched_process_exec, _fork, _exit for what succeeds; the exit of the system call for what fails and for
 * credentials, namespaces, ptrace, signals; an iterator over tasks for what was there before.
 * Why these: a successful exec has no exit with the old arguments, a 32-bit one has another number; fork is known to the
 * parent before the child runs, so a subtree cannot be left.
 * Kernel floor: 5.15 with BTF. Without them: no names, no tree.
 */

#define SIGNAL_GROUP_EXIT 4

static __always_inline void fill_ids(struct weir_process *record, struct task_struct *task)
{
	const struct cred *cred = POINTER(task, cred);

	record->ruid = cred->uid.val;
	record->euid = cred->euid.val;
	record->suid = cred->suid.val;
	record->rgid = cred->gid.val;
	record->egid = cred->egid.val;
	record->sgid = cred->sgid.val;
	record->cap_effective = word(&cred->cap_effective, 0); /* two words of 32 bits before 6.3 */
}

#define INUM(namespace) ((namespace)->ns.inum)

/* A task's pid namespace is that of its innermost number; beyond the first ones a probe read finds it. */
static __always_inline __u32 pid_namespace_of(struct pid *pid)
{
	struct pid_namespace *namespace = NULL;
	unsigned long number = (unsigned long)pid + bpf_core_field_offset(struct pid, numbers);

	if (!pid->level)
		return INUM(pid->numbers[0].ns);
	number += pid->level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, ns);
	bpf_probe_read_kernel(&namespace, sizeof(namespace), (void *)number);
	return namespace ? BPF_CORE_READ(namespace, ns.inum) : 0;
}

/* Session, login user, terminal and namespaces of a task. */
static __always_inline void fill_place(struct weir_process *record, struct task_struct *task)
{
	struct pid *session = POINTER(task, signal)->pids[PIDTYPE_SID];
	struct nsproxy *namespaces = POINTER(task, nsproxy);
	struct pid *pid = POINTER(task, thread_pid);

	record->session_id = session ? session->numbers[0].nr : 0;
	record->login = bpf_core_field_exists(task->loginuid) ? task->loginuid.val : (__u32)-1;
	record->user_ns = INUM(POINTER(task, cred)->user_ns);
	record->pid_ns = pid_namespace_of(pid);
	if (!namespaces) /* in its exit */
		return;
	record->mnt_ns = INUM(namespaces->mnt_ns);
	record->net_ns = INUM(namespaces->net_ns);
	record->uts_ns = INUM(namespaces->uts_ns);
	record->ipc_ns = INUM(namespaces->ipc_ns);
	record->cgroup_ns = INUM(namespaces->cgroup_ns);
}

/* Working directory and terminal: what only a record with tails can have, and last among them. */
static __always_inline void add_place(struct draft *draft, struct weir_process *record, struct task_struct *task)
{
	struct tty_struct *tty = POINTER(task, signal)->tty;

	fill_place(record, task);
	record->cwd_len = add_directory(draft, task, AT_FDCWD, &record->path_state);
	if (tty)
		record->tty_len = add_kernel_text(draft, tty->name);
}

/* Bytes [from, to) of the program's memory, at most `max`; what cannot be read is left out and marked. */
static __always_inline __u16 add_user_bytes(struct draft *draft, unsigned long from, unsigned long to, __u32 max,
					    __u8 *bits)
{
	__u64 bytes = to - from;
	__u32 start = draft->at;

	if (to <= from || start >= WEIR_RECORD_BYTES_MAX / 2)
		return 0;
	if (bytes > max) {
		bytes = max;
		*bits |= 1;
	}
	if (bytes > 32767)
		bytes = 32767;
	if (bpf_probe_read_user(AT(draft), bytes, (void *)from)) {
		*bits |= 1;
		return 0;
	}
	draft->at += bytes;
	return bytes;
}

#define FD_PATH_BYTES 8 /* of `/dev/fd/` */
#define FD_DIGITS_MAX 10

/*
 * Of an exec by descriptor the kernel keeps only the name that it makes up: `/dev/fd/N/text`, `/dev/fd/N` for an empty text.
 * Returns where the text begins, 0 for any other exec.
 */
static __always_inline __u32 behind_descriptor(struct linux_binprm *bprm, int *fd, bool *is_empty)
{
	char name[FD_DIGITS_MAX + 2] = {};
	int number = 0;

	if (!bpf_core_field_exists(bprm->fdpath) || !bprm->fdpath ||
	    bpf_probe_read_kernel_str(name, sizeof(name), bprm->fdpath + FD_PATH_BYTES) <= 0)
		return 0;
	for (__u32 i = 0; i <= FD_DIGITS_MAX; i++) {
		if (name[i] < '0' || name[i] > '9') {
			*fd = number;
			*is_empty = name[i] != '/';
			return FD_PATH_BYTES + i + !*is_empty;
		}
		number = 10 * number + name[i] - '0';
	}
	return 0;
}

/*
 * The file that was asked for by a descriptor: its text and the directory behind the descriptor. Where the text is empty, or the
 * descriptor was closed by the exec itself, the file is the kernel's own; of a script the exec would have failed.
 */
static __always_inline void add_asked_by_descriptor(struct draft *draft, struct weir_process *record,
						    struct task_struct *task, struct linux_binprm *bprm, __u32 text_at,
						    bool is_empty)
{
	struct file *file = file_of(task, record->fd);

	if (is_empty || !file)
		record->path_len = add_walk(draft, file ? file : CAST(file, POINTER(task, mm)->exe_file),
					    &record->path_state);
	record->path_raw_len = add_kernel_text(draft, bprm->filename + text_at);
	if (file && !is_empty)
		record->path_dir_len = add_walk(draft, file, &record->path_state);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(weir_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct weir_process *record;
	struct mm_struct *mm = POINTER(task, mm);
	struct draft *draft;
	bool is_empty = false;
	__u32 start, text_at;
	int fd = -1;

	if (!selected(WEIR_PROCESS_EXEC) || !wanted(task))
		return 0;
	record = draft_of(draft, weir_process, WEIR_PROCESS_EXEC);
	if (!record)
		return 0;
	fill_task(&record->header, task);
	fill_ids(record, task);
	text_at = behind_descriptor(bprm, &fd, &is_empty);
	record->fd = fd;
	record->exe_len = add_walk(draft, mm->exe_file, &record->path_state);
	start = draft->at;
	if (text_at) {
		add_asked_by_descriptor(draft, record, task, bprm, text_at, is_empty);
	} else {
		record->path_raw_len = add_kernel_text(draft, bprm->filename);
		add_directory_of(draft, task, AT_FDCWD, start, record->path_raw_len, &record->path_dir_len,
				 &record->path_state);
	}
	record->path_odd = odd_of(record->path_state);
	record->args_len = add_user_bytes(draft, mm->arg_start, mm->arg_end, config.args_bytes_max, &record->bits);
	if (config.env)
		record->env_len =
			add_user_bytes(draft, mm->env_start, mm->env_end, config.args_bytes_max, &record->bits);
	add_place(draft, record, task);
	draft_send(draft);
	return 0;
}

#define ARGV_MAX 64 /* arguments of a failed exec that are read */

/* A failed exec: the arguments are still the program's, read one by one. */
static __always_inline void failed_exec(struct call *call, int dirfd, const char *path, __u64 argv, __u32 flags)
{
	struct draft *draft;
	struct weir_process *record;
	__u32 start, width = call->abi == WEIR_ABI_COMPAT ? 4 : 8;
	struct file *file;

	if (call->ret >= 0)
		return;
	record = draft_of(draft, weir_process, WEIR_PROCESS_EXEC);
	if (!record)
		return;
	fill_task(&record->header, call->task);
	fill_ids(record, call->task);
	record->ret = call->ret;
	record->flags = flags;
	record->fd = dirfd == AT_FDCWD ? -1 : dirfd;
	file = path && is_descriptor(path, flags) ? file_of(call->task, dirfd) : NULL;
	if (file)
		record->path_len = add_walk(draft, file, &record->path_state);
	else
		add_argument(draft, call->task, dirfd, path, &record->path_raw_len, &record->path_dir_len,
			     &record->path_state);
	record->path_odd = odd_of(record->path_state);
	start = draft->at;
	for (int i = 0; i < ARGV_MAX; i++) {
		__u64 text = 0;
		long bytes;

		if (!argv || bpf_probe_read_user(&text, width, (void *)(argv + i * width)) || !text)
			break;
		if (draft->at >= WEIR_RECORD_BYTES_MAX / 2 || i == ARGV_MAX - 1) {
			record->bits |= 1;
			break;
		}
		bytes = bpf_probe_read_user_str(AT(draft), TEXT_BYTES_MAX, (void *)text);
		if (bytes <= 0) {
			record->bits |= 1;
			continue;
		}
		if (bytes == TEXT_BYTES_MAX)
			record->bits |= 1;
		draft->at += bytes & (2 * TEXT_BYTES_MAX - 1);
	}
	record->args_len = draft->at - start;
	fill_place(record, call->task);
	draft_send(draft);
}

HANDLER(execve)
{
	failed_exec(call, AT_FDCWD, (void *)ARG(call, 0), ARG(call, 1), 0);
}

HANDLER(execveat)
{
	failed_exec(call, ARG(call, 0), (void *)ARG(call, 1), ARG(call, 2), ARG(call, 4));
}

/* A child is followed from before its first instruction, and left out of the same subtrees. */
static __always_inline void inherit(void *set, __u32 parent, __u32 child)
{
	__u8 one = 1;

	if (bpf_map_lookup_elem(set, &parent) && bpf_map_update_elem(set, &child, &one, BPF_ANY))
		this_cpu()->filter_full++;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(weir_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = parent->tgid, child_tgid = child->tgid, level;
	struct weir_process *record;

	if (parent_tgid == child_tgid)
		return 0;
	fork_own(parent, child);
	if (config.filters & (FILTER_TREE | FILTER_GROW))
		inherit(&followed, parent_tgid, child_tgid);
	if (config.filters & (FILTER_NOT_TREE | FILTER_GROW))
		inherit(&not_followed, parent_tgid, child_tgid);
	if (!selected(WEIR_PROCESS_FORK) || !wanted(parent))
		return 0;
	record = take_fixed(weir_process, WEIR_PROCESS_FORK);
	if (!record)
		return 0;
	fill_task(&record->header, parent);
	record->flags = -1;
	level = POINTER(parent, thread_pid)->level;
	record->ret = level ? number_at(child, level) : child_tgid; /* what the parent is told */
	record->child_pid = child_tgid;
	record->child_key = process_key(child->start_boottime, child_tgid);
	fill_place(record, child);
	submit(record);
	return 0;
}

#define CLONE_THREAD 0x00010000

static __always_inline void failed_fork(struct call *call, __u64 flags)
{
	struct weir_process *record;

	if (call->ret >= 0 || flags & CLONE_THREAD)
		return;
	record = take_fixed(weir_process, WEIR_PROCESS_FORK);
	if (!record)
		return;
	fill_task(&record->header, call->task);
	record->ret = call->ret;
	record->flags = flags;
	submit(record);
}

HANDLER(fork)
{
	failed_fork(call, 0);
}

HANDLER(vfork)
{
	failed_fork(call, 0);
}

HANDLER(clone)
{
	failed_fork(call, ARG(call, 0));
}

HANDLER(clone3)
{
	__u64 flags = 0;

	bpf_probe_read_user(&flags, sizeof(flags), (void *)ARG(call, 0));
	failed_fork(call, flags);
}

#define NO_EXIT_CODE (-2147483647 - 1)
#define CORE_DUMPED 0x80

/* processes whose end is told, by their leader */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} ends_told SEC(".maps");

/*
 * A thread leaves the count of the living some time before it comes here (before 6.16), so that several can find nobody
 * alive: the first one tells. Only while another thread is not released can one come behind: then the mark is made.
 */
static __always_inline bool is_first_to_tell(struct task_struct *leader, struct signal_struct *signal)
{
	__u64 flags = signal->nr_threads > 1 ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0;
	__u32 *told = bpf_task_storage_get(&ends_told, leader, NULL, flags);

	return !told || !__sync_lock_test_and_set(told, 1);
}

/* Of the process, whichever thread was the last: the names and the status are the leader's. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(weir_process_exit, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	struct signal_struct *signal = POINTER(task, signal);
	struct weir_process *record;
	__u32 tgid = task->tgid;
	int code;

	if (signal->live.counter > 0)
		return 0;
	if (selected(WEIR_PROCESS_EXIT) && wanted(task) && is_first_to_tell(leader, signal)) {
		record = take_fixed(weir_process, WEIR_PROCESS_EXIT);
		if (record) {
			fill_task(&record->header, leader);
			code = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : leader->exit_code;
			record->exit_signal = code & 0x7f;
			record->exit_code = code & 0x7f ? NO_EXIT_CODE : code >> 8 & 0xff;
			record->bits = code & CORE_DUMPED ? 2 : 0;
			record->duration_ns = record->header.ktime_ns - leader->start_boottime;
			submit(record);
		}
	}
	leave_own(task);
	if (config.filters & (FILTER_TREE | FILTER_GROW))
		bpf_map_delete_elem(&followed, &tgid);
	if (config.filters & (FILTER_NOT_TREE | FILTER_GROW))
		bpf_map_delete_elem(&not_followed, &tgid);
	return 0;
}

static __always_inline struct weir_process *process_record(struct call *call, __u16 action)
{
	struct weir_process *record = take_fixed(weir_process, action);

	if (!record)
		return NULL;
	fill_task(&record->header, call->task);
	fill_ids(record, call->task);
	record->ret = call->ret;
	record->fd = -1;
	return record;
}

/* setfsuid returns the old id, never an error. */
static __always_inline void set_ids(struct call *call, __u16 action)
{
	struct weir_process *record = process_record(call, action);

	if (!record)
		return;
	record->requested = ARG(call, 0);
	submit(record);
}

HANDLER(setuid) { set_ids(call, WEIR_PROCESS_SETUID); }
HANDLER(setreuid) { set_ids(call, WEIR_PROCESS_SETUID); }
HANDLER(setresuid) { set_ids(call, WEIR_PROCESS_SETUID); }
HANDLER(setfsuid) { set_ids(call, WEIR_PROCESS_SETUID); }
HANDLER(setgid) { set_ids(call, WEIR_PROCESS_SETGID); }
HANDLER(setregid) { set_ids(call, WEIR_PROCESS_SETGID); }
HANDLER(setresgid) { set_ids(call, WEIR_PROCESS_SETGID); }
HANDLER(setfsgid) { set_ids(call, WEIR_PROCESS_SETGID); }
HANDLER(setgroups) { set_ids(call, WEIR_PROCESS_SETGROUPS); }
HANDLER(capset) { set_ids(call, WEIR_PROCESS_CAPSET); }

HANDLER(setns)
{
	struct weir_process *record = process_record(call, WEIR_PROCESS_SETNS);

	if (!record)
		return;
	fill_place(record, call->task);
	record->fd = ARG(call, 0);
	record->flags = (__u32)ARG(call, 1);
	submit(record);
}

HANDLER(unshare)
{
	struct weir_process *record = process_record(call, WEIR_PROCESS_UNSHARE);

	if (!record)
		return;
	fill_place(record, call->task);
	record->flags = ARG(call, 0);
	submit(record);
}

HANDLER(ptrace)
{
	struct weir_process *record = process_record(call, WEIR_PROCESS_PTRACE);

	if (!record)
		return;
	record->request = ARG(call, 0);
	record->target_pid = ARG(call, 1);
	submit(record);
}

/* Told in any case: the collector makes no row of what the filter by results leaves out. */
static __always_inline void mark_left_out(struct call *call, struct weir_header *header)
{
	if (!wanted_result(call->ret))
		header->context |= WEIR_CONTEXT_LEFT_OUT;
}

HANDLER(setsid)
{
	struct weir_process *record = process_record(call, WEIR_PROCESS_SETSID);

	if (!record)
		return;
	fill_place(record, call->task);
	mark_left_out(call, &record->header);
	submit(record);
}

/* The text was relative to a directory that is left behind where the call succeeded: then only the new one is told. */
static __always_inline void change_directory(struct call *call, int dirfd, const void *text)
{
	struct draft *draft;
	struct weir_process *record = draft_of(draft, weir_process, WEIR_PROCESS_CHDIR);

	if (!record)
		return;
	fill_task(&record->header, call->task);
	fill_ids(record, call->task);
	record->ret = call->ret;
	record->fd = dirfd;
	if (text && call->ret)
		add_argument(draft, call->task, AT_FDCWD, text, &record->path_raw_len, &record->path_dir_len,
			     &record->path_state);
	add_place(draft, record, call->task);
	mark_left_out(call, &record->header);
	draft_send(draft);
}

HANDLER(chdir) { change_directory(call, -1, (void *)ARG(call, 0)); }
HANDLER(fchdir) { change_directory(call, ARG(call, 0), NULL); }

static __always_inline void send_signal(struct call *call, int target, int signal, int fd)
{
	struct weir_process *record = process_record(call, WEIR_PROCESS_KILL);

	if (!record)
		return;
	record->target_pid = target;
	record->signal = signal;
	record->fd = fd;
	submit(record);
}

HANDLER(kill) { send_signal(call, ARG(call, 0), ARG(call, 1), -1); }
HANDLER(tkill) { send_signal(call, ARG(call, 0), ARG(call, 1), -1); }
HANDLER(tgkill) { send_signal(call, ARG(call, 0), ARG(call, 2), -1); }
HANDLER(rt_sigqueueinfo) { send_signal(call, ARG(call, 0), ARG(call, 1), -1); }
HANDLER(rt_tgsigqueueinfo) { send_signal(call, ARG(call, 0), ARG(call, 2), -1); }
#define PROC_SUPER_MAGIC 0x9fa0
#define PIDFS_MAGIC 0x50494446 /* pidfds since 6.9; anonymous inodes before */
#define EBADF 9 /* no pidfd: below a process's directory there are other files */
#define NO_TARGET (-2147483647 - 1)

static __always_inline bool is_anonymous_pidfd(struct file *file)
{
	struct dentry *dentry = LOAD(file, f_path.dentry);
	char name[8] = {};

	bpf_probe_read_kernel(name, sizeof(name), LOAD(dentry, d_name.name));
	return !__builtin_memcmp(name, "[pidfd]", sizeof(name));
}

/* The process behind a pidfd, or behind its directory in /proc, which serves as one. */
static __always_inline struct pid *pid_of_file(struct file *file)
{
	struct inode *inode = LOAD(file, f_inode);
	struct super_block *super = LOAD(inode, i_sb);
	unsigned long magic = LOAD(super, s_magic);
	struct proc_inode *proc;
	void *pid = NULL;

	if (magic == PROC_SUPER_MAGIC) {
		proc = CAST(proc_inode, (unsigned long)inode - bpf_core_field_offset(struct proc_inode, vfs_inode));
		return LOAD(proc, pid);
	}
	if (magic == PIDFS_MAGIC)
		pid = LOAD(inode, i_private);
	else if (magic == ANON_INODE_FS_MAGIC && is_anonymous_pidfd(file))
		pid = LOAD(file, private_data);
	return pid ? CAST(pid, pid) : NULL;
}

HANDLER(pidfd_send_signal)
{
	struct file *file = call->ret == -EBADF ? NULL : file_of(call->task, ARG(call, 0));
	struct pid *pid = file ? pid_of_file(file) : NULL;

	send_signal(call, pid ? LOAD(pid, numbers[0].nr) : NO_TARGET, ARG(call, 1), ARG(call, 0));
}

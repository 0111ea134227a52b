/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Processes that were alive when the collector started: one record each, read as a file rather than from a ring.
 *
 * Hook: iter/task. Why: it gives the same identity that the probes give, from the kernel's own structures.
 * Kernel floor: 5.15. Without it: rows of older processes have no exe and no cmdline until their next exec.
 */

/* the iterator can be interrupted by the probes, so it has a draft of its own */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct draft);
} iterator_draft SEC(".maps");

SEC("iter/task")
int weir_tasks(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct weir_process *record;
	struct file *exe = NULL;
	struct draft *draft;
	__u32 zero = 0;

	if (!task || task->pid != task->tgid || !task->mm)
		return 0;
	draft = bpf_map_lookup_elem(&iterator_draft, &zero);
	if (!draft)
		return 0;
	record = (void *)draft->bytes;
	__builtin_memset(record, 0, sizeof(*record));
	draft->at = sizeof(*record);
	draft->mnt_ns = mount_namespace(task);
	record->header.action = WEIR_PROCESS_RUNNING;
	record->header.ktime_ns = bpf_ktime_get_boot_ns();
	fill_task(&record->header, task);
	/* filtered out: known, but no row; the collector itself asks for the cgroup, which is only known of the current task */
	if (!passes(task, config.filters & ~(FILTER_CGROUP | FILTER_NOT_CGROUP)))
		record->header.context |= WEIR_CONTEXT_LEFT_OUT;
	exe = POINTER(task, mm)->exe_file;
	if (exe)
		record->exe_len = add_walk(draft, exe, &record->path_state);
	add_place(draft, record, task);
	record->header.size = draft->at;
	bpf_seq_write(seq, record, draft->at & (WEIR_RECORD_BYTES_MAX - 1));
	return 0;
}

/*
 * Takes in who reads this, the collector, and the process that it asks for. In a namespace of its own the collector does not
 * know the kernel's numbers, and nobody there knows start times as exactly as the keys have them.
 */
SEC("iter/task")
int weir_own(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *self;

	if (!task || task->pid != task->tgid)
		return 0;
	self = bpf_get_current_task_btf();
	if (task->tgid == self->tgid)
		add_own(COLLECTOR, key_of(task), task->tgid);
	else if (ours.asked && number_at(task, POINTER(self, thread_pid)->level) == ours.asked && !is_own_key(task))
		join_own(key_of(task), task->tgid);
	return 0;
}

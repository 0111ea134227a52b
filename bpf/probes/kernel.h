/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class kernel.
 *
 * Hooks: the exit of the system calls, through weir_exit; tp_btf io_uring_submit_req (6.3; before: io_uring_submit_sqe).
 * Why these: modules, BPF and kexec have no tracepoint that also shows failed attempts; io_uring's operations are no
 * system calls at all. Kernel floor: 5.15. Without them: no kernel events.
 */

#define BPF_PROG_LOAD 5
#define NAME_BYTES 16 /* the kernel's BPF_OBJ_NAME_LEN, NUL included */

static __always_inline void fill_kernel(struct weir_kernel *record, struct call *call)
{
	fill_task(&record->header, call->task);
	record->ret = call->ret;
	record->fd = -1;
	record->type = -1;
}

static __always_inline struct weir_kernel *kernel_draft(struct draft **draft, struct call *call, __u16 action)
{
	struct weir_kernel *record = draft_of(*draft, weir_kernel, action);

	if (record)
		fill_kernel(record, call);
	return record;
}

/* Something that is loaded from a file that the caller has open; `text` is a module's parameters or a command line. */
static __always_inline void loaded(struct call *call, __u16 action, int fd, const void *text, __u64 flags)
{
	struct draft *draft;
	struct weir_kernel *record = kernel_draft(&draft, call, action);
	struct file *file;

	if (!record)
		return;
	record->fd = fd;
	record->flags = flags;
	file = file_of(call->task, fd);
	if (file)
		from_file(draft, record, call->task, file);
	record->path_odd = odd_of(record->path_state);
	record->params_len = add_user_text(draft, text);
	draft_send(draft);
}

HANDLER(init_module) { loaded(call, WEIR_KERNEL_MODULE_LOAD, -1, (void *)ARG(call, 2), 0); }

HANDLER(finit_module)
{
	loaded(call, WEIR_KERNEL_MODULE_LOAD, ARG(call, 0), (void *)ARG(call, 1), (__u32)ARG(call, 2));
}

HANDLER(kexec_file_load)
{
	loaded(call, WEIR_KERNEL_KEXEC_FILE_LOAD, ARG(call, 0), (void *)ARG(call, 3), ARG(call, 4));
}

HANDLER(kexec_load)
{
	struct weir_kernel *record = take_fixed(weir_kernel, WEIR_KERNEL_KEXEC_LOAD);

	if (!record)
		return;
	fill_kernel(record, call);
	record->flags = ARG(call, 3);
	submit(record);
}

HANDLER(delete_module)
{
	struct draft *draft;
	struct weir_kernel *record = kernel_draft(&draft, call, WEIR_KERNEL_MODULE_UNLOAD);

	if (!record)
		return;
	record->flags = (__u32)ARG(call, 1);
	record->name_len = add_user_text(draft, (void *)ARG(call, 0));
	draft_send(draft);
}

/* The part of union bpf_attr that BPF_PROG_LOAD has had since 4.15. */
struct prog_load {
	__u32 type;
	__u32 instructions;
	__u64 insns, license;
	__u32 log_level, log_size;
	__u64 log_buf;
	__u32 kern_version, flags;
	char name[NAME_BYTES];
};

HANDLER(bpf)
{
	struct prog_load attr = {};
	struct weir_kernel *record;
	struct draft *draft;
	__u32 bytes = ARG(call, 2);

	if ((__u32)ARG(call, 0) != BPF_PROG_LOAD)
		return;
	record = kernel_draft(&draft, call, WEIR_KERNEL_BPF_LOAD);
	if (!record)
		return;
	if (bytes > sizeof(attr))
		bytes = sizeof(attr);
	bpf_probe_read_user(&attr, bytes, (void *)ARG(call, 1));
	record->fd = failed(call->ret) ? -1 : call->ret;
	record->type = attr.type;
	record->instructions = attr.instructions;
	attr.name[NAME_BYTES - 1] = 0;
	record->name_len = add_kernel_text(draft, attr.name);
	draft_send(draft);
}

/* The part of struct perf_event_attr that has always been there. */
struct perf_attr {
	__u32 type, size;
	__u64 config;
};

HANDLER(perf_event_open)
{
	struct perf_attr attr = { .type = -1 };
	struct weir_kernel *record;

	bpf_probe_read_user(&attr, sizeof(attr), (void *)ARG(call, 0));
	record = take_fixed(weir_kernel, WEIR_KERNEL_PERF_EVENT_OPEN);
	if (!record)
		return;
	fill_kernel(record, call);
	record->fd = failed(call->ret) ? -1 : call->ret;
	record->type = attr.type;
	record->config = attr.config;
	record->target_pid = ARG(call, 1);
	record->target_cpu = ARG(call, 2);
	record->flags = ARG(call, 4);
	submit(record);
}

/* In the task of the submitter, or in the ring's own submitting thread, which belongs to the same process. */
static __always_inline void uring_submitted(__u8 opcode)
{
	struct call call = { .task = bpf_get_current_task_btf() };
	struct weir_kernel *record;

	if (!selected(WEIR_KERNEL_IO_URING_SUBMIT) || !wanted(call.task))
		return;
	record = take_fixed(weir_kernel, WEIR_KERNEL_IO_URING_SUBMIT);
	if (!record)
		return;
	fill_kernel(record, &call);
	record->type = opcode;
	submit(record);
}

SEC("?tp_btf/io_uring_submit_req")
int BPF_PROG(weir_uring_request, struct io_kiocb *request)
{
	uring_submitted(request->opcode);
	return 0;
}

/* Before 6.3. The request is the first argument since 6.0, the second one before, untyped there. */
SEC("?tp_btf/io_uring_submit_sqe")
int weir_uring_sqe(__u64 *ctx)
{
	__u64 request = bpf_core_field_exists(struct io_kiocb, cmd) ? ctx[0] : ctx[1];

	uring_submitted(BPF_CORE_READ((struct io_kiocb *)request, opcode));
	return 0;
}

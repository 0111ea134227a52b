/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class syscall, and the way to every action that is a system call.
 *
 * Hooks: tp_btf/sys_exit for all; tp_btf/sys_enter only for durations and for close, whose file is gone at the exit.
 * Why these: at the exit result and arguments are both there, and texts are resident; every attached program is paid by
 * every system call of the machine, so one program looks at a table and leaves.
 * Kernel floor: 5.15 with BTF. Without them: no system call is seen, only lifecycle and socket states.
 */
#include "../include/arch.h"
#include "../include/draft.h"

struct call_start {
	__u64 ktime_ns;
	__u32 slot;
};

/* when the running call of a thread began; only for calls whose duration is asked for */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call_start);
} call_starts SEC(".maps");

static __always_inline __u32 call_slot(long nr, enum weir_abi abi)
{
	return abi == WEIR_ABI_COMPAT ? COMPAT_SLOT + (nr & 1023) : nr & 1023;
}

/* Numbers beyond the table, and the -1 of rt_sigreturn and of skipped calls, are nobody's. */
static __always_inline bool in_table(long nr)
{
	return ((__u64)nr & ~(__u64)X32_BIT) < 1024;
}

static __always_inline __s64 call_duration(struct task_struct *task, __u32 slot)
{
	struct call_start *start = bpf_task_storage_get(&call_starts, task, NULL, 0);
	__s64 duration = -1;

	if (start && start->ktime_ns) {
		if (start->slot == slot)
			duration = bpf_ktime_get_boot_ns() - start->ktime_ns;
		start->ktime_ns = 0;
	}
	return duration;
}

/* One system call at its exit. */
struct call {
	struct task_struct *task;
	struct pt_regs *regs;
	long ret;
	long nr;
	enum weir_abi abi;
	__u32 slot;
	const __u32 *words; /* arguments that stand in memory, or NULL */
};

/* The kernel's own bound: an address that mmap returns is no error, whatever its sign. */
#define ERRNO_MAX 4095

static __always_inline bool failed(long ret)
{
	return ret < 0 && ret >= -ERRNO_MAX;
}

#define SIGSYS 31
#define SYS_SECCOMP 1 /* si_code */
#define QUEUED_MAX 4  /* signals of a thread that are looked at, the newest first */

/*
 * Whether seccomp put a SIGSYS in the place of a call. The thread gets it before it goes on, and does not block it: so one that
 * it sent itself in advance is not taken for it, and others cannot send this si_code. What can deceive: who traces the thread
 * can change what it blocks while it makes the call, and a SIGSYS that the program left pending keeps seccomp's own from it.
 */
static __noinline bool trapped(struct task_struct *task)
{
	unsigned long head = (unsigned long)task + bpf_core_field_offset(struct task_struct, pending.list), at;
	unsigned long bit = 1UL << (SIGSYS - 1);

	if (!(task->pending.signal.sig[0] & bit) || task->blocked.sig[0] & bit)
		return false;
	if (!bpf_core_field_exists(task->seccomp.mode) || !task->seccomp.mode)
		return false;
	at = (unsigned long)POINTER(task, pending.list.prev);
	for (int i = 0; i < QUEUED_MAX && at != head; i++) {
		struct sigqueue *queued = (void *)(at - bpf_core_field_offset(struct sigqueue, list));

		if (BPF_CORE_READ(queued, info.si_signo) == SIGSYS)
			return BPF_CORE_READ(queued, info.si_code) == SYS_SECCOMP;
		at = (unsigned long)BPF_CORE_READ(queued, list.prev);
	}
	return false;
}

/* What a call returned; WEIR_RET_SECCOMP, a failure, where seccomp did not let it run. */
static __always_inline long result_of(struct task_struct *task, struct pt_regs *regs, long ret)
{
	return rolled_back(regs, ret) && trapped(task) ? WEIR_RET_SECCOMP : ret;
}

#define ARG(call, i) ((call)->words ? (call)->words[i] : call_argument((call)->regs, (call)->abi, i))

static __always_inline void fill_call(struct weir_syscall *record, const struct call *call, __s64 duration)
{
	fill_task(&record->header, call->task);
	record->ret = call->ret;
	record->nr = call->nr & ~X32_BIT;
	record->abi = call->abi;
	record->duration_ns = duration;
	for (int i = 0; i < 6; i++)
		record->args[i] = ARG(call, i);
}

/* Texts that the arguments point to, each ended by NUL, in the order of the arguments. */
static __noinline void record_call_with_texts(const struct call *call, __s64 duration, __u32 texts)
{
	struct draft *draft;
	struct weir_syscall *record = draft_of(draft, weir_syscall, WEIR_SYSCALL_CALL);
	__u32 start = draft->at;

	if (!record)
		return;
	fill_call(record, call, duration);
	for (int i = 0; i < 6; i++) {
		long bytes;

		if (!(texts & 1 << i) || !record->args[i])
			continue;
		bytes = bpf_probe_read_user_str(AT(draft), TEXT_BYTES_MAX, (void *)record->args[i]);
		if (bytes <= 0)
			continue;
		draft->at += bytes & (2 * TEXT_BYTES_MAX - 1);
		record->text_mask |= 1 << i;
	}
	record->texts_len = draft->at - start;
	draft_send(draft);
}

static __always_inline void record_call(const struct call *call, __u8 bits)
{
	__s64 duration = bits & CALL_TIMED ? call_duration(call->task, call->slot) : -1;
	__u8 texts = config.texts[call->slot & (CALLS - 1)];
	struct weir_syscall *record;

	if (texts) {
		record_call_with_texts(call, duration, texts);
		return;
	}
	record = take_fixed(weir_syscall, WEIR_SYSCALL_CALL);
	if (!record)
		return;
	fill_call(record, call, duration);
	submit(record);
}

/* Bits of the call: those of its compat twin when a 32-bit program made it. */
static __always_inline __u8 call_bits(struct task_struct *task, long nr, enum weir_abi *abi, __u32 *slot, __u8 bits)
{
	*abi = call_abi(task, nr);
	*slot = call_slot(nr, *abi);
	return *abi == WEIR_ABI_COMPAT ? config.calls[*slot & (CALLS - 1)] : bits;
}

/* By a constant for the most frequent one: the kernel makes it a jump, where a computed tail call is an indirect one. */
static __always_inline void to_handler(void *ctx, __u32 slot)
{
	if (slot == CALL_OPENAT)
		bpf_tail_call_static(ctx, &handlers, CALL_OPENAT);
	else
		bpf_tail_call(ctx, &handlers, slot);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(weir_exit, struct pt_regs *regs, long ret)
{
	struct call call = { .regs = regs, .nr = call_number(regs) };
	__u8 bits;

	if (!in_table(call.nr))
		return 0;
	bits = config.calls[call.nr & 1023];
	if (!bits)
		return 0;
	call.task = bpf_get_current_task_btf();
	bits = call_bits(call.task, call.nr, &call.abi, &call.slot, bits);
	if (!(bits & (CALL_RECORD | CALL_ACTION)) || !wanted(call.task))
		return 0;
	call.ret = result_of(call.task, regs, ret);
	if (!wanted_result(call.ret)) {
		if (bits & CALL_PLACE)
			to_handler(ctx, call.slot);
		return 0;
	}
	if (bits & CALL_RECORD)
		record_call(&call, bits);
	if (bits & CALL_ACTION)
		to_handler(ctx, call.slot);
	return 0;
}

static __always_inline void start_call(struct task_struct *task, __u32 slot)
{
	struct call_start *start = bpf_task_storage_get(&call_starts, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!start)
		return;
	start->slot = slot;
	start->ktime_ns = bpf_ktime_get_boot_ns();
}

/* A handler: reached by tail call from weir_exit, which has asked all filters but those of paths. */
#define HANDLER(name)                                                                              \
	static __always_inline void on_##name(struct call *call);                                  \
	SEC("?tp_btf/sys_exit")                                                                    \
	int BPF_PROG(call_##name, struct pt_regs *regs, long ret)                                  \
	{                                                                                          \
		struct task_struct *task = bpf_get_current_task_btf();                             \
		long nr = call_number(regs);                                                       \
		struct call call = { task, regs, result_of(task, regs, ret), nr, call_abi(task, nr) }; \
                                                                                                   \
		on_##name(&call);                                                                  \
		return 0;                                                                          \
	}                                                                                          \
	static __always_inline void on_##name(struct call *call)

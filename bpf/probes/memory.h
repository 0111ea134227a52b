/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Class memory.
 *
 * Hooks: the exit of the system calls, through weir_exit. Why these: the kernel has no tracepoint for them, and at the exit
 * the address that mmap chose is known. mmap and mprotect are frequent, so they leave at once without PROT_EXEC.
 * Kernel floor: 5.15. Without them: no memory events. Not seen: executable memory by shmat or by the kernel's own exec.
 */

#define PROT_EXEC 4
#define MAP_ANONYMOUS 0x20
#define I386_OLD_MMAP 90 /* its six arguments stand in memory */

/* The fields that every record of the class has. */
#define fill_memory(record, call)                                                                  \
	({                                                                                         \
		fill_task(&(record)->header, (call)->task);                                        \
		(record)->ret = (call)->ret;                                                       \
		(record)->length = -1;                                                             \
		(record)->fd = -1;                                                                 \
	})

static __always_inline void mapped(struct call *call, __u64 address, __u64 length, __u32 prot, __u32 flags, int fd)
{
	struct draft *draft;
	struct weir_memory *record;
	struct file *file;

	if (!(prot & PROT_EXEC))
		return;
	record = draft_of(draft, weir_memory, WEIR_MEMORY_MMAP);
	if (!record)
		return;
	fill_memory(record, call);
	record->address = failed(call->ret) ? address : call->ret;
	record->length = length;
	record->prot = prot;
	record->flags = flags;
	if (!(flags & MAP_ANONYMOUS)) {
		record->fd = fd;
		file = file_of(call->task, fd);
		if (file)
			from_file(draft, record, call->task, file);
		record->path_odd = odd_of(record->path_state);
	}
	draft_send(draft);
}

HANDLER(mmap)
{
	__u32 args[6] = {};

	if (call->abi != WEIR_ABI_COMPAT || call->nr != I386_OLD_MMAP) {
		mapped(call, ARG(call, 0), ARG(call, 1), ARG(call, 2), ARG(call, 3), ARG(call, 4));
		return;
	}
	bpf_probe_read_user(args, sizeof(args), (void *)ARG(call, 0));
	mapped(call, args[0], args[1], args[2], args[3], args[4]);
}

static __always_inline void protected(struct call *call)
{
	struct weir_memory *record;
	__u32 prot = ARG(call, 2);

	if (!(prot & PROT_EXEC))
		return;
	record = take_fixed(weir_memory, WEIR_MEMORY_MPROTECT);
	if (!record)
		return;
	fill_memory(record, call);
	record->address = ARG(call, 0);
	record->length = ARG(call, 1);
	record->prot = prot;
	submit(record);
}

HANDLER(mprotect) { protected(call); }
HANDLER(pkey_mprotect) { protected(call); }

HANDLER(memfd_create)
{
	struct draft *draft;
	struct weir_memory *record = draft_of(draft, weir_memory, WEIR_MEMORY_MEMFD_CREATE);

	if (!record)
		return;
	fill_memory(record, call);
	record->fd = failed(call->ret) ? -1 : call->ret;
	record->flags = (__u32)ARG(call, 1);
	record->name_len = add_user_text(draft, (void *)ARG(call, 0));
	draft_send(draft);
}

HANDLER(process_vm_writev)
{
	struct weir_memory *record = take_fixed(weir_memory, WEIR_MEMORY_PROCESS_VM_WRITEV);

	if (!record)
		return;
	fill_memory(record, call);
	record->target_pid = ARG(call, 0);
	record->flags = ARG(call, 5);
	submit(record);
}

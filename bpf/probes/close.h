/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The enter of system calls: starts of timed calls, and close.
 *
 * Hook: tp_btf/sys_enter, attached only when a duration or a close is asked for. Why: at the exit of close the file is gone.
 * Kernel floor: 5.15. Without it: no durations, no close rows of files and Unix sockets.
 */

static __noinline void closing(struct task_struct *task, int fd)
{
	struct file *file;
	struct inode *inode;
	__u32 mode;

	file = file_of(task, fd);
	if (!file || !is_last(file))
		return;
	inode = LOAD(file, f_inode);
	mode = LOAD(inode, i_mode) & S_IFMT;
	if (mode == S_IFREG)
		closing_file(task, fd, file, inode);
	else if (mode == S_IFSOCK)
		closing_socket(task, fd, file);
}

SEC("?tp_btf/sys_enter")
int BPF_PROG(weir_enter, struct pt_regs *regs, long nr)
{
	struct task_struct *task;
	enum weir_abi abi;
	__u32 slot;
	__u8 bits;

	if (!in_table(nr))
		return 0;
	bits = config.calls[nr & 1023];
	if (!(bits & CALL_ENTER))
		return 0;
	task = bpf_get_current_task_btf();
	bits = call_bits(task, nr, &abi, &slot, bits);
	if (!(bits & (CALL_TIMED | CALL_CLOSE)) || !wanted(task))
		return 0;
	if (bits & CALL_TIMED)
		start_call(task, slot);
	if (bits & CALL_CLOSE)
		closing(task, call_argument(regs, abi, 0));
	return 0;
}

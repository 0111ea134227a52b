/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a system call looks like on each architecture: its number, its arguments, who made it.
 * At the exit the arguments are still in pt_regs; only the first one of arm64 has moved, to orig_x0.
 */
#ifndef WEIR_ARCH_H
#define WEIR_ARCH_H

#include "kernel.h"

enum weir_abi { WEIR_ABI_NATIVE = 0, WEIR_ABI_COMPAT = 1, WEIR_ABI_X32 = 2 };

#if defined(__TARGET_ARCH_x86)

#define CALL_OPENAT 257
#define X32_BIT 0x40000000
#define TS_COMPAT 0x2 /* set for int 0x80 too, where the code segment tells nothing */

static __always_inline long call_number(struct pt_regs *regs)
{
	return (int)regs->orig_ax;
}

/* Whether the result is what the register held at the enter, as the kernel leaves it where a signal takes the call's place. */
static __always_inline bool rolled_back(struct pt_regs *regs, long ret)
{
	return (__u32)ret == (__u32)regs->orig_ax;
}

static __always_inline enum weir_abi call_abi(struct task_struct *task, long nr)
{
	if (task->thread_info.status & TS_COMPAT)
		return WEIR_ABI_COMPAT;
	return nr & X32_BIT ? WEIR_ABI_X32 : WEIR_ABI_NATIVE;
}

static __always_inline __u64 call_argument(struct pt_regs *regs, enum weir_abi abi, int i)
{
	if (abi == WEIR_ABI_COMPAT) {
		switch (i) {
		case 0: return (__u32)regs->bx;
		case 1: return (__u32)regs->cx;
		case 2: return (__u32)regs->dx;
		case 3: return (__u32)regs->si;
		case 4: return (__u32)regs->di;
		default: return (__u32)regs->bp;
		}
	}
	switch (i) {
	case 0: return regs->di;
	case 1: return regs->si;
	case 2: return regs->dx;
	case 3: return regs->r10;
	case 4: return regs->r8;
	default: return regs->r9;
	}
}

#elif defined(__TARGET_ARCH_arm64)

#define CALL_OPENAT 56
#define X32_BIT 0
#define TIF_32BIT (1UL << 22)

static __always_inline long call_number(struct pt_regs *regs)
{
	return regs->syscallno;
}

/* As above; here that is the first argument, which is a result of many calls, too. */
static __always_inline bool rolled_back(struct pt_regs *regs, long ret)
{
	return (__u32)ret == (__u32)regs->orig_x0;
}

static __always_inline enum weir_abi call_abi(struct task_struct *task, long nr)
{
	return task->thread_info.flags & TIF_32BIT ? WEIR_ABI_COMPAT : WEIR_ABI_NATIVE;
}

static __always_inline __u64 call_argument(struct pt_regs *regs, enum weir_abi abi, int i)
{
	__u64 value = i == 0 ? regs->orig_x0 : regs->regs[i];

	return abi == WEIR_ABI_COMPAT ? (__u32)value : value;
}

#endif

#endif

//! Calls of x32 programs: those of 64-bit programs, without the ones that have an x32 number of their own.

use super::signatures::*;
use super::{Abi, Syscall};

/// Numbers below 512 that x32 programs do not have (`64` in `arch/x86/entry/syscalls/syscall_64.tbl`).
const WITHOUT: &[u32] = &[
    13, 15, 16, 19, 20, 45, 46, 47, 54, 55, 59, 101, 127, 128, 129, 131, 134, 156, 174, 177, 178, 180, 205, 206, 209,
    211, 214, 215, 222, 236, 244, 246, 247, 273, 274, 278, 279, 295, 296, 297, 299, 307, 310, 311, 322, 327, 328,
];

const SHARED: &[Syscall] = super::x86_64::CALLS;

const fn is_absent(nr: u32) -> bool {
    let mut at = 0;
    while at < WITHOUT.len() {
        if WITHOUT[at] == nr {
            return true;
        }
        at += 1;
    }
    false
}

/// The shared calls, then the own ones: both ascend, and every own number is higher.
const fn merge<const N: usize>() -> [Syscall; N] {
    let mut all = [OWN[0]; N];
    let (mut from, mut to) = (0, 0);
    while from < SHARED.len() {
        if !is_absent(SHARED[from].nr) {
            all[to] = SHARED[from];
            all[to].abi = Abi::X32;
            to += 1;
        }
        from += 1;
    }
    from = 0;
    while from < OWN.len() {
        all[to] = OWN[from];
        to += 1;
        from += 1;
    }
    all
}

pub(super) const CALLS: &[Syscall] = {
    const ALL: [Syscall; SHARED.len() - WITHOUT.len() + OWN.len()] = merge();
    &ALL
};

calls! { OWN, X32;
    512 rt_sigaction;
    513 rt_sigreturn;
    514 ioctl;
    515 readv;
    516 writev;
    517 recvfrom;
    518 sendmsg;
    519 recvmsg;
    520 execve;
    521 ptrace;
    522 rt_sigpending;
    523 rt_sigtimedwait;
    524 rt_sigqueueinfo;
    525 sigaltstack;
    526 timer_create;
    527 mq_notify;
    528 kexec_load;
    529 waitid;
    530 set_robust_list;
    531 get_robust_list;
    532 vmsplice;
    533 move_pages;
    534 preadv;
    535 pwritev;
    536 rt_tgsigqueueinfo;
    537 recvmmsg;
    538 sendmmsg;
    539 process_vm_readv;
    540 process_vm_writev;
    541 setsockopt;
    542 getsockopt;
    543 io_setup;
    544 io_submit;
    545 execveat;
    546 preadv2;
    547 pwritev2;
}

//! Names of processes: waiting, limits, control.

use super::{ENUM, FLAGS, Symbols, flags};

symbols! {
    /// Options of wait4(2).
    WAIT = "wait_flags", FLAGS => {
        WNOHANG = 1, WUNTRACED = 2, WCONTINUED = 8, __WNOTHREAD = 0x2000_0000, __WALL = 0x4000_0000,
        __WCLONE = 0x8000_0000,
    }

    /// Options of waitid(2).
    WAITID = "waitid_flags", FLAGS => {
        WNOHANG = 1, WSTOPPED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x100_0000, __WNOTHREAD = 0x2000_0000,
        __WALL = 0x4000_0000, __WCLONE = 0x8000_0000,
    }

    /// What waitid(2) waits for.
    IDTYPE = "waitid_types", ENUM => {
        P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3,
    }

    /// How rt_sigprocmask(2) changes the mask.
    SIGPROCMASK = "sigprocmask_how", ENUM => {
        SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2,
    }

    /// Options of prctl(2).
    PRCTL = "prctl_options", ENUM => {
        PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_GET_UNALIGN = 5,
        PR_SET_UNALIGN = 6, PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8, PR_GET_FPEMU = 9, PR_SET_FPEMU = 10,
        PR_GET_FPEXC = 11, PR_SET_FPEXC = 12, PR_GET_TIMING = 13, PR_SET_TIMING = 14, PR_SET_NAME = 15,
        PR_GET_NAME = 16, PR_GET_ENDIAN = 19, PR_SET_ENDIAN = 20, PR_GET_SECCOMP = 21, PR_SET_SECCOMP = 22,
        PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_TSC = 25, PR_SET_TSC = 26, PR_GET_SECUREBITS = 27,
        PR_SET_SECUREBITS = 28, PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_TASK_PERF_EVENTS_DISABLE = 31,
        PR_TASK_PERF_EVENTS_ENABLE = 32, PR_MCE_KILL = 33, PR_MCE_KILL_GET = 34, PR_SET_MM = 35,
        PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37, PR_SET_NO_NEW_PRIVS = 38,
        PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40, PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42,
        PR_MPX_ENABLE_MANAGEMENT = 43, PR_MPX_DISABLE_MANAGEMENT = 44, PR_SET_FP_MODE = 45, PR_GET_FP_MODE = 46,
        PR_CAP_AMBIENT = 47, PR_SVE_SET_VL = 50, PR_SVE_GET_VL = 51, PR_GET_SPECULATION_CTRL = 52,
        PR_SET_SPECULATION_CTRL = 53, PR_PAC_RESET_KEYS = 54, PR_SET_TAGGED_ADDR_CTRL = 55,
        PR_GET_TAGGED_ADDR_CTRL = 56, PR_SET_IO_FLUSHER = 57, PR_GET_IO_FLUSHER = 58,
        PR_SET_SYSCALL_USER_DISPATCH = 59, PR_PAC_SET_ENABLED_KEYS = 60, PR_PAC_GET_ENABLED_KEYS = 61,
        PR_SCHED_CORE = 62, PR_SME_SET_VL = 63, PR_SME_GET_VL = 64, PR_SET_MDWE = 65, PR_GET_MDWE = 66,
        PR_SET_MEMORY_MERGE = 67, PR_GET_MEMORY_MERGE = 68, PR_RISCV_V_SET_CONTROL = 69,
        PR_RISCV_V_GET_CONTROL = 70, PR_RISCV_SET_ICACHE_FLUSH_CTX = 71, PR_PPC_GET_DEXCR = 72,
        PR_PPC_SET_DEXCR = 73, PR_GET_SHADOW_STACK_STATUS = 74, PR_SET_SHADOW_STACK_STATUS = 75,
        PR_LOCK_SHADOW_STACK_STATUS = 76, PR_TIMER_CREATE_RESTORE_IDS = 77, PR_FUTEX_HASH = 78,
        PR_GET_AUXV = 0x4155_5856, PR_SET_VMA = 0x5356_4d41, PR_SET_PTRACER = 0x5961_6d61,
    }

    /// Field that prctl PR_SET_MM sets.
    PR_MM = "prctl_mm_fields", ENUM => {
        PR_SET_MM_START_CODE = 1, PR_SET_MM_END_CODE = 2, PR_SET_MM_START_DATA = 3, PR_SET_MM_END_DATA = 4,
        PR_SET_MM_START_STACK = 5, PR_SET_MM_START_BRK = 6, PR_SET_MM_BRK = 7, PR_SET_MM_ARG_START = 8,
        PR_SET_MM_ARG_END = 9, PR_SET_MM_ENV_START = 10, PR_SET_MM_ENV_END = 11, PR_SET_MM_AUXV = 12,
        PR_SET_MM_EXE_FILE = 13, PR_SET_MM_MAP = 14, PR_SET_MM_MAP_SIZE = 15,
    }

    /// Operation of prctl PR_CAP_AMBIENT.
    PR_AMBIENT = "prctl_ambient_ops", ENUM => {
        PR_CAP_AMBIENT_IS_SET = 1, PR_CAP_AMBIENT_RAISE = 2, PR_CAP_AMBIENT_LOWER = 3, PR_CAP_AMBIENT_CLEAR_ALL = 4,
    }

    /// Options of arch_prctl(2).
    ARCH_PRCTL = "arch_prctl_options", ENUM => {
        ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004,
        ARCH_GET_CPUID = 0x1011, ARCH_SET_CPUID = 0x1012, ARCH_GET_XCOMP_SUPP = 0x1021,
        ARCH_GET_XCOMP_PERM = 0x1022, ARCH_REQ_XCOMP_PERM = 0x1023, ARCH_GET_XCOMP_GUEST_PERM = 0x1024,
        ARCH_REQ_XCOMP_GUEST_PERM = 0x1025, ARCH_MAP_VDSO_X32 = 0x2001, ARCH_MAP_VDSO_32 = 0x2002,
        ARCH_MAP_VDSO_64 = 0x2003, ARCH_GET_UNTAG_MASK = 0x4001, ARCH_ENABLE_TAGGED_ADDR = 0x4002,
        ARCH_GET_MAX_TAG_BITS = 0x4003, ARCH_FORCE_TAGGED_SVA = 0x4004, ARCH_SHSTK_ENABLE = 0x5001,
        ARCH_SHSTK_DISABLE = 0x5002, ARCH_SHSTK_LOCK = 0x5003, ARCH_SHSTK_UNLOCK = 0x5004,
        ARCH_SHSTK_STATUS = 0x5005,
    }

    /// Scheduling policy of sched_setscheduler(2).
    SCHED = "sched_policies", flags(0x3fff_ffff) => {
        SCHED_NORMAL = 0, SCHED_FIFO = 1, SCHED_RR = 2, SCHED_BATCH = 3, SCHED_IDLE = 5, SCHED_DEADLINE = 6,
        SCHED_EXT = 7, SCHED_RESET_ON_FORK = 0x4000_0000,
    }

    /// Resources of setrlimit(2) and prlimit(2).
    RLIMIT = "rlimits", ENUM => {
        RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_RSS = 5,
        RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, RLIMIT_MEMLOCK = 8, RLIMIT_AS = 9, RLIMIT_LOCKS = 10,
        RLIMIT_SIGPENDING = 11, RLIMIT_MSGQUEUE = 12, RLIMIT_NICE = 13, RLIMIT_RTPRIO = 14, RLIMIT_RTTIME = 15,
    }

    /// Whose usage getrusage(2) tells.
    RUSAGE = "rusage_who", ENUM => {
        RUSAGE_SELF = 0, RUSAGE_THREAD = 1, RUSAGE_BOTH = 0xffff_fffe, RUSAGE_CHILDREN = 0xffff_ffff,
    }

    /// Whose priority getpriority(2) and setpriority(2) mean.
    PRIORITY = "priority_which", ENUM => {
        PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2,
    }

    /// Whose I/O priority ioprio_get(2) and ioprio_set(2) mean.
    IOPRIO = "ioprio_which", ENUM => {
        IOPRIO_WHO_PROCESS = 1, IOPRIO_WHO_PGRP = 2, IOPRIO_WHO_USER = 3,
    }

    /// Flags of pidfd_open(2).
    PIDFD_OPEN = "pidfd_open_flags", FLAGS => {
        PIDFD_THREAD = 0x80, PIDFD_NONBLOCK = 0x800,
    }

    /// Flags of pidfd_send_signal(2).
    PIDFD_SIGNAL = "pidfd_signal_flags", FLAGS => {
        PIDFD_SIGNAL_THREAD = 1, PIDFD_SIGNAL_THREAD_GROUP = 2, PIDFD_SIGNAL_PROCESS_GROUP = 4,
    }

    /// What kcmp(2) compares.
    KCMP = "kcmp_types", ENUM => {
        KCMP_FILE = 0, KCMP_VM = 1, KCMP_FILES = 2, KCMP_FS = 3, KCMP_SIGHAND = 4, KCMP_IO = 5, KCMP_SYSVSEM = 6,
        KCMP_EPOLL_TFD = 7,
    }

    /// Persona of personality(2) and its flags.
    PERSONALITY = "personas", flags(0xff) => {
        PER_LINUX = 0, PER_SVR4 = 1, PER_SVR3 = 2, PER_SCOSVR3 = 3, PER_WYSEV386 = 4, PER_ISCR4 = 5, PER_BSD = 6,
        PER_XENIX = 7, PER_LINUX32 = 8, PER_IRIX32 = 9, PER_IRIXN32 = 0xa, PER_IRIX64 = 0xb, PER_RISCOS = 0xc,
        PER_SOLARIS = 0xd, PER_UW7 = 0xe, PER_OSF4 = 0xf, PER_HPUX = 0x10, UNAME26 = 0x2_0000,
        ADDR_NO_RANDOMIZE = 0x4_0000, FDPIC_FUNCPTRS = 0x8_0000, MMAP_PAGE_ZERO = 0x10_0000,
        ADDR_COMPAT_LAYOUT = 0x20_0000, READ_IMPLIES_EXEC = 0x40_0000, ADDR_LIMIT_32BIT = 0x80_0000,
        SHORT_INODE = 0x100_0000, WHOLE_SECONDS = 0x200_0000, STICKY_TIMEOUTS = 0x400_0000,
        ADDR_LIMIT_3GB = 0x800_0000,
    }

    /// Operation of futex(2) and its flags.
    FUTEX = "futex_ops", flags(0x7f) => {
        FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_FD = 2, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4, FUTEX_WAKE_OP = 5,
        FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7, FUTEX_TRYLOCK_PI = 8, FUTEX_WAIT_BITSET = 9,
        FUTEX_WAKE_BITSET = 0xa, FUTEX_WAIT_REQUEUE_PI = 0xb, FUTEX_CMP_REQUEUE_PI = 0xc, FUTEX_LOCK_PI2 = 0xd,
        FUTEX_PRIVATE_FLAG = 0x80, FUTEX_CLOCK_REALTIME = 0x100,
    }

    /// Flags of futex_wake(2), futex_wait(2) and futex_requeue(2).
    FUTEX2 = "futex2_flags", flags(0x3) => {
        FUTEX2_SIZE_U8 = 0, FUTEX2_SIZE_U16 = 1, FUTEX2_SIZE_U32 = 2, FUTEX2_SIZE_U64 = 3, FUTEX2_NUMA = 4,
        FUTEX2_MPOL = 8, FUTEX2_PRIVATE = 0x80,
    }

    /// Flags of rseq(2).
    RSEQ = "rseq_flags", FLAGS => {
        RSEQ_FLAG_UNREGISTER = 1,
    }

    /// Actions of syslog(2).
    SYSLOG = "syslog_actions", ENUM => {
        SYSLOG_ACTION_CLOSE = 0, SYSLOG_ACTION_OPEN = 1, SYSLOG_ACTION_READ = 2, SYSLOG_ACTION_READ_ALL = 3,
        SYSLOG_ACTION_READ_CLEAR = 4, SYSLOG_ACTION_CLEAR = 5, SYSLOG_ACTION_CONSOLE_OFF = 6,
        SYSLOG_ACTION_CONSOLE_ON = 7, SYSLOG_ACTION_CONSOLE_LEVEL = 8, SYSLOG_ACTION_SIZE_UNREAD = 9,
        SYSLOG_ACTION_SIZE_BUFFER = 10,
    }

    /// Commands of reboot(2).
    REBOOT = "reboot_commands", ENUM => {
        LINUX_REBOOT_CMD_CAD_OFF = 0, LINUX_REBOOT_CMD_RESTART = 0x123_4567,
        LINUX_REBOOT_CMD_POWER_OFF = 0x4321_fedc, LINUX_REBOOT_CMD_KEXEC = 0x4558_4543,
        LINUX_REBOOT_CMD_CAD_ON = 0x89ab_cdef, LINUX_REBOOT_CMD_RESTART2 = 0xa1b2_c3d4,
        LINUX_REBOOT_CMD_HALT = 0xcdef_0123, LINUX_REBOOT_CMD_SW_SUSPEND = 0xd000_fce2,
    }
}

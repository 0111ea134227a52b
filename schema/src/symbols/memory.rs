//! Names of memory and System V IPC.

use super::{ENUM, FLAGS, Symbols, flags};

symbols! {
    /// Protection of mmap(2), mprotect(2); BTI and MTE exist on aarch64 only.
    PROT = "prot", FLAGS => {
        PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_SEM = 8, PROT_BTI = 0x10, PROT_MTE = 0x20,
        PROT_GROWSDOWN = 0x100_0000, PROT_GROWSUP = 0x200_0000,
    }

    /// Flags of mmap(2), with the kind of sharing in the low four bits.
    MMAP = "mmap_flags", flags(0xf) => {
        MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3, MAP_DROPPABLE = 8, MAP_FIXED = 0x10,
        MAP_ANONYMOUS = 0x20, MAP_32BIT = 0x40, MAP_ABOVE4G = 0x80, MAP_GROWSDOWN = 0x100, MAP_DENYWRITE = 0x800,
        MAP_EXECUTABLE = 0x1000, MAP_LOCKED = 0x2000, MAP_NORESERVE = 0x4000, MAP_POPULATE = 0x8000,
        MAP_NONBLOCK = 0x1_0000, MAP_STACK = 0x2_0000, MAP_HUGETLB = 0x4_0000, MAP_SYNC = 0x8_0000,
        MAP_FIXED_NOREPLACE = 0x10_0000,
    }

    /// Flags of mremap(2).
    MREMAP = "mremap_flags", FLAGS => {
        MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4,
    }

    /// Advice of madvise(2).
    MADVISE = "madvise_advice", ENUM => {
        MADV_NORMAL = 0, MADV_RANDOM = 1, MADV_SEQUENTIAL = 2, MADV_WILLNEED = 3, MADV_DONTNEED = 4, MADV_FREE = 8,
        MADV_REMOVE = 9, MADV_DONTFORK = 10, MADV_DOFORK = 11, MADV_MERGEABLE = 12, MADV_UNMERGEABLE = 13,
        MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE = 15, MADV_DONTDUMP = 16, MADV_DODUMP = 17, MADV_WIPEONFORK = 18,
        MADV_KEEPONFORK = 19, MADV_COLD = 20, MADV_PAGEOUT = 21, MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23,
        MADV_DONTNEED_LOCKED = 24, MADV_COLLAPSE = 25, MADV_HWPOISON = 100, MADV_SOFT_OFFLINE = 101,
        MADV_GUARD_INSTALL = 102, MADV_GUARD_REMOVE = 103,
    }

    /// Flags of msync(2).
    MSYNC = "msync_flags", FLAGS => {
        MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4,
    }

    /// Flags of mlock2(2).
    MLOCK = "mlock_flags", FLAGS => {
        MLOCK_ONFAULT = 1,
    }

    /// Flags of mlockall(2).
    MLOCKALL = "mlockall_flags", FLAGS => {
        MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4,
    }

    /// NUMA policy of mbind(2) and set_mempolicy(2), with its mode flags.
    MPOL_MODE = "mempolicy_modes", flags(0xff) => {
        MPOL_DEFAULT = 0, MPOL_PREFERRED = 1, MPOL_BIND = 2, MPOL_INTERLEAVE = 3, MPOL_LOCAL = 4,
        MPOL_PREFERRED_MANY = 5, MPOL_WEIGHTED_INTERLEAVE = 6, MPOL_F_NUMA_BALANCING = 0x2000,
        MPOL_F_RELATIVE_NODES = 0x4000, MPOL_F_STATIC_NODES = 0x8000,
    }

    /// Flags of mbind(2) and move_pages(2).
    MPOL_MOVE = "mempolicy_move_flags", FLAGS => {
        MPOL_MF_STRICT = 1, MPOL_MF_MOVE = 2, MPOL_MF_MOVE_ALL = 4,
    }

    /// Flags of get_mempolicy(2).
    MPOL_QUERY = "mempolicy_query_flags", FLAGS => {
        MPOL_F_NODE = 1, MPOL_F_ADDR = 2, MPOL_F_MEMS_ALLOWED = 4,
    }

    /// Rights of pkey_alloc(2).
    PKEY = "pkey_rights", FLAGS => {
        PKEY_DISABLE_ACCESS = 1, PKEY_DISABLE_WRITE = 2,
    }

    /// Commands of membarrier(2).
    MEMBARRIER = "membarrier_commands", ENUM => {
        MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_GLOBAL = 1, MEMBARRIER_CMD_GLOBAL_EXPEDITED = 2,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 4, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 16, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 32,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 64, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 128,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 256, MEMBARRIER_CMD_GET_REGISTRATIONS = 512,
    }

    /// Flags of membarrier(2).
    MEMBARRIER_FLAGS = "membarrier_flags", FLAGS => {
        MEMBARRIER_CMD_FLAG_CPU = 1,
    }

    /// Flags of userfaultfd(2).
    USERFAULTFD = "userfaultfd_flags", FLAGS => {
        UFFD_USER_MODE_ONLY = 1, O_NONBLOCK = 0x800, O_CLOEXEC = 0x8_0000,
    }

    /// Flags of map_shadow_stack(2).
    SHADOW_STACK = "shadow_stack_flags", FLAGS => {
        SHADOW_STACK_SET_TOKEN = 1, SHADOW_STACK_SET_MARKER = 2,
    }

    /// Flags of shmat(2).
    SHMAT = "shmat_flags", FLAGS => {
        SHM_RDONLY = 0x1000, SHM_RND = 0x2000, SHM_REMAP = 0x4000, SHM_EXEC = 0x8000,
    }

    /// Flags of shmget(2); the low nine bits are the permissions.
    SHMGET = "shmget_flags", FLAGS => {
        IPC_CREAT = 0x200, IPC_EXCL = 0x400, SHM_HUGETLB = 0x800, SHM_NORESERVE = 0x1000,
    }

    /// Commands of shmctl(2).
    SHMCTL = "shmctl_commands", flags(0xff) => {
        IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3, SHM_LOCK = 0xb, SHM_UNLOCK = 0xc, SHM_STAT = 0xd,
        SHM_INFO = 0xe, SHM_STAT_ANY = 0xf, IPC_64 = 0x100,
    }

    /// Flags of semget(2) and msgget(2); the low nine bits are the permissions.
    IPCGET = "ipc_flags", FLAGS => {
        IPC_CREAT = 0x200, IPC_EXCL = 0x400,
    }

    /// Commands of semctl(2).
    SEMCTL = "semctl_commands", flags(0xff) => {
        IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3, GETPID = 0xb, GETVAL = 0xc, GETALL = 0xd,
        GETNCNT = 0xe, GETZCNT = 0xf, SETVAL = 0x10, SETALL = 0x11, SEM_STAT = 0x12, SEM_INFO = 0x13,
        SEM_STAT_ANY = 0x14, IPC_64 = 0x100,
    }

    /// Commands of msgctl(2).
    MSGCTL = "msgctl_commands", flags(0xff) => {
        IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3, MSG_STAT = 0xb, MSG_INFO = 0xc, MSG_STAT_ANY = 0xd,
        IPC_64 = 0x100,
    }

    /// Flags of msgsnd(2) and msgrcv(2).
    MSGSND = "msgsnd_flags", FLAGS => {
        IPC_NOWAIT = 0x800, MSG_NOERROR = 0x1000, MSG_EXCEPT = 0x2000, MSG_COPY = 0x4000,
    }
}

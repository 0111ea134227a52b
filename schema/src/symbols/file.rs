//! Names of files: open, lookup, locks, notification.

use super::{ENUM, FLAGS, Symbols, flags};

symbols! {
    /// Mode of access(2); no bit at all asks for existence.
    ACCESS = "access_modes", FLAGS => {
        F_OK = 0, R_OK = 4, W_OK = 2, X_OK = 1,
    }

    /// `resolve` of `struct open_how` (openat2).
    RESOLVE = "resolve_flags", FLAGS => {
        RESOLVE_NO_XDEV = 1, RESOLVE_NO_MAGICLINKS = 2, RESOLVE_NO_SYMLINKS = 4, RESOLVE_BENEATH = 8,
        RESOLVE_IN_ROOT = 0x10, RESOLVE_CACHED = 0x20,
    }

    /// How a path is looked up: `flags` of most `*at` calls.
    AT = "at_flags", FLAGS => {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_SYMLINK_FOLLOW = 0x400, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000,
        AT_RECURSIVE = 0x8000,
    }

    /// Flags of faccessat2(2): bit 0x200 is AT_EACCESS here.
    AT_ACCESS = "at_access_flags", FLAGS => {
        AT_EACCESS = 0x200, AT_SYMLINK_NOFOLLOW = 0x100, AT_EMPTY_PATH = 0x1000,
    }

    /// Flag of unlinkat(2): bit 0x200 is AT_REMOVEDIR here.
    AT_UNLINK = "at_unlink_flags", FLAGS => {
        AT_REMOVEDIR = 0x200,
    }

    /// Flags of statx(2).
    AT_STATX = "at_statx_flags", FLAGS => {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000, AT_STATX_FORCE_SYNC = 0x2000,
        AT_STATX_DONT_SYNC = 0x4000,
    }

    /// Flags of name_to_handle_at(2).
    AT_HANDLE = "at_handle_flags", FLAGS => {
        AT_HANDLE_MNT_ID_UNIQUE = 1, AT_HANDLE_CONNECTABLE = 2, AT_HANDLE_FID = 0x200, AT_SYMLINK_FOLLOW = 0x400,
        AT_EMPTY_PATH = 0x1000,
    }

    /// Flags of execveat(2).
    AT_EXEC = "at_exec_flags", FLAGS => {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_EMPTY_PATH = 0x1000, AT_EXECVE_CHECK = 0x1_0000,
    }

    /// `mask` of statx(2).
    STATX = "statx_mask", FLAGS => {
        STATX_BASIC_STATS = 0x7ff, STATX_TYPE = 1, STATX_MODE = 2, STATX_NLINK = 4, STATX_UID = 8, STATX_GID = 0x10,
        STATX_ATIME = 0x20, STATX_MTIME = 0x40, STATX_CTIME = 0x80, STATX_INO = 0x100, STATX_SIZE = 0x200,
        STATX_BLOCKS = 0x400, STATX_BTIME = 0x800, STATX_MNT_ID = 0x1000, STATX_DIOALIGN = 0x2000,
        STATX_MNT_ID_UNIQUE = 0x4000, STATX_SUBVOL = 0x8000, STATX_WRITE_ATOMIC = 0x1_0000,
        STATX_DIO_READ_ALIGN = 0x2_0000,
    }

    /// Flags of renameat2(2).
    RENAME = "rename_flags", FLAGS => {
        RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4,
    }

    /// Commands of fcntl(2).
    FCNTL = "fcntl_commands", ENUM => {
        F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7,
        F_SETOWN = 8, F_GETOWN = 9, F_SETSIG = 10, F_GETSIG = 11, F_GETLK64 = 12, F_SETLK64 = 13, F_SETLKW64 = 14,
        F_SETOWN_EX = 15, F_GETOWN_EX = 16, F_GETOWNER_UIDS = 17, F_OFD_GETLK = 36, F_OFD_SETLK = 37,
        F_OFD_SETLKW = 38, F_SETLEASE = 0x400, F_GETLEASE = 0x401, F_NOTIFY = 0x402, F_DUPFD_QUERY = 0x403,
        F_CREATED_QUERY = 0x404, F_CANCELLK = 0x405, F_DUPFD_CLOEXEC = 0x406, F_SETPIPE_SZ = 0x407,
        F_GETPIPE_SZ = 0x408, F_ADD_SEALS = 0x409, F_GET_SEALS = 0x40a, F_GET_RW_HINT = 0x40b,
        F_SET_RW_HINT = 0x40c, F_GET_FILE_RW_HINT = 0x40d, F_SET_FILE_RW_HINT = 0x40e,
    }

    /// Argument of fcntl F_SETFD.
    FD_FLAGS = "fd_flags", FLAGS => {
        FD_CLOEXEC = 1,
    }

    /// Argument of fcntl F_ADD_SEALS.
    SEALS = "seals", FLAGS => {
        F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8, F_SEAL_FUTURE_WRITE = 0x10,
        F_SEAL_EXEC = 0x20,
    }

    /// Argument of fcntl F_SETLEASE.
    LEASE = "leases", ENUM => {
        F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2,
    }

    /// Argument of fcntl F_NOTIFY.
    NOTIFY = "notify_flags", FLAGS => {
        DN_ACCESS = 1, DN_MODIFY = 2, DN_CREATE = 4, DN_DELETE = 8, DN_RENAME = 0x10, DN_ATTRIB = 0x20,
        DN_MULTISHOT = 0x8000_0000,
    }

    /// Operations of flock(2).
    FLOCK = "flock_ops", FLAGS => {
        LOCK_SH = 1, LOCK_EX = 2, LOCK_UN = 8, LOCK_NB = 4, LOCK_MAND = 0x20, LOCK_READ = 0x40, LOCK_WRITE = 0x80,
    }

    /// Origin of lseek(2).
    WHENCE = "whence", ENUM => {
        SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4,
    }

    /// Mode of fallocate(2).
    FALLOCATE = "fallocate_modes", FLAGS => {
        FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_NO_HIDE_STALE = 4,
        FALLOC_FL_COLLAPSE_RANGE = 8, FALLOC_FL_ZERO_RANGE = 0x10, FALLOC_FL_INSERT_RANGE = 0x20,
        FALLOC_FL_UNSHARE_RANGE = 0x40, FALLOC_FL_WRITE_ZEROES = 0x80,
    }

    /// Advice of posix_fadvise(2).
    FADVISE = "fadvise_advice", ENUM => {
        POSIX_FADV_NORMAL = 0, POSIX_FADV_RANDOM = 1, POSIX_FADV_SEQUENTIAL = 2, POSIX_FADV_WILLNEED = 3,
        POSIX_FADV_DONTNEED = 4, POSIX_FADV_NOREUSE = 5,
    }

    /// Flags of setxattr(2).
    XATTR = "xattr_flags", FLAGS => {
        XATTR_CREATE = 1, XATTR_REPLACE = 2,
    }

    /// Flags of sync_file_range(2).
    SYNC_FILE_RANGE = "sync_file_range_flags", FLAGS => {
        SYNC_FILE_RANGE_WAIT_BEFORE = 1, SYNC_FILE_RANGE_WRITE = 2, SYNC_FILE_RANGE_WAIT_AFTER = 4,
    }

    /// Flags of splice(2), tee(2), vmsplice(2).
    SPLICE = "splice_flags", FLAGS => {
        SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8,
    }

    /// Flags of preadv2(2) and pwritev2(2).
    RWF = "rwf_flags", FLAGS => {
        RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 0x10, RWF_NOAPPEND = 0x20,
        RWF_ATOMIC = 0x40, RWF_DONTCACHE = 0x80, RWF_NOSIGNAL = 0x100,
    }

    /// Flags of close_range(2).
    CLOSE_RANGE = "close_range_flags", FLAGS => {
        CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4,
    }

    /// Flags of memfd_create(2), with the size of huge pages in the top six bits.
    MEMFD = "memfd_flags", flags(0x3f << 26) => {
        MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 0x10,
        MFD_HUGE_64KB = 0x4000_0000, MFD_HUGE_512KB = 0x4c00_0000, MFD_HUGE_1MB = 0x5000_0000,
        MFD_HUGE_2MB = 0x5400_0000, MFD_HUGE_8MB = 0x5c00_0000, MFD_HUGE_16MB = 0x6000_0000,
        MFD_HUGE_32MB = 0x6400_0000, MFD_HUGE_256MB = 0x7000_0000, MFD_HUGE_512MB = 0x7400_0000,
        MFD_HUGE_1GB = 0x7800_0000, MFD_HUGE_2GB = 0x7c00_0000, MFD_HUGE_16GB = 0x8800_0000,
    }

    /// Flags of dup3(2) and memfd_secret(2).
    DUP3 = "dup3_flags", FLAGS => {
        O_CLOEXEC = 0x8_0000,
    }

    /// Mask of inotify_add_watch(2).
    INOTIFY = "inotify_mask", FLAGS => {
        IN_ACCESS = 1, IN_MODIFY = 2, IN_ATTRIB = 4, IN_CLOSE_WRITE = 8, IN_CLOSE_NOWRITE = 0x10, IN_OPEN = 0x20,
        IN_MOVED_FROM = 0x40, IN_MOVED_TO = 0x80, IN_CREATE = 0x100, IN_DELETE = 0x200, IN_DELETE_SELF = 0x400,
        IN_MOVE_SELF = 0x800, IN_ONLYDIR = 0x100_0000, IN_DONT_FOLLOW = 0x200_0000, IN_EXCL_UNLINK = 0x400_0000,
        IN_MASK_CREATE = 0x1000_0000, IN_MASK_ADD = 0x2000_0000, IN_ONESHOT = 0x8000_0000,
    }

    /// Flags of inotify_init1(2).
    INOTIFY_INIT = "inotify_init_flags", FLAGS => {
        IN_CLOEXEC = 0x8_0000, IN_NONBLOCK = 0x800,
    }

    /// Flags of fanotify_init(2), the class among them.
    FANOTIFY_INIT = "fanotify_init_flags", flags(0xc) => {
        FAN_CLASS_NOTIF = 0, FAN_CLASS_CONTENT = 4, FAN_CLASS_PRE_CONTENT = 8, FAN_CLOEXEC = 1, FAN_NONBLOCK = 2,
        FAN_UNLIMITED_QUEUE = 0x10, FAN_UNLIMITED_MARKS = 0x20, FAN_ENABLE_AUDIT = 0x40, FAN_REPORT_PIDFD = 0x80,
        FAN_REPORT_TID = 0x100, FAN_REPORT_FID = 0x200, FAN_REPORT_DIR_FID = 0x400, FAN_REPORT_NAME = 0x800,
        FAN_REPORT_TARGET_FID = 0x1000, FAN_REPORT_FD_ERROR = 0x2000, FAN_REPORT_MNT = 0x4000,
    }

    /// Flags of fanotify_mark(2).
    FANOTIFY_MARK = "fanotify_mark_flags", FLAGS => {
        FAN_MARK_ADD = 1, FAN_MARK_REMOVE = 2, FAN_MARK_DONT_FOLLOW = 4, FAN_MARK_ONLYDIR = 8,
        FAN_MARK_MNTNS = 0x110, FAN_MARK_MOUNT = 0x10, FAN_MARK_IGNORED_MASK = 0x20,
        FAN_MARK_IGNORED_SURV_MODIFY = 0x40, FAN_MARK_FLUSH = 0x80, FAN_MARK_FILESYSTEM = 0x100,
        FAN_MARK_EVICTABLE = 0x200, FAN_MARK_IGNORE = 0x400,
    }

    /// Event mask of fanotify_mark(2).
    FANOTIFY = "fanotify_mask", FLAGS => {
        FAN_ACCESS = 1, FAN_MODIFY = 2, FAN_ATTRIB = 4, FAN_CLOSE_WRITE = 8, FAN_CLOSE_NOWRITE = 0x10,
        FAN_OPEN = 0x20, FAN_MOVED_FROM = 0x40, FAN_MOVED_TO = 0x80, FAN_CREATE = 0x100, FAN_DELETE = 0x200,
        FAN_DELETE_SELF = 0x400, FAN_MOVE_SELF = 0x800, FAN_OPEN_EXEC = 0x1000, FAN_Q_OVERFLOW = 0x4000,
        FAN_FS_ERROR = 0x8000, FAN_OPEN_PERM = 0x1_0000, FAN_ACCESS_PERM = 0x2_0000, FAN_OPEN_EXEC_PERM = 0x4_0000,
        FAN_PRE_ACCESS = 0x10_0000, FAN_MNT_ATTACH = 0x100_0000, FAN_MNT_DETACH = 0x200_0000,
        FAN_EVENT_ON_CHILD = 0x800_0000, FAN_RENAME = 0x1000_0000, FAN_ONDIR = 0x4000_0000,
    }
}

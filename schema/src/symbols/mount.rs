//! Names of mounts and swap.

use super::{ENUM, FLAGS, Symbols};

symbols! {
    /// Flags of mount(2).
    MOUNT = "mount_flags", FLAGS => {
        MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_SYNCHRONOUS = 0x10, MS_REMOUNT = 0x20,
        MS_MANDLOCK = 0x40, MS_DIRSYNC = 0x80, MS_NOSYMFOLLOW = 0x100, MS_NOATIME = 0x400, MS_NODIRATIME = 0x800,
        MS_BIND = 0x1000, MS_MOVE = 0x2000, MS_REC = 0x4000, MS_SILENT = 0x8000, MS_POSIXACL = 0x1_0000,
        MS_UNBINDABLE = 0x2_0000, MS_PRIVATE = 0x4_0000, MS_SLAVE = 0x8_0000, MS_SHARED = 0x10_0000,
        MS_RELATIME = 0x20_0000, MS_KERNMOUNT = 0x40_0000, MS_I_VERSION = 0x80_0000, MS_STRICTATIME = 0x100_0000,
        MS_LAZYTIME = 0x200_0000,
    }

    /// Flags of umount2(2).
    UMOUNT = "umount_flags", FLAGS => {
        MNT_FORCE = 1, MNT_DETACH = 2, MNT_EXPIRE = 4, UMOUNT_NOFOLLOW = 8,
    }

    /// Flags of move_mount(2).
    MOVE_MOUNT = "move_mount_flags", FLAGS => {
        MOVE_MOUNT_F_SYMLINKS = 1, MOVE_MOUNT_F_AUTOMOUNTS = 2, MOVE_MOUNT_F_EMPTY_PATH = 4,
        MOVE_MOUNT_T_SYMLINKS = 0x10, MOVE_MOUNT_T_AUTOMOUNTS = 0x20, MOVE_MOUNT_T_EMPTY_PATH = 0x40,
        MOVE_MOUNT_SET_GROUP = 0x100, MOVE_MOUNT_BENEATH = 0x200,
    }

    /// Flags of open_tree(2).
    OPEN_TREE = "open_tree_flags", FLAGS => {
        OPEN_TREE_CLONE = 1, AT_SYMLINK_NOFOLLOW = 0x100, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000,
        AT_RECURSIVE = 0x8000, OPEN_TREE_CLOEXEC = 0x8_0000,
    }

    /// Flags of fsopen(2).
    FSOPEN = "fsopen_flags", FLAGS => {
        FSOPEN_CLOEXEC = 1,
    }

    /// Flags of fspick(2).
    FSPICK = "fspick_flags", FLAGS => {
        FSPICK_CLOEXEC = 1, FSPICK_SYMLINK_NOFOLLOW = 2, FSPICK_NO_AUTOMOUNT = 4, FSPICK_EMPTY_PATH = 8,
    }

    /// Commands of fsconfig(2).
    FSCONFIG = "fsconfig_commands", ENUM => {
        FSCONFIG_SET_FLAG = 0, FSCONFIG_SET_STRING = 1, FSCONFIG_SET_BINARY = 2, FSCONFIG_SET_PATH = 3,
        FSCONFIG_SET_PATH_EMPTY = 4, FSCONFIG_SET_FD = 5, FSCONFIG_CMD_CREATE = 6, FSCONFIG_CMD_RECONFIGURE = 7,
        FSCONFIG_CMD_CREATE_EXCL = 8,
    }

    /// Flags of fsmount(2).
    FSMOUNT = "fsmount_flags", FLAGS => {
        FSMOUNT_CLOEXEC = 1,
    }

    /// Attributes of fsmount(2) and mount_setattr(2); MOUNT_ATTR_RELATIME is no bit at all.
    MOUNT_ATTR = "mount_attributes", FLAGS => {
        MOUNT_ATTR_RDONLY = 1, MOUNT_ATTR_NOSUID = 2, MOUNT_ATTR_NODEV = 4, MOUNT_ATTR_NOEXEC = 8,
        MOUNT_ATTR_NOATIME = 0x10, MOUNT_ATTR_STRICTATIME = 0x20, MOUNT_ATTR_NODIRATIME = 0x80,
        MOUNT_ATTR_IDMAP = 0x10_0000, MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000,
    }

    /// Flags of swapon(2); the low 15 bits are the priority.
    SWAPON = "swapon_flags", FLAGS => {
        SWAP_FLAG_PREFER = 0x8000, SWAP_FLAG_DISCARD = 0x1_0000, SWAP_FLAG_DISCARD_ONCE = 0x2_0000,
        SWAP_FLAG_DISCARD_PAGES = 0x4_0000,
    }

    /// Types of quota: low byte of the command of quotactl(2).
    QUOTA = "quota_types", ENUM => {
        USRQUOTA = 0, GRPQUOTA = 1, PRJQUOTA = 2,
    }
}

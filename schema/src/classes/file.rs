//! Class `file`: paths and files.

use crate::class::{Action, Class, ClassId};
use crate::column::{ColumnType::*, ERROR, RET, Source, TEXT_ESCAPED, column, optional, same};
use crate::wire::{Wire, field};

/// Who the text of a path comes from.
pub static PATH_SOURCES: &[(u64, &str)] = &[(1, "kernel"), (2, "argument"), (3, "descriptor")];
/// What column `path_source` says where only descriptors lead to paths.
pub(super) const SOURCE_DOC: &str = "where there is a path: `kernel`, walked from the kernel's own object; `descriptor`, the same where others share the \
     descriptors and may have put another file there before the call returned";
/// What column `path_state` says.
pub(super) const STATE_DOC: &str = "`deleted`; `unreachable`: not below the root of the process's mount namespace (of a detached mount, or of \
     another namespace), whatever the path looks like; or both; else null";
/// What column `path_truncated` says.
pub(super) const TRUNCATED_DOC: &str = "a path was longer than the limit: one that was walked begins with `...`";
/// What column `path_folded` says.
pub(super) const FOLDED_DOC: &str = "a path has lost `name/..` by its text alone, and the name may have been a symbolic link that led elsewhere; \
     or it began with `..` in a process that has changed its root";

/// Columns of a path that the program named.
const NAMED: &[&str] = &["path", "path_source", "path_raw", "path_dir", "path_truncated", "path_state", "path_folded"];
/// Columns of a path that is always the kernel's own.
pub(super) const WALKED: &[&str] = &["path", "path_source", "path_truncated", "path_state", "dev", "ino"];

/// What is odd about a path (`path_state >> 1`).
pub static PATH_STATES: &[(u64, &str)] = &[(1, "deleted"), (2, "unreachable"), (3, "deleted,unreachable")];

pub(super) static FILE: Class = Class {
    id: ClassId::File,
    name: "file",
    doc: "Paths and files: open, names, attributes, mounts.",
    default: true,
    fields: &[
        field("ret", Wire::I64, "return value of the call"),
        field("ino", Wire::U64, "inode number, or 0"),
        field("length", Wire::I64, "bytes: length asked for by truncate, size of the file at close"),
        field("flags", Wire::U64, "flags argument"),
        field("dev", Wire::U32, "device of the file as stat(2) shows it, or 0"),
        field("fd", Wire::I32, "file descriptor, or -1"),
        field("mode", Wire::U32, "mode argument"),
        field("attributes_set", Wire::U32, "mount_setattr: attributes that are set"),
        field("attributes_cleared", Wire::U32, "mount_setattr: attributes that are cleared"),
        field("propagation", Wire::U32, "mount_setattr: kind of propagation, or 0"),
        field("new_uid", Wire::I32, "chown: owner asked for, -1 unchanged"),
        field("new_gid", Wire::I32, "chown: group asked for, -1 unchanged"),
        field("bits", Wire::U8, "0: created, 1: truncated"),
        field("path_source", Wire::U8, "1 kernel, 2 argument, 3 descriptor"),
        field("path_state", Wire::U8, "bits: 0 truncated, 1 deleted, 2 unreachable, 3 and 4 how `..` of a text ends"),
        field("path_odd", Wire::U8, "bits 1 and 2 of `path_state`"),
    ],
    tails: &["path", "path_raw", "path_dir", "new_path_raw", "new_path_dir", "source", "fs_type"],
    columns: &[
        RET,
        ERROR,
        column(
            "path",
            Text,
            Source::Path { walk: Some("path"), raw: "path_raw", dir: "path_dir" },
            "the best absolute path, from the root of the process's mount namespace",
        ),
        column(
            "path_source",
            Text,
            Source::Names { field: "path_source", names: PATH_SOURCES },
            "`kernel`: walked from the kernel's own object; `descriptor`: from the object that was behind the descriptor when \
             the call returned, where others share the descriptors and may have put it there meanwhile; `argument`: the \
             program's text",
        ),
        column("path_raw", Text, Source::Text { tail: "path_raw" }, "the program's text of `path`"),
        column(
            "path_dir",
            Text,
            Source::Walk { tail: "path_dir" },
            "directory that the program's texts were relative to",
        ),
        column("path_truncated", Bool, Source::Bit { field: "path_state", bit: 0 }, TRUNCATED_DOC),
        column("path_state", Text, Source::Names { field: "path_odd", names: PATH_STATES }, STATE_DOC),
        column("path_folded", Bool, Source::Collector, FOLDED_DOC),
        column(
            "new_path",
            Text,
            Source::Path { walk: None, raw: "new_path_raw", dir: "new_path_dir" },
            "rename, link, symlink: the name that comes to be, absolute; pivot_root: where the old root is put",
        ),
        column("new_path_raw", Text, Source::Text { tail: "new_path_raw" }, "the program's text of `new_path`"),
        column(
            "new_path_dir",
            Text,
            Source::Walk { tail: "new_path_dir" },
            "directory that `new_path_raw` was relative to",
        ),
        optional("fd", Int32, -1, "file descriptor; null when the call failed or had none"),
        same("flags", Int64, "flags argument"),
        column("flags_text", Text, Source::Symbols { field: "flags" }, "`flags` in words"),
        same("mode", Int64, "mode argument (permission bits)"),
        optional("dev", Int64, 0, "device of the file as stat(2) shows it"),
        optional("ino", Int64, 0, "inode number"),
        column(
            "created",
            Bool,
            Source::Bit { field: "bits", bit: 0 },
            "open: this open created the file, also one without a name",
        ),
        column("truncated", Bool, Source::Bit { field: "bits", bit: 1 }, "open: an existing regular file was emptied"),
        optional("length", Int64, -1, "bytes: truncate: the length asked for; close: the file's size"),
        optional("new_uid", Int64, -1, "chown: owner asked for"),
        optional("new_gid", Int64, -1, "chown: group asked for"),
        column(
            "source",
            Text,
            Source::Text { tail: "source" },
            "mount: device or directory that is mounted; of a mount that a descriptor stands for, as /proc/mounts names it",
        ),
        column(
            "fs_type",
            Text,
            Source::Text { tail: "fs_type" },
            "mount: type of the file system; null where a mount is moved by its name",
        ),
        column(
            "attributes_set",
            Text,
            Source::Symbols { field: "attributes_set" },
            "mount_setattr: attributes that the mount is to have",
        ),
        column(
            "attributes_cleared",
            Text,
            Source::Symbols { field: "attributes_cleared" },
            "mount_setattr: attributes that it is to lose",
        ),
        column(
            "propagation",
            Text,
            Source::Symbols { field: "propagation" },
            "mount_setattr: `MS_SHARED`, `MS_PRIVATE`, ...",
        ),
        TEXT_ESCAPED,
    ],
    actions: &[
        Action::new(0x0201, "open", "a file was opened, created or truncated")
            .calls(&["open", "openat", "openat2", "creat", "open_by_handle_at"])
            .also(NAMED)
            .sets(&["ret", "error", "fd", "flags", "flags_text", "mode", "dev", "ino", "created", "truncated"])
            .symbols(&[("flags_text", "open_flags")]),
        Action::new(0x0202, "unlink", "a name was removed")
            .calls(&["unlink", "unlinkat"])
            .also(NAMED)
            .sets(&["ret", "error"]),
        Action::new(0x0203, "rmdir", "a directory was removed")
            .calls(&["rmdir", "unlinkat"])
            .also(NAMED)
            .sets(&["ret", "error"]),
        Action::new(0x0204, "rename", "a name was changed")
            .calls(&["rename", "renameat", "renameat2"])
            .also(NAMED)
            .sets(&["ret", "error", "new_path", "new_path_raw", "new_path_dir", "flags", "flags_text"])
            .symbols(&[("flags_text", "rename_flags")]),
        Action::new(0x0205, "link", "a hard link was made")
            .calls(&["link", "linkat"])
            .also(NAMED)
            .sets(&["ret", "error", "new_path", "new_path_raw", "new_path_dir", "flags", "flags_text"])
            .symbols(&[("flags_text", "at_flags")]),
        Action::new(0x0206, "symlink", "a symbolic link was made; `path` is its target")
            .calls(&["symlink", "symlinkat"])
            .sets(&[
                "ret",
                "error",
                "path",
                "path_source",
                "path_raw",
                "path_truncated",
                "path_state",
                "path_folded",
                "new_path",
                "new_path_raw",
                "new_path_dir",
            ]),
        Action::new(0x0207, "mkdir", "a directory was made")
            .calls(&["mkdir", "mkdirat"])
            .also(NAMED)
            .sets(&["ret", "error", "mode"]),
        Action::new(0x0208, "chmod", "permissions were set")
            .calls(&["chmod", "fchmod", "fchmodat", "fchmodat2"])
            .also(NAMED)
            .sets(&["ret", "error", "fd", "mode", "dev", "ino"]),
        Action::new(0x0209, "chown", "owner or group was set")
            .calls(&["chown", "lchown", "fchown", "fchownat"])
            .also(NAMED)
            .sets(&["ret", "error", "fd", "dev", "ino", "new_uid", "new_gid"]),
        Action::new(0x020a, "truncate", "the length of a file was set")
            .calls(&["truncate", "ftruncate"])
            .also(NAMED)
            .sets(&["ret", "error", "fd", "dev", "ino", "length"]),
        Action::new(
            0x020b,
            "mount",
            "a file system was mounted, moved, or mounted anew with other options (`MS_REMOUNT`)",
        )
        .calls(&["mount", "move_mount", "fsconfig"])
        .also(NAMED)
        .sets(&["ret", "error", "dev", "ino", "flags", "flags_text", "source", "fs_type"])
        .symbols(&[("flags_text", "mount_flags")]),
        Action::new(0x020c, "umount", "a file system was unmounted")
            .calls(&["umount2"])
            .also(NAMED)
            .sets(&["ret", "error", "flags", "flags_text"])
            .symbols(&[("flags_text", "umount_flags")]),
        Action::new(0x020d, "close", "the last reference to a file that was open for writing is closed by close(2)")
            .also(WALKED)
            .sets(&["fd", "flags", "flags_text", "length"])
            .symbols(&[("flags_text", "open_flags")]),
        Action::new(0x020e, "mount_setattr", "attributes of a mount were changed")
            .calls(&["mount_setattr"])
            .also(NAMED)
            .sets(&[
                "ret",
                "error",
                "dev",
                "ino",
                "flags",
                "flags_text",
                "attributes_set",
                "attributes_cleared",
                "propagation",
            ])
            .symbols(&[
                ("flags_text", "at_flags"),
                ("attributes_set", "mount_attributes"),
                ("attributes_cleared", "mount_attributes"),
                ("propagation", "mount_flags"),
            ]),
        Action::new(0x020f, "pivot_root", "the root of the mount namespace was changed to `path`")
            .calls(&["pivot_root"])
            .also(NAMED)
            .sets(&["ret", "error", "new_path", "new_path_raw", "new_path_dir"]),
    ],
};

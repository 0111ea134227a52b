//! Class `file`: paths and files.

use crate::class::{Action, Class, ClassId};
use crate::column::{ColumnType::*, ERROR, RET, Source, TEXT_ESCAPED, column, optional, same};
use crate::wire::{Wire, field};

/// Who the text of a path comes from.
pub static PATH_SOURCES: &[(u64, &str)] = &[(1, "kernel"), (2, "argument")];

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
        field("new_uid", Wire::I32, "chown: owner asked for, -1 unchanged"),
        field("new_gid", Wire::I32, "chown: group asked for, -1 unchanged"),
        field("bits", Wire::U8, "0: created, 1: truncated"),
        field("path_source", Wire::U8, "1 kernel, 2 argument"),
        field("path_state", Wire::U8, "bits: 0 truncated, 1 deleted, 2 unreachable"),
        field("path_odd", Wire::U8, "`path_state >> 1`"),
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
            "`kernel`: walked from the kernel's own object; `argument`: the program's text",
        ),
        column("path_raw", Text, Source::Text { tail: "path_raw" }, "the program's text of `path`"),
        column(
            "path_dir",
            Text,
            Source::Walk { tail: "path_dir" },
            "directory that the program's texts were relative to",
        ),
        column("path_truncated", Bool, Source::Bit { field: "path_state", bit: 0 }, "a path was longer than the limit"),
        column(
            "path_state",
            Text,
            Source::Names { field: "path_odd", names: PATH_STATES },
            "`deleted`, `unreachable` or both, else null",
        ),
        column(
            "new_path",
            Text,
            Source::Path { walk: None, raw: "new_path_raw", dir: "new_path_dir" },
            "rename, link, symlink: the name that comes to be, absolute",
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
        column("source", Text, Source::Text { tail: "source" }, "mount: device or directory that is mounted"),
        column("fs_type", Text, Source::Text { tail: "fs_type" }, "mount: type of the file system"),
        TEXT_ESCAPED,
    ],
    actions: &[
        Action::new(0x0201, "open", "a file was opened, created or truncated")
            .calls(&["open", "openat", "openat2", "creat", "open_by_handle_at"])
            .sets(&[
                "ret",
                "error",
                "path",
                "path_source",
                "path_raw",
                "path_dir",
                "path_truncated",
                "path_state",
                "fd",
                "flags",
                "flags_text",
                "mode",
                "dev",
                "ino",
                "created",
                "truncated",
            ])
            .symbols(&[("flags_text", "open_flags")]),
        Action::new(0x0202, "unlink", "a name was removed").calls(&["unlink", "unlinkat"]).sets(&[
            "ret",
            "error",
            "path",
            "path_source",
            "path_raw",
            "path_dir",
            "path_truncated",
        ]),
        Action::new(0x0203, "rmdir", "a directory was removed").calls(&["rmdir", "unlinkat"]).sets(&[
            "ret",
            "error",
            "path",
            "path_source",
            "path_raw",
            "path_dir",
            "path_truncated",
        ]),
        Action::new(0x0204, "rename", "a name was changed")
            .calls(&["rename", "renameat", "renameat2"])
            .sets(&[
                "ret",
                "error",
                "path",
                "path_source",
                "path_raw",
                "path_dir",
                "path_truncated",
                "new_path",
                "new_path_raw",
                "new_path_dir",
                "flags",
                "flags_text",
            ])
            .symbols(&[("flags_text", "rename_flags")]),
        Action::new(0x0205, "link", "a hard link was made")
            .calls(&["link", "linkat"])
            .sets(&[
                "ret",
                "error",
                "path",
                "path_source",
                "path_raw",
                "path_dir",
                "path_truncated",
                "new_path",
                "new_path_raw",
                "new_path_dir",
                "flags",
                "flags_text",
            ])
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
                "new_path",
                "new_path_raw",
                "new_path_dir",
            ]),
        Action::new(0x0207, "mkdir", "a directory was made").calls(&["mkdir", "mkdirat"]).sets(&[
            "ret",
            "error",
            "path",
            "path_source",
            "path_raw",
            "path_dir",
            "path_truncated",
            "mode",
        ]),
        Action::new(0x0208, "chmod", "permissions were set").calls(&["chmod", "fchmod", "fchmodat", "fchmodat2"]).sets(
            &[
                "ret",
                "error",
                "path",
                "path_source",
                "path_raw",
                "path_dir",
                "path_truncated",
                "path_state",
                "fd",
                "mode",
                "dev",
                "ino",
            ],
        ),
        Action::new(0x0209, "chown", "owner or group was set").calls(&["chown", "lchown", "fchown", "fchownat"]).sets(
            &[
                "ret",
                "error",
                "path",
                "path_source",
                "path_raw",
                "path_dir",
                "path_truncated",
                "path_state",
                "fd",
                "dev",
                "ino",
                "new_uid",
                "new_gid",
            ],
        ),
        Action::new(0x020a, "truncate", "the length of a file was set").calls(&["truncate", "ftruncate"]).sets(&[
            "ret",
            "error",
            "path",
            "path_source",
            "path_raw",
            "path_dir",
            "path_truncated",
            "path_state",
            "fd",
            "dev",
            "ino",
            "length",
        ]),
        Action::new(0x020b, "mount", "a file system was mounted or moved")
            .calls(&["mount", "move_mount"])
            .sets(&[
                "ret",
                "error",
                "path",
                "path_source",
                "path_raw",
                "path_dir",
                "path_truncated",
                "flags",
                "flags_text",
                "source",
                "fs_type",
            ])
            .symbols(&[("flags_text", "mount_flags")]),
        Action::new(0x020c, "umount", "a file system was unmounted")
            .calls(&["umount2"])
            .sets(&[
                "ret",
                "error",
                "path",
                "path_source",
                "path_raw",
                "path_dir",
                "path_truncated",
                "flags",
                "flags_text",
            ])
            .symbols(&[("flags_text", "umount_flags")]),
        Action::new(0x020d, "close", "the last reference to a file that was open for writing is closed by close(2)")
            .sets(&[
                "path",
                "path_source",
                "path_truncated",
                "path_state",
                "fd",
                "flags",
                "flags_text",
                "dev",
                "ino",
                "length",
            ])
            .symbols(&[("flags_text", "open_flags")]),
    ],
};

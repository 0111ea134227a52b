//! Class file.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{Step, any, step};

const AT_FDCWD: usize = libc::AT_FDCWD as usize;
const NO_FD: usize = 777;

/// The working directory.
pub fn here() -> String {
    std::env::current_dir().expect("directory").to_str().expect("UTF-8").to_owned()
}

/// A descriptor of a directory.
pub fn directory(path: &str) -> usize {
    must(libc::SYS_openat, &[AT_FDCWD, p(&c(path)), libc::O_DIRECTORY as usize]) as usize
}

/// Columns of a program's text, relative to the working directory or absolute.
pub fn text(raw: &str) -> Value {
    let dir = if raw.starts_with('/') { Value::Null } else { json!(here()) };
    json!({"path_raw": raw, "path_dir": dir})
}

/// Columns of a path that is the program's text.
pub fn argument(raw: &str) -> Value {
    let path = if raw.starts_with('/') { raw.to_owned() } else { format!("{}/{raw}", here()) };
    with(text(raw), json!({"path": path, "path_source": "argument", "path_truncated": false, "path_folded": false}))
}

/// Columns of a path that the kernel walked, with the file's identity, in a row that could have a text as well.
pub fn walked(path: &str) -> Value {
    with(closed(path), json!({"path_folded": false}))
}

/// The same in a row that never has one.
fn closed(path: &str) -> Value {
    let meta = std::fs::symlink_metadata(path).expect("the file is there");
    json!({
        "path": path, "path_source": "kernel", "path_truncated": false, "dev": meta.dev(), "ino": meta.ino(),
    })
}

/// Columns and more columns.
pub fn with(mut columns: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        columns[name] = value.clone();
    }
    columns
}

/// Calls with one name and nothing else: at first the name is there, then it is not.
fn name_twice(
    action: &'static str,
    call_name: &'static str,
    number: c_long,
    arguments: impl Fn(usize) -> Vec<usize>,
    raw: &str,
    more: Value,
) {
    let text = c(raw);
    for what in ["of a name", "once more"] {
        step(action, call_name, what).sys(number, &arguments(p(&text)), |_| with(argument(raw), more.clone()));
    }
}

fn names() {
    let none = json!({});
    let removedir = libc::AT_REMOVEDIR as usize;
    std::fs::write("a", "").expect("a file");
    name_twice("file.unlink", "unlinkat", libc::SYS_unlinkat, |n| vec![AT_FDCWD, n, 0], "a", none.clone());
    let mode = json!({"mode": 0o750});
    name_twice("file.mkdir", "mkdirat", libc::SYS_mkdirat, |n| vec![AT_FDCWD, n, 0o750], "d", mode.clone());
    name_twice("file.rmdir", "unlinkat", libc::SYS_unlinkat, |n| vec![AT_FDCWD, n, removedir], "d", none.clone());
    #[cfg(target_arch = "x86_64")]
    {
        let absolute = format!("{}/b", here());
        std::fs::write("b", "").expect("a file");
        name_twice("file.unlink", "unlink", libc::SYS_unlink, |n| vec![n], &absolute, none.clone());
        name_twice("file.mkdir", "mkdir", libc::SYS_mkdir, |n| vec![n, 0o750], "e", mode);
        name_twice("file.rmdir", "rmdir", libc::SYS_rmdir, |n| vec![n], "e", none);
    }
}

/// Calls with two names: `arguments` gets a flag, the old name and the new one.
fn two_names(
    action: &'static str,
    call_name: &'static str,
    number: c_long,
    flags: (u64, &str),
    arguments: impl Fn(usize, usize) -> Vec<usize>,
) {
    std::fs::write("old", "").expect("a file");
    let _ = std::fs::remove_file("new");
    let expect = |old: &str, new: &str| {
        with(
            argument(old),
            json!({
                "new_path": format!("{}/{new}", here()), "new_path_raw": new, "new_path_dir": here(),
                "flags": flags.0, "flags_text": flags.1,
            }),
        )
    };
    let (old, new, nothing) = (c("old"), c("new"), c("nothing"));
    step(action, call_name, "of a name").sys(number, &arguments(p(&old), p(&new)), |_| expect("old", "new"));
    step(action, call_name, "of nothing").sys(number, &arguments(p(&nothing), p(&new)), |_| expect("nothing", "new"));
}

fn renames_and_links() {
    const NOREPLACE: usize = 1;
    two_names("file.rename", "renameat", libc::SYS_renameat, (0, "0"), |o, n| vec![AT_FDCWD, o, AT_FDCWD, n]);
    two_names("file.rename", "renameat2", libc::SYS_renameat2, (1, "RENAME_NOREPLACE"), |o, n| {
        vec![AT_FDCWD, o, AT_FDCWD, n, NOREPLACE]
    });
    let follow = libc::AT_SYMLINK_FOLLOW as usize;
    two_names("file.link", "linkat", libc::SYS_linkat, (0x400, "AT_SYMLINK_FOLLOW"), |o, n| {
        vec![AT_FDCWD, o, AT_FDCWD, n, follow]
    });
    #[cfg(target_arch = "x86_64")]
    {
        two_names("file.rename", "rename", libc::SYS_rename, (0, "0"), |o, n| vec![o, n]);
        two_names("file.link", "link", libc::SYS_link, (0, "0"), |o, n| vec![o, n]);
    }
    // Each name relative to a directory of its own.
    std::fs::create_dir_all("from/x").expect("a directory");
    std::fs::create_dir_all("to").expect("a directory");
    std::fs::write("from/x/f", "").expect("a file");
    let (from, to) = (directory("from"), directory("to"));
    step("file.rename", "renameat", "between two directories").sys(libc::SYS_renameat, &[from, p(&c("x/f")), to, p(&c("g"))], |_| {
        json!({"path": format!("{}/from/x/f", here()), "path_source": "argument", "path_raw": "x/f", "path_dir": format!("{}/from", here()), "path_truncated": false, "path_folded": false,
            "new_path": format!("{}/to/g", here()), "new_path_raw": "g", "new_path_dir": format!("{}/to", here()), "flags": 0, "flags_text": "0"})
    });
    // The parents of a directory are the kernel's, whatever the directory is called.
    std::fs::write("from/x/leaf", "").expect("a file");
    let deep = directory("from/x");
    step("file.rename", "renameat", "to the directory above").sys(libc::SYS_renameat, &[deep, p(&c("leaf")), deep, p(&c("../leaf-up"))], |_| {
        json!({"path": format!("{}/from/x/leaf", here()), "path_source": "argument", "path_raw": "leaf", "path_dir": format!("{}/from/x", here()), "path_truncated": false, "path_folded": false,
            "new_path": format!("{}/from/leaf-up", here()), "new_path_raw": "../leaf-up", "new_path_dir": format!("{}/from/x", here()), "flags": 0, "flags_text": "0"})
    });
    assert!(std::fs::exists("from/leaf-up").expect("a directory"));
    close(deep as i64);
    close(from as i64);
    close(to as i64);
    symlinks();
}

fn symlinks() {
    let expect = |target: &str, path: String, new: &str| {
        json!({"path": path, "path_source": "argument", "path_raw": target, "path_truncated": false, "path_folded": false,
            "new_path": format!("{}/{new}", here()), "new_path_raw": new, "new_path_dir": here()})
    };
    std::fs::create_dir_all("links").expect("a directory");
    let (up, link, absolute) = (c("target"), c("links/l"), c("/etc/passwd"));
    step("file.symlink", "symlinkat", "to the directory above that of the link").sys(
        libc::SYS_symlinkat,
        &[p(&c("../up")), AT_FDCWD, p(&c("links/u"))],
        |_| with(expect("../up", format!("{}/up", here()), "links/u"), json!({"path_folded": true})),
    );
    for what in ["relative to the link", "that is there"] {
        step("file.symlink", "symlinkat", what).sys(libc::SYS_symlinkat, &[p(&up), AT_FDCWD, p(&link)], |_| {
            expect("target", format!("{}/links/target", here()), "links/l")
        });
    }
    step("file.symlink", "symlinkat", "to an absolute name").sys(
        libc::SYS_symlinkat,
        &[p(&absolute), AT_FDCWD, p(&c("links/m"))],
        |_| expect("/etc/passwd", "/etc/passwd".into(), "links/m"),
    );
    #[cfg(target_arch = "x86_64")]
    step("file.symlink", "symlink", "relative to the link").sys(libc::SYS_symlink, &[p(&up), p(&c("links/n"))], |_| {
        expect("target", format!("{}/links/target", here()), "links/n")
    });
}

/// A call on a descriptor: of a file, and of none.
fn by_fd(
    action: &'static str,
    call_name: &'static str,
    number: c_long,
    arguments: impl Fn(usize) -> Vec<usize>,
    more: &Value,
) {
    let path = format!("{}/attributes", here());
    let fd = must(libc::SYS_openat, &[AT_FDCWD, p(&c("attributes")), libc::O_RDWR as usize]) as usize;
    step(action, call_name, "of a file")
        .sys(number, &arguments(fd), |_| with(walked(&path), with(json!({"fd": fd}), more.clone())));
    step(action, call_name, "of no file").sys(number, &arguments(NO_FD), |_| {
        with(json!({"fd": NO_FD, "path_source": {"one_of": [null, "argument"]}, "path_truncated": false, "path_folded": false}), more.clone())
    });
    close(fd as i64);
}

fn attributes() {
    std::fs::write("attributes", "text").expect("a file");
    let by_name = |action, call_name, number, arguments: &dyn Fn(usize) -> Vec<usize>, more: &Value| {
        let (file, nothing) = (c("attributes"), c("nothing"));
        step(action, call_name, "of a name")
            .sys(number, &arguments(p(&file)), |_| with(argument("attributes"), more.clone()));
        step(action, call_name, "of nothing")
            .sys(number, &arguments(p(&nothing)), |_| with(argument("nothing"), more.clone()));
    };
    let mode = json!({"mode": 0o600});
    by_name("file.chmod", "fchmodat", libc::SYS_fchmodat, &|n| vec![AT_FDCWD, n, 0o600], &mode);
    // 6.6 and later; before, the answer to both is ENOSYS.
    by_name("file.chmod", "fchmodat2", 452, &|n| vec![AT_FDCWD, n, 0o600, 0], &mode);
    by_fd("file.chmod", "fchmod", libc::SYS_fchmod, |fd| vec![fd, 0o600], &mode);
    let owner = json!({"new_uid": 12, "new_gid": 34});
    by_name("file.chown", "fchownat", libc::SYS_fchownat, &|n| vec![AT_FDCWD, n, 12, 34, 0], &owner);
    by_fd("file.chown", "fchown", libc::SYS_fchown, |fd| vec![fd, u32::MAX as usize, 34], &json!({"new_gid": 34}));
    let length = json!({"length": 5_000_000_000i64});
    by_name("file.truncate", "truncate", libc::SYS_truncate, &|n| vec![n, 5_000_000_000], &length);
    by_fd("file.truncate", "ftruncate", libc::SYS_ftruncate, |fd| vec![fd, 3], &json!({"length": 3}));
    #[cfg(target_arch = "x86_64")]
    {
        by_name("file.chmod", "chmod", libc::SYS_chmod, &|n| vec![n, 0o600], &mode);
        by_name("file.chown", "chown", libc::SYS_chown, &|n| vec![n, 12, 34], &owner);
        by_name("file.chown", "lchown", libc::SYS_lchown, &|n| vec![n, 12, 34], &owner);
    }
}

/// A mount namespace of its own, where nothing that is mounted is seen by others.
fn own_mounts() {
    must(libc::SYS_unshare, &[libc::CLONE_NEWNS as usize]);
    must(libc::SYS_mount, &[0, p(&c("/")), 0, (libc::MS_REC | libc::MS_PRIVATE) as usize, 0]);
}

/// Memory, mounted on a directory that is made for it.
fn mount_memory(on: &str) {
    std::fs::create_dir_all(on).expect("a directory");
    must(libc::SYS_mount, &[p(&c("none")), p(&c(on)), p(&c("tmpfs")), 0, 0]);
}

/// A descriptor of memory that is mounted nowhere yet.
fn memory_mount() -> usize {
    let context = must(libc::SYS_fsopen, &[p(&c("tmpfs")), 0]) as usize;
    must(libc::SYS_fsconfig, &[context, 6, 0, 0, 0]); // FSCONFIG_CMD_CREATE
    let mount = must(libc::SYS_fsmount, &[context, 0, 0]) as usize;
    close(context as i64);
    mount
}

fn mounts() {
    checked_child(|| {
        own_mounts();
        std::fs::create_dir_all("mnt").expect("a directory");
        let (source, target, kind, nothing) = (c("weir-test"), c("mnt"), c("tmpfs"), c("nothing"));
        let flags = (libc::MS_NOSUID | libc::MS_NODEV) as usize;
        let expect = |raw: &str| {
            with(
                argument(raw),
                json!({"flags": flags, "flags_text": "MS_NOSUID|MS_NODEV", "source": "weir-test", "fs_type": "tmpfs"}),
            )
        };
        step("file.mount", "mount", "of memory").sys(
            libc::SYS_mount,
            &[p(&source), p(&target), p(&kind), flags, 0],
            |_| expect("mnt"),
        );
        step("file.mount", "mount", "on nothing").sys(
            libc::SYS_mount,
            &[p(&source), p(&nothing), p(&kind), flags, 0],
            |_| expect("nothing"),
        );
        let unmount = |what: &str, raw: &str| {
            let text = c(raw);
            step("file.umount", "umount2", what).sys(libc::SYS_umount2, &[p(&text), libc::MNT_DETACH as usize], |_| {
                with(argument(raw), json!({"flags": 2, "flags_text": "MNT_DETACH"}))
            });
        };
        // Paths cross the mount: the kernel's own walk goes on in the directory that is mounted on.
        std::fs::write("mnt/inside", "").expect("a file");
        crate::open::opened(
            "openat",
            "in a mount",
            libc::SYS_openat,
            &[AT_FDCWD, p(&c("mnt/inside")), 0, 0],
            ("mnt/inside", &format!("{}/mnt/inside", here())),
            (0, 0),
            (false, false),
        );
        unmount("of memory", "mnt");
        unmount("of what is not mounted", "mnt");
        moved(&target, &nothing);
    });
}

/// The newer calls: a mount without a place, then moved to one.
fn moved(target: &std::ffi::CStr, nothing: &std::ffi::CStr) {
    let (mount, empty) = (memory_mount(), c(""));
    let from_fd = 4usize; // MOVE_MOUNT_F_EMPTY_PATH
    let memory = json!({"source": "none", "fs_type": "tmpfs", "flags": 0, "flags_text": "0"});
    for (what, to) in [("to nothing", nothing), ("to a place", target)] {
        let raw = to.to_str().expect("UTF-8");
        step("file.mount", "move_mount", what).sys(
            libc::SYS_move_mount,
            &[mount, p(&empty), AT_FDCWD, to.as_ptr() as usize, from_fd],
            |_| with(argument(raw), memory.clone()),
        );
    }
    close(mount as i64);
    changed(target);
    moved_by_descriptors(&memory);
}

/// A mount whose attributes and options change.
fn changed(target: &std::ffi::CStr) {
    let raw = target.to_str().expect("UTF-8");
    let attributes = [1u64 | 4, 2, libc::MS_PRIVATE, 0]; // MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID
    let expect = |place: Value, flags: i32, text: &str| {
        let said = json!({"flags": flags, "flags_text": text, "attributes_set": "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NODEV",
            "attributes_cleared": "MOUNT_ATTR_NOSUID", "propagation": "MS_PRIVATE"});
        with(place, said)
    };
    // 5.12 and later.
    step("file.mount_setattr", "mount_setattr", "of a name").sys(
        libc::SYS_mount_setattr,
        &[AT_FDCWD, target.as_ptr() as usize, 0, at(&attributes), 32],
        |_| expect(argument(raw), 0, "0"),
    );
    let (fd, empty) = (directory(raw), c(""));
    step("file.mount_setattr", "mount_setattr", "of a descriptor").sys(
        libc::SYS_mount_setattr,
        &[fd, p(&empty), libc::AT_EMPTY_PATH as usize, at(&attributes), 32],
        |_| expect(walked(&format!("{}/{raw}", here())), libc::AT_EMPTY_PATH, "AT_EMPTY_PATH"),
    );
    close(fd as i64);
    step("file.mount_setattr", "mount_setattr", "of nothing").sys(
        libc::SYS_mount_setattr,
        &[AT_FDCWD, p(&c("nothing")), 0, at(&attributes), 32],
        |_| expect(argument("nothing"), 0, "0"),
    );
    let picked = must(libc::SYS_fspick, &[AT_FDCWD, target.as_ptr() as usize, 0]) as usize;
    must(libc::SYS_fsconfig, &[picked, 0, p(&c("ro")), 0, 0]); // FSCONFIG_SET_FLAG
    let remounted = json!({"path_source": "argument", "path_truncated": false, "path_folded": false, "flags": 0x20, "flags_text": "MS_REMOUNT"});
    step("file.mount", "fsconfig", "of memory").sys(libc::SYS_fsconfig, &[picked, 7, 0, 0, 0], |_| {
        with(remounted.clone(), json!({"fs_type": "tmpfs", "source": {"one_of": [null, "none"]}}))
    });
    step("file.mount", "fsconfig", "of no file system")
        .sys(libc::SYS_fsconfig, &[NO_FD, 7, 0, 0, 0], |_| remounted.clone());
    close(picked as i64);
}

/// From a descriptor to a descriptor, neither of which has a name.
fn moved_by_descriptors(memory: &Value) {
    let (mount, empty) = (memory_mount(), c(""));
    std::fs::create_dir_all("place").expect("a directory");
    let (place, columns) = (directory("place"), walked(&format!("{}/place", here())));
    let both = 4usize | 0x40; // MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    step("file.mount", "move_mount", "from a descriptor to a descriptor").sys(
        libc::SYS_move_mount,
        &[mount, p(&empty), place, p(&empty), both],
        |_| with(columns.clone(), memory.clone()),
    );
    // By its name: only the text is known.
    step("file.mount", "move_mount", "by its name").sys(
        libc::SYS_move_mount,
        &[AT_FDCWD, p(&c("place")), AT_FDCWD, p(&c("mnt")), 0],
        |_| with(argument("mnt"), json!({"source": "place", "flags": 0, "flags_text": "0"})),
    );
    for fd in [place, mount] {
        close(fd as i64);
    }
}

/// The whole namespace gets another root.
fn pivoted() {
    checked_child(|| {
        own_mounts();
        mount_memory("root");
        std::fs::create_dir("root/old").expect("a directory");
        step("file.pivot_root", "pivot_root", "to nothing").sys(
            libc::SYS_pivot_root,
            &[p(&c("nothing")), p(&c("root/old"))],
            |_| with(argument("nothing"), json!({"new_path": format!("{}/root/old", here()), "new_path_raw": "root/old", "new_path_dir": here()})),
        );
        let (root, old) = (format!("{}/root", here()), format!("{}/root/old", here()));
        let me = Value::Object(crate::facts::who());
        let from = now();
        let ret = call(libc::SYS_pivot_root, &[p(&c(root.as_str())), p(&c(old.as_str()))]);
        // Where the old root is the first one of the machine it cannot be put anywhere.
        let columns = json!({"path": root, "path_source": "argument", "path_raw": root, "path_truncated": false, "path_folded": false,
            "new_path": old, "new_path_raw": old, "ret": ret, "error": if ret == 0 { Value::Null } else { json!(error_name(ret)) }});
        step("file.pivot_root", "pivot_root", "of memory").note(&me, from, now(), Some(ret), &columns);
    });
    pivoted_in_a_jail();
}

/// A root that is not that of the namespace is replaced: that works wherever the machine has its first one.
fn pivoted_in_a_jail() {
    checked_child(|| {
        own_mounts();
        mount_memory("jail");
        mount_memory("jail/root");
        std::fs::create_dir("jail/root/old").expect("a directory");
        let jail = format!("{}/jail", here());
        let me = with(Value::Object(crate::facts::who()), json!({"cwd": jail}));
        must(libc::SYS_chroot, &[p(&c("jail"))]);
        must(libc::SYS_chdir, &[p(&c("/"))]);
        let from = now();
        let ret = must(libc::SYS_pivot_root, &[p(&c("/root")), p(&c("/root/old"))]);
        let columns = json!({"path": format!("{jail}/root"), "path_source": "argument", "path_raw": "/root", "path_dir": jail,
            "path_truncated": false, "path_folded": false, "new_path": format!("{jail}/root/old"), "new_path_raw": "/root/old",
            "new_path_dir": jail, "ret": ret});
        step("file.pivot_root", "pivot_root", "in a jail").note(&me, from, now(), Some(ret), &columns);
    });
}

fn closes() {
    let path = format!("{}/closed", here());
    let flags = libc::O_CREAT | libc::O_WRONLY;
    let fd = must(libc::SYS_openat, &[AT_FDCWD, p(&c("closed")), flags as usize, 0o600]) as usize;
    must(libc::SYS_write, &[fd, at("12345"), 5]);
    let copy = must(libc::SYS_dup, &[fd]) as usize;
    close(copy as i64); // not the last one: no row, which the test counts
    let who = crate::facts::who();
    let columns =
        with(closed(&path), json!({"fd": fd, "flags": any(), "flags_text": {"contains": "O_WRONLY"}, "length": 5}));
    let from = now();
    close(fd as i64);
    let close: Step = step("file.close", "", "of a written file");
    close.note(&Value::Object(who), from, now(), None, &columns);
}

/// All of it.
pub fn run() {
    std::fs::create_dir_all("files").expect("a directory");
    let back = here();
    std::env::set_current_dir("files").expect("a directory");
    crate::open::run();
    names();
    renames_and_links();
    attributes();
    mounts();
    pivoted();
    closes();
    std::env::set_current_dir(back).expect("a directory");
}

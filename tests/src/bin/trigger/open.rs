//! Action open of class file.

use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::call::*;
use crate::facts::{any, step, symbols};
use crate::file::{argument, directory, here, text, walked, with};

const AT_FDCWD: usize = libc::AT_FDCWD as usize;

/// An open that succeeds: the descriptor is closed afterwards.
pub fn opened(
    call_name: &'static str,
    what: &str,
    number: c_long,
    arguments: &[usize],
    (raw, path): (&str, &str),
    (flags, mode): (i32, u32),
    (created, truncated): (bool, bool),
) {
    let fd = step("file.open", call_name, what).sys(number, arguments, |fd| {
        with(
            with(walked(path), text(raw)),
            json!({
                "fd": fd, "flags": flags, "flags_text": symbols("open_flags", flags as u64), "mode": mode,
                "created": created, "truncated": truncated,
            }),
        )
    });
    assert!(fd >= 0, "{call_name} {what}: {}", error_name(fd));
    close(fd);
}

fn open_failed(
    call_name: &'static str,
    what: &str,
    number: c_long,
    arguments: &[usize],
    raw: &str,
    flags: i32,
    mode: u32,
) {
    step("file.open", call_name, what).sys(number, arguments, |_| {
        with(
            argument(raw),
            json!({
                "flags": flags, "flags_text": symbols("open_flags", flags as u64), "mode": mode,
                "created": false, "truncated": false,
            }),
        )
    });
}

#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    handle: [u8; 128],
}

/// Every way to open a file.
pub fn run() {
    let path = format!("{}/opened", here());
    let (relative, nothing) = (c("opened"), c("nothing/here"));
    let create = libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC;
    opened(
        "openat",
        "that creates",
        libc::SYS_openat,
        &[AT_FDCWD, p(&relative), create as usize, 0o640],
        ("opened", &path),
        (create, 0o640),
        (true, false),
    );
    opened(
        "openat",
        "of what is there",
        libc::SYS_openat,
        &[AT_FDCWD, p(&relative), create as usize, 0o640],
        ("opened", &path),
        (create, 0o640),
        (false, false),
    );
    let truncate = libc::O_WRONLY | libc::O_TRUNC;
    opened(
        "openat",
        "that empties",
        libc::SYS_openat,
        &[AT_FDCWD, p(&relative), truncate as usize, 0],
        ("opened", &path),
        (truncate, 0),
        (false, true),
    );
    open_failed("openat", "of nothing", libc::SYS_openat, &[AT_FDCWD, p(&nothing), 0, 0], "nothing/here", 0, 0);
    open_failed(
        "openat",
        "of what is there already",
        libc::SYS_openat,
        &[AT_FDCWD, p(&relative), (libc::O_CREAT | libc::O_EXCL) as usize, 0o600],
        "opened",
        libc::O_CREAT | libc::O_EXCL,
        0o600,
    );
    open_failed(
        "openat",
        "of an absolute nothing",
        libc::SYS_openat,
        &[AT_FDCWD, p(&c("/no/such/file")), 0, 0],
        "/no/such/file",
        0,
        0,
    );

    let how = [libc::O_RDONLY as u64, 0, 0x08]; // RESOLVE_BENEATH
    opened(
        "openat2",
        "beneath",
        libc::SYS_openat2,
        &[AT_FDCWD, p(&relative), at(&how), 24],
        ("opened", &path),
        (0, 0),
        (false, false),
    );
    open_failed(
        "openat2",
        "of nothing",
        libc::SYS_openat2,
        &[AT_FDCWD, p(&nothing), at(&how), 24],
        "nothing/here",
        0,
        0,
    );

    let in_root = [libc::O_RDONLY as u64, 0, 0x10]; // RESOLVE_IN_ROOT
    step("file.open", "openat2", "of nothing below a root of its own").sys(
        libc::SYS_openat2,
        &[AT_FDCWD, p(&c("/no/such/file")), at(&in_root), 24],
        |_| {
            json!({
                "path": format!("{}/no/such/file", here()), "path_source": "argument", "path_raw": "/no/such/file",
                "path_dir": here(), "path_truncated": false, "path_folded": false, "flags": 0, "flags_text": "O_RDONLY", "mode": 0,
                "created": false, "truncated": false,
            })
        },
    );

    #[cfg(target_arch = "x86_64")]
    {
        opened(
            "open",
            "of what is there",
            libc::SYS_open,
            &[p(&relative), 0, 0],
            ("opened", &path),
            (0, 0),
            (false, false),
        );
        open_failed("open", "of nothing", libc::SYS_open, &[p(&nothing), 0, 0], "nothing/here", 0, 0);
        let creat = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        opened(
            "creat",
            "of what is there",
            libc::SYS_creat,
            &[p(&relative), 0o600],
            ("opened", &path),
            (creat, 0o600),
            (false, true),
        );
        open_failed("creat", "in nothing", libc::SYS_creat, &[p(&nothing), 0o600], "nothing/here", creat, 0o600);
    }

    let mut handle = Handle { bytes: 128, kind: 0, handle: [0; 128] };
    let mut mount = 0i32;
    let named = call(
        libc::SYS_name_to_handle_at,
        &[AT_FDCWD, p(&relative), std::ptr::from_mut(&mut handle) as usize, std::ptr::from_mut(&mut mount) as usize, 0],
    );
    if named == 0 {
        let here = directory(".");
        let expect = |fd: i64| {
            let what = json!({"fd": fd, "flags": 0, "flags_text": "O_RDONLY", "mode": 0, "created": false, "truncated": false});
            // By its handle a file may have no name in this mount.
            with(walked(&path), with(what, json!({"path": any(), "path_state": {"one_of": [null, "unreachable"]}})))
        };
        let fd = step("file.open", "open_by_handle_at", "of what is there").sys(
            libc::SYS_open_by_handle_at,
            &[here, at(&handle), 0],
            expect,
        );
        close(fd);
        close(here as i64);
    }
    step("file.open", "open_by_handle_at", "of no handle").sys(libc::SYS_open_by_handle_at, &[AT_FDCWD, 0, 0], |_| {
        // A handle is no text: there is no path to tell.
        json!({"path_source": {"one_of": [null, "argument"]}, "path_truncated": false, "path_folded": false,
            "flags": 0, "flags_text": "O_RDONLY", "mode": 0, "created": false, "truncated": false})
    });

    // The path is the kernel's own: through a symbolic link it is the file's.
    std::os::unix::fs::symlink("opened", "to-opened").expect("a link");
    opened(
        "openat",
        "through a link",
        libc::SYS_openat,
        &[AT_FDCWD, p(&c("to-opened")), 0, 0],
        ("to-opened", &path),
        (0, 0),
        (false, false),
    );
    // ... and of a file without a name, the last name that it had.
    std::fs::write("gone", "").expect("a file");
    let (fd, gone) =
        (must(libc::SYS_openat, &[AT_FDCWD, p(&c("gone")), 0]) as usize, std::fs::metadata("gone").expect("there"));
    std::fs::remove_file("gone").expect("removed");
    let again = c(format!("/proc/self/fd/{fd}"));
    let fd2 = step("file.open", "openat", "of a deleted file").sys(libc::SYS_openat, &[AT_FDCWD, p(&again), 0, 0], |fd| {
        json!({"path": format!("{}/gone", here()), "path_source": "kernel", "path_state": "deleted",
            "path_raw": again.to_str().expect("UTF-8"), "path_dir": null, "path_truncated": false, "path_folded": false,
            "dev": gone.dev(), "ino": gone.ino(), "fd": fd, "flags": 0, "flags_text": "O_RDONLY", "mode": 0, "created": false, "truncated": false})
    });
    close(fd2);
    close(fd as i64);
}

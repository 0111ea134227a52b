//! The ground rules of the kernel: what is true at the enter and the exit of a call, and odd texts.

use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{Step, any, step, who, write};
use crate::trapped::filter_calls;

const AT_FDCWD: usize = libc::AT_FDCWD as usize;
/// Programs whose first open is looked at.
const FRESH: usize = 40;

fn here() -> String {
    std::env::current_dir().expect("directory").to_str().expect("UTF-8").to_owned()
}

/// A path on a page of its own, which nothing touches before the kernel reads it.
#[repr(align(4096))]
struct Page([u8; 4096]);

const fn page(text: &[u8]) -> Page {
    let mut page = [0; 4096];
    let mut i = 0;
    while i < text.len() {
        page[i] = text[i];
        i += 1;
    }
    Page(page)
}

static FRESH_PATH: Page = page(b"/no/such/fresh/path");

/// Processes whose other thread has just ended when they do.
const JOINED: usize = 100;

/// What `trigger fresh` does: one open whose text is not resident.
pub fn open_fresh() {
    let fd = call(libc::SYS_openat, &[AT_FDCWD, FRESH_PATH.0.as_ptr() as usize, 0, 0]);
    assert_eq!(fd, -i64::from(libc::ENOENT), "nothing is there");
}

fn exe() -> String {
    std::env::current_exe().expect("own path").to_str().expect("UTF-8").to_owned()
}

/// Runs the program of this path with these arguments in a child, and returns its pid.
fn exec(path: &[u8], arguments: &[&[u8]]) -> i32 {
    let path = c(path);
    let texts: Vec<_> = arguments.iter().map(c).collect();
    let argv: Vec<usize> = texts.iter().map(p).chain([0]).collect();
    checked_child(|| {
        must(libc::SYS_execve, &[p(&path), at(&argv[..]), 0]);
    })
}

pub fn note(step: &str, more: Value) {
    let mut fact = json!({"step": step, "action": "note", "who": {}});
    for (name, value) in more.as_object().expect("an object") {
        fact[name] = value.clone();
    }
    write(&fact);
}

fn fresh() {
    let exe = exe();
    let pids: Vec<i32> = (0..FRESH)
        .map(|i| {
            // A file of its own: no page of it is mapped anywhere.
            let copy = format!("fresh-{i}");
            std::fs::copy(&exe, &copy).expect("a copy");
            let pid = exec(copy.as_bytes(), &[b"trigger", b"fresh"]);
            std::fs::remove_file(&copy).expect("removed");
            pid
        })
        .collect();
    note("fresh", json!({"pids": pids, "path": "/no/such/fresh/path"}));
}

fn seccomp() {
    checked_child(|| {
        // Timed: its start must not be taken for that of the denied one.
        step("syscall.call", "", "seccomp: allowed").sys(libc::SYS_getppid, &[], |_| {
            json!({"nr": libc::SYS_getppid, "syscall": "getppid", "compat": false, "duration_ns": {"min": 1, "max": 1_000_000_000}})
        });
        filter_calls(&[libc::SYS_getppid, libc::SYS_mkdirat], libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
        step("syscall.call", "", "seccomp: denied").sys(
            libc::SYS_getppid,
            &[],
            |_| json!({"nr": libc::SYS_getppid, "syscall": "getppid", "compat": false}),
        );
        step("file.mkdir", "", "seccomp: denied").sys(libc::SYS_mkdirat, &[AT_FDCWD, p(&c("/denied")), 0o700], |_| {
            json!({"path": "/denied", "path_source": "argument", "path_raw": "/denied", "path_dir": null, "path_truncated": false, "path_folded": false, "mode": 0o700})
        });
    });
}

static PIPE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

extern "C" fn write_one(_signal: i32) {
    let _ = call(libc::SYS_write, &[PIPE.load(std::sync::atomic::Ordering::Relaxed), at("x"), 1]);
}

/// SIGALRM runs the handler after a moment; interrupted calls start again.
fn alarm_soon() {
    // SAFETY: `action` is a whole struct of zeros but for what is set, and the handler makes one call only.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = write_one as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(set, 0, "a handler");
    let soon = [0i64, 0, 0, 30_000];
    must(libc::SYS_setitimer, &[0, at(&soon), 0]);
}

fn restarted() {
    checked_child(|| {
        let mut ends = [0i32; 2];
        must(libc::SYS_pipe2, &[std::ptr::from_mut(&mut ends) as usize, 0]);
        PIPE.store(ends[1] as usize, std::sync::atomic::Ordering::Relaxed);
        let mut byte = 0u8;
        alarm_soon();
        let from = now();
        let got = call(libc::SYS_read, &[ends[0] as usize, std::ptr::from_mut(&mut byte) as usize, 1]);
        note("restarted read", json!({"tid": std::process::id(), "from": from, "to": now(), "ret": got}));
        alarm_soon();
        let (second, from) = ([1i64, 0], now());
        let slept = call(libc::SYS_nanosleep, &[at(&second), 0]);
        note("interrupted nanosleep", json!({"tid": std::process::id(), "from": from, "to": now(), "ret": slept}));
    });
}

fn new_child() {
    let from = now();
    let pid = match call(libc::SYS_clone, &[libc::SIGCHLD as usize, 0, 0, 0, 0]) {
        0 => exit_now(0),
        pid => pid,
    };
    wait(pid as i32);
    note("new child", json!({"pid": std::process::id(), "child": pid, "from": from, "to": now()}));
}

/// The parent is told another number than the host knows.
fn new_child_in_a_namespace() {
    checked_child(|| {
        if call(libc::SYS_unshare, &[libc::CLONE_NEWPID as usize]) < 0 {
            return;
        }
        let (pid, status) = in_child(|| {
            let pid = match call(libc::SYS_clone, &[libc::SIGCHLD as usize, 0, 0, 0, 0]) {
                0 => exit_now(0),
                pid => pid as i32,
            };
            wait(pid);
            exit_now(pid);
        });
        note("new child in a namespace", json!({"pid": pid, "ret": libc::WEXITSTATUS(status)}));
    });
}

/// What an open makes and empties: each with whether it created a file and whether it emptied one.
fn made_and_emptied() {
    std::fs::write("to-empty", "some bytes").expect("a file");
    let mut expected = vec![];
    let pid = std::process::id();
    let from = now();
    for (path, flags, created, truncated) in [
        ("/dev/null", libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, false, false),
        (".", libc::O_RDWR | libc::O_TMPFILE, true, false),
        ("to-empty", libc::O_PATH | libc::O_TRUNC, false, false),
        ("to-empty", libc::O_RDONLY | libc::O_TRUNC, false, true),
        ("made", libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, true, false),
    ] {
        let ret = call(libc::SYS_openat, &[AT_FDCWD, p(&c(path)), flags as usize, 0o600]);
        // Not every file system has files without names.
        assert!(ret >= 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE, "{path}: {}", error_name(ret));
        expected.push(json!([ret >= 0 && created, truncated]));
    }
    note("made and emptied", json!({"pid": pid, "from": from, "to": now(), "expected": expected}));
}

/// The longest path that the kernel takes, and one byte more.
fn longest_path() {
    let (pid, from) = (std::process::id(), now());
    for bytes in [4095, 4096] {
        let path = c("/longest".chars().cycle().take(bytes).collect::<String>());
        assert!(call(libc::SYS_openat, &[AT_FDCWD, p(&path), 0, 0]) < 0);
    }
    note("longest path", json!({"pid": pid, "from": from, "to": now()}));
}

fn openat_failed(what: &str, raw: &[u8], path: &str, dir: Value, escaped: bool) {
    let text = c(raw);
    step("file.open", "", what).sys(libc::SYS_openat, &[AT_FDCWD, p(&text), 0, 0], |_| {
        let raw = String::from_utf8(raw.to_vec()).unwrap_or_else(|_| path.trim_start_matches('/').rsplit('/').next().expect("a name").to_owned());
        let folded = raw.contains("/../") && !raw.starts_with("/../");
        json!({"path": path, "path_source": "argument", "path_raw": raw, "path_dir": dir, "path_truncated": false, "path_folded": folded, "flags": 0,
            "flags_text": "O_RDONLY", "mode": 0, "created": false, "truncated": false, "text_escaped": escaped})
    });
}

fn odd_texts() {
    let here = here();
    openat_failed("odd text: a line end", b"two\nlines", &format!("{here}/two\nlines"), json!(here), false);
    openat_failed("odd text: an escape", b"\x1b[31mred\"\\", &format!("{here}/\x1b[31mred\"\\"), json!(here), false);
    openat_failed("odd text: no UTF-8", b"a\xffb\\c", &format!("{here}/a\\xffb\\\\c"), json!(here), true);
    openat_failed("odd text: dots and slashes", b".//x/./../y", &format!("{here}/y"), json!(here), false);
    let (above, _) = here.rsplit_once('/').expect("absolute");
    openat_failed("odd text: the directory above", b"../y", &format!("{above}/y"), json!(here), false);
    openat_failed("odd text: above a name", b"/no/such/../y", "/no/y", Value::Null, false);
    openat_failed("odd text: above the root", b"/../no-such-file", "/no-such-file", Value::Null, false);
    checked_child(|| {
        must(libc::SYS_prctl, &[libc::PR_SET_NAME as usize, p(&c(b"\x1b[2J\n\t\"\\'x"))]);
        let mut me = Value::Object(who());
        me["comm"] = json!("\x1b[2J\n\t\"\\'x"); // /proc escapes it in its own way
        let from = now();
        let ret = call(libc::SYS_mkdirat, &[AT_FDCWD, 0, 0]);
        let columns = json!({"ret": ret, "error": "EFAULT", "path_source": "argument", "path_dir": {"one_of": [null, here]}, "path_truncated": false, "path_folded": false, "mode": 0});
        let made: Step = step("file.mkdir", "", "odd text: a name of the thread");
        made.note(&me, from, now(), Some(ret), &columns);
    });
}

fn long_arguments() {
    let exe = exe();
    let many: Vec<String> = (0..2000).map(|i| format!("argument-{i}")).collect();
    let texts: Vec<&[u8]> =
        ["trigger", "nothing"].into_iter().chain(many.iter().map(String::as_str)).map(str::as_bytes).collect();
    let pid = exec(exe.as_bytes(), &texts);
    note("many arguments", json!({"pid": pid, "count": texts.len()}));
    let long = vec![b'x'; 100_000];
    let pid = exec(exe.as_bytes(), &[b"trigger", b"nothing", &long]);
    note("a long argument", json!({"pid": pid}));
    let pid = exec(exe.as_bytes(), &[b"trigger", b"nothing", b"a\xffb"]);
    note("an argument that is no UTF-8", json!({"pid": pid}));
    // A failing exec: argv is read from the program, text by text.
    let (path, words): (_, Vec<_>) = (c("/no/such/program"), (0..200).map(|i| c(format!("word-{i}"))).collect());
    let argv: Vec<usize> = words.iter().map(p).chain([0]).collect();
    let from = now();
    assert_eq!(call(libc::SYS_execve, &[p(&path), at(&argv[..]), 0]), -i64::from(libc::ENOENT));
    note("many arguments for nothing", json!({"tid": std::process::id(), "from": from, "to": now()}));
}

fn chroot() {
    std::fs::create_dir_all("cage/inner").expect("a directory");
    std::fs::write("cage/inner/file", "").expect("a file");
    let here = here();
    let outside = who();
    checked_child(|| {
        must(libc::SYS_chroot, &[p(&c("cage"))]);
        must(libc::SYS_chdir, &[p(&c("/inner"))]);
        let mut me = Value::Object(outside);
        me["ppid"] = me["pid"].clone();
        me["parent_start_ticks"] = me["start_ticks"].clone();
        me["start_ticks"] = Value::Null;
        me["pid"] = json!(std::process::id());
        me["tid"] = me["pid"].clone();
        let open = |what: &str, raw: &str, columns: Value| {
            let text = c(raw);
            let from = now();
            let ret = call(libc::SYS_openat, &[AT_FDCWD, p(&text), 0, 0]);
            let mut all = json!({"path_truncated": false, "path_folded": false, "flags": 0, "flags_text": "O_RDONLY", "mode": 0, "created": false, "truncated": false, "ret": ret});
            for (name, value) in columns.as_object().expect("an object") {
                all[name] = value.clone();
            }
            step("file.open", "", what).note(&me, from, now(), Some(ret), &all);
        };
        open(
            "chroot: an absolute text",
            "/nothing",
            json!({"path": format!("{here}/cage/nothing"), "path_raw": "/nothing", "path_dir": format!("{here}/cage"), "path_source": "argument", "error": "ENOENT"}),
        );
        open(
            "chroot: a relative text",
            "nothing",
            json!({"path": format!("{here}/cage/inner/nothing"), "path_raw": "nothing", "path_dir": format!("{here}/cage/inner"), "path_source": "argument", "error": "ENOENT"}),
        );
        open(
            "chroot: a file",
            "/inner/file",
            json!({"path": format!("{here}/cage/inner/file"), "path_source": "kernel", "path_raw": "/inner/file", "path_dir": format!("{here}/cage"), "fd": any(), "dev": any(), "ino": any()}),
        );
        open(
            "chroot: above the root",
            "/../nothing",
            json!({"path": format!("{here}/cage/nothing"), "path_raw": "/../nothing", "path_dir": format!("{here}/cage"), "path_source": "argument", "error": "ENOENT"}),
        );
        // How many of them end at the changed root is not recorded, so the row does not claim to know.
        open(
            "chroot: perhaps above the root",
            "../../nothing",
            json!({"path": format!("{here}/nothing"), "path_raw": "../../nothing", "path_dir": format!("{here}/cage/inner"), "path_folded": true, "path_source": "argument", "error": "ENOENT"}),
        );
    });
}

fn threads() {
    let from = now();
    std::thread::Builder::new()
        .name("second thread".into())
        .spawn(|| {
            let text = c("/no/such/directory/d");
            step("file.mkdir", "", "thread: its own id").sys(libc::SYS_mkdirat, &[AT_FDCWD, p(&text), 0o700], |_| {
                json!({"path": "/no/such/directory/d", "path_source": "argument", "path_raw": "/no/such/directory/d", "path_dir": null, "path_truncated": false, "path_folded": false, "mode": 0o700})
            });
        })
        .expect("a thread")
        .join()
        .expect("a thread");
    note("threads", json!({"pid": std::process::id(), "from": from, "to": now()}));
}

/// A directory that is gone still has its path, marked.
fn removed_directory() {
    std::fs::create_dir("gone-dir").expect("a directory");
    let here = here();
    checked_child(|| {
        must(libc::SYS_chdir, &[p(&c("gone-dir"))]);
        std::fs::remove_dir("../gone-dir").expect("removed");
        let text = c("x");
        let me = Value::Object(who());
        let from = now();
        let ret = call(libc::SYS_mkdirat, &[AT_FDCWD, p(&text), 0]);
        step("file.mkdir", "", "removed directory: a name in it").note(&me, from, now(), Some(ret), &json!({
            "ret": ret, "error": "ENOENT", "path": format!("{here}/gone-dir/x"), "path_source": "argument", "path_raw": "x",
            "path_dir": format!("{here}/gone-dir"), "path_truncated": false, "path_folded": false, "mode": 0,
        }));
    });
}

/// A thread that was joined may still be on its way out when the process ends: which of the two is the last?
fn joined() {
    for _ in 0..JOINED {
        checked_child(|| std::thread::spawn(|| ()).join().expect("a thread"));
    }
}

/// All of it.
pub fn run() {
    let directory = std::env::current_dir().expect("directory").join("rules");
    assert!(!directory.as_os_str().as_bytes().contains(&b'\n'), "a plain directory");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::env::set_current_dir(&directory).expect("a directory");
    crate::words::run();
    fresh();
    seccomp();
    crate::trapped::run();
    restarted();
    new_child();
    new_child_in_a_namespace();
    made_and_emptied();
    longest_path();
    odd_texts();
    long_arguments();
    chroot();
    threads();
    joined();
    removed_directory();
}

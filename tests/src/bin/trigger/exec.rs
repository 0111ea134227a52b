//! Action exec of class process.

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{any, root, step, who};
use crate::process::{capabilities, ids};

struct Vector {
    _texts: Vec<std::ffi::CString>,
    pointers: Vec<usize>,
}

/// A NULL-terminated vector of texts.
fn vector(texts: &[&[u8]]) -> Vector {
    let texts: Vec<_> = texts.iter().map(c).collect();
    let pointers = texts.iter().map(p).chain([0]).collect();
    Vector { _texts: texts, pointers }
}

impl Vector {
    fn at(&self) -> usize {
        self.pointers.as_ptr() as usize
    }
}

fn executable() -> String {
    std::env::current_exe().expect("own path").to_str().expect("UTF-8").to_owned()
}

/// A successful exec in a child: everything but the result is the new program's.
fn exec_success(
    call_name: &'static str,
    number: c_long,
    arguments: impl FnOnce(&Vector, &Vector) -> Vec<usize>,
    raw: &str,
    extra: Value,
) {
    let exe = executable();
    let texts: [&[u8]; 4] = [b"trigger", b"nothing", b"two words", b"a\nline"];
    let from = now();
    let mut parent = who();
    let pid = checked_child(|| {
        let (argv, envp) = (vector(&texts), vector(&[b"A=b"]));
        must(number, &arguments(&argv, &envp));
    });
    let mut expect = capabilities(ids(json!({
        "ret": 0, "path": exe, "path_raw": raw, "path_truncated": false,
        "args": texts.map(|t| String::from_utf8_lossy(t).into_owned()), "args_truncated": false,
    })));
    for (name, value) in extra.as_object().expect("an object") {
        expect[name] = value.clone();
    }
    let own = json!({
        "pid": pid, "tid": pid, "ppid": parent["pid"], "comm": raw.rsplit('/').next(), "exe": exe,
        "cmdline": "trigger nothing two words a\nline", "parent_start_ticks": parent["start_ticks"],
        "start_ticks": null,
    });
    for (name, value) in own.as_object().expect("an object") {
        parent[name] = value.clone();
    }
    step("process.exec", call_name, "of this program").note(&Value::Object(parent), from, now(), Some(0), &expect);
}

fn exec_failure(what: &str, path: &str, absolute: &str, dir: Value) {
    let texts: [&[u8]; 3] = [b"first", b"second one", b"third"];
    let (argv, envp, path_c) = (vector(&texts), vector(&[]), c(path));
    step("process.exec", "execve", what).sys(libc::SYS_execve, &[p(&path_c), argv.at(), envp.at()], |_| {
        capabilities(ids(json!({
            "path": absolute, "path_raw": path, "path_dir": dir, "path_truncated": false,
            "args": ["first", "second one", "third"], "args_truncated": false, "flags": 0, "flags_text": "0",
        })))
    });
}

/// Every way to start a program, and to fail.
pub fn run() {
    let exe = executable();
    let path = c(&exe);
    exec_success(
        "execve",
        libc::SYS_execve,
        |a, e| vec![p(&path), a.at(), e.at()],
        &exe,
        json!({"path_dir": root(), "flags": any(), "flags_text": any()}),
    );
    let (dir, name) = exe.rsplit_once('/').expect("absolute");
    let (dir_c, name_c) = (c(dir), c(name));
    let dirfd = must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&dir_c), libc::O_PATH as usize]) as usize;
    // The kernel's own text of it: /dev/fd/N/name.
    let raw = format!("/dev/fd/{dirfd}/{name}");
    exec_success(
        "execveat",
        libc::SYS_execveat,
        |a, e| vec![dirfd, p(&name_c), a.at(), e.at(), 0],
        &raw,
        json!({"path": any(), "path_dir": root(), "flags": any(), "flags_text": any()}),
    );
    close(dirfd as i64);

    let here = std::env::current_dir().expect("directory").to_str().expect("UTF-8").to_owned();
    exec_failure("of nothing", "/no/such/program", "/no/such/program", root());
    std::fs::write("plain", "not a program").expect("a file");
    exec_failure("without the right", "./plain", &format!("{here}/plain"), json!(here));
    std::fs::write("garbage", "not a program").expect("a file");
    must(libc::SYS_fchmodat, &[libc::AT_FDCWD as usize, p(&c("garbage")), 0o755]);
    exec_failure("of garbage", "garbage", &format!("{here}/garbage"), json!(here));
    let (argv, name) = (vector(&[b"x"]), c("nothing"));
    step("process.exec", "execveat", "of nothing").sys(
        libc::SYS_execveat,
        &[libc::AT_FDCWD as usize, p(&name), argv.at(), 0, libc::AT_SYMLINK_NOFOLLOW as usize],
        |_| {
            capabilities(ids(json!({
                "path": format!("{here}/nothing"), "path_raw": "nothing", "path_dir": here, "path_truncated": false,
                "args": ["x"], "args_truncated": false, "flags": 0x100, "flags_text": "AT_SYMLINK_NOFOLLOW",
            })))
        },
    );
}

/// Becomes a program of a user without any group or capability.
pub fn as_user(uid: u32, command: &[String]) {
    use std::os::unix::process::CommandExt;
    let (name, arguments) = command.split_first().expect("a command");
    // Groups go by themselves where a user is set.
    let error = std::process::Command::new(name).args(arguments).gid(uid).uid(uid).exec();
    panic!("{name}: {error}");
}

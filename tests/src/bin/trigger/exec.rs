//! Action exec of class process.

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{any, step, who};
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

/// What a program is that is started.
struct Program<'a> {
    exe: &'a str,
    comm: Value,
    /// What the kernel puts before the arguments of a script in the place of the first one.
    interpreter: &'a [&'a str],
}

const ARGUMENTS: [&str; 4] = ["trigger", "nothing", "two words", "a\nline"];

/// A successful exec in a child: everything but the result is the new program's.
fn exec_success(
    (call_name, what): (&'static str, &str),
    number: c_long,
    arguments: impl FnOnce(&Vector, &Vector) -> Vec<usize>,
    program: &Program<'_>,
    extra: Value,
) {
    let from = now();
    let mut parent = who();
    let pid = checked_child(|| {
        let (argv, envp) = (vector(&ARGUMENTS.map(str::as_bytes)), vector(&[b"A=b"]));
        must(number, &arguments(&argv, &envp));
    });
    let mut args = ARGUMENTS.to_vec();
    if !program.interpreter.is_empty() {
        args.splice(..1, program.interpreter.iter().copied());
    }
    let mut expect = capabilities(ids(json!({
        "ret": 0, "path": program.exe, "path_truncated": false, "path_folded": false, "args": args,
        "args_truncated": false,
    })));
    for (name, value) in extra.as_object().expect("an object") {
        expect[name] = value.clone();
    }
    let own = json!({
        "pid": pid, "tid": pid, "ppid": parent["pid"], "comm": program.comm, "exe": program.exe,
        "cmdline": args.join(" "), "parent_start_ticks": parent["start_ticks"], "start_ticks": null,
    });
    for (name, value) in own.as_object().expect("an object") {
        parent[name] = value.clone();
    }
    step("process.exec", call_name, what).note(&Value::Object(parent), from, now(), Some(0), &expect);
}

fn exec_failure(what: &str, path: &str, absolute: &str, dir: Value) {
    let texts: [&[u8]; 3] = [b"first", b"second one", b"third"];
    let (argv, envp, path_c) = (vector(&texts), vector(&[]), c(path));
    step("process.exec", "execve", what).sys(libc::SYS_execve, &[p(&path_c), argv.at(), envp.at()], |_| {
        capabilities(ids(json!({
            "path": absolute, "path_raw": path, "path_dir": dir, "path_truncated": false, "path_folded": false,
            "args": ["first", "second one", "third"], "args_truncated": false, "flags": 0, "flags_text": "0",
        })))
    });
}

/// A descriptor of a file or directory.
fn descriptor(path: &str, flags: i32) -> usize {
    must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&c(path)), flags as usize]) as usize
}

/// What an execveat of a descriptor alone is told by: nothing but its number.
fn by_fd_alone(fd: usize) -> Value {
    json!({"fd": fd, "flags": any(), "flags_text": any()})
}

/// The file that is started is told by a descriptor: the kernel has only a name of its own for it, `/dev/fd/N/name`.
fn by_descriptors(this: &Program<'_>, dir: &str, name: &str) {
    let (name_c, script_c, empty) = (c(name), c("script"), c(""));
    let empty_path = libc::AT_EMPTY_PATH as usize;
    for (what, flags, text_dir) in
        [("below a descriptor", 0, json!(dir)), ("below a descriptor that it closes", libc::O_CLOEXEC, Value::Null)]
    {
        let fd = descriptor(dir, libc::O_PATH | flags);
        exec_success(
            ("execveat", what),
            libc::SYS_execveat,
            |a, e| vec![fd, p(&name_c), a.at(), e.at(), 0],
            this,
            json!({"path_raw": name, "path_dir": text_dir, "fd": fd, "flags": any(), "flags_text": any()}),
        );
        close(fd as i64);
    }
    // The thread is named after the file that runs (6.14 and later), or after the descriptor.
    let of_fd = |exe: &str, fd: usize| {
        let file = exe.rsplit('/').next().expect("a name").to_owned();
        json!({"one_of": [file, fd.to_string()]})
    };
    let run = |what: &str, fd: usize, program: &Program<'_>, extra: Value| {
        exec_success(
            ("execveat", what),
            libc::SYS_execveat,
            |a, e| vec![fd, p(&empty), a.at(), e.at(), empty_path],
            program,
            extra,
        );
        close(fd as i64);
    };
    for flags in [libc::O_PATH, libc::O_PATH | libc::O_CLOEXEC] {
        let fd = descriptor(this.exe, flags);
        run("of a descriptor", fd, &Program { comm: of_fd(this.exe, fd), ..*this }, by_fd_alone(fd));
    }
    let here = std::env::current_dir().expect("directory").to_str().expect("UTF-8").to_owned();
    let gone = format!("{here}/gone-prog");
    std::fs::copy(this.exe, &gone).expect("a copy");
    let fd = descriptor(&gone, libc::O_PATH);
    std::fs::remove_file(&gone).expect("removed");
    let mut extra = by_fd_alone(fd);
    extra["path_state"] = json!("deleted");
    run("of a deleted file", fd, &Program { exe: &gone, comm: of_fd(&gone, fd), interpreter: &[] }, extra);

    let fd = must(libc::SYS_memfd_create, &[p(&c("prog")), 0]) as usize;
    std::fs::copy(this.exe, format!("/proc/self/fd/{fd}")).expect("a copy");
    let mut extra = by_fd_alone(fd);
    extra["path_state"] = json!("unreachable");
    let memory = Program { exe: "/memfd:prog", comm: of_fd("memfd:prog", fd), interpreter: &[] };
    run("of memory", fd, &memory, extra);

    std::fs::write("script", format!("#!{} nothing\n", this.exe)).expect("a file");
    must(libc::SYS_fchmodat, &[libc::AT_FDCWD as usize, p(&c("script")), 0o755]);
    let fd = descriptor(".", libc::O_PATH);
    let text = format!("/dev/fd/{fd}/script");
    let script = Program { exe: this.exe, comm: json!("script"), interpreter: &[this.exe, "nothing", &text] };
    let asked = json!({"path": format!("{here}/script"), "path_raw": "script", "path_dir": here, "fd": fd, "flags": any(), "flags_text": any()});
    exec_success(
        ("execveat", "of a script below a descriptor"),
        libc::SYS_execveat,
        |a, e| vec![fd, p(&script_c), a.at(), e.at(), 0],
        &script,
        asked,
    );
    close(fd as i64);
    let fd = descriptor("script", 0);
    let text = format!("/dev/fd/{fd}");
    let script = Program { exe: this.exe, comm: of_fd(this.exe, fd), interpreter: &[this.exe, "nothing", &text] };
    let mut asked = by_fd_alone(fd);
    asked["path"] = json!(format!("{here}/script"));
    run("of a script", fd, &script, asked);
}

/// Every way to start a program, and to fail.
pub fn run() {
    let exe = executable();
    let path = c(&exe);
    let (dir, name) = exe.rsplit_once('/').expect("absolute");
    let this = Program { exe: &exe, comm: json!(name), interpreter: &[] };
    exec_success(
        ("execve", "of this program"),
        libc::SYS_execve,
        |a, e| vec![p(&path), a.at(), e.at()],
        &this,
        json!({"path_raw": exe, "flags": any(), "flags_text": any()}),
    );
    by_descriptors(&this, dir, name);
    let here = std::env::current_dir().expect("directory").to_str().expect("UTF-8").to_owned();
    exec_failure("of nothing", "/no/such/program", "/no/such/program", Value::Null);
    std::fs::write("plain", "not a program").expect("a file");
    exec_failure("without the right", "./plain", &format!("{here}/plain"), json!(here));
    std::fs::write("garbage", "not a program").expect("a file");
    must(libc::SYS_fchmodat, &[libc::AT_FDCWD as usize, p(&c("garbage")), 0o755]);
    exec_failure("of garbage", "garbage", &format!("{here}/garbage"), json!(here));
    let (argv, plain) = (vector(&[b"x"]), must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&c("plain")), 0]));
    step("process.exec", "execveat", "of a descriptor without the right").sys(
        libc::SYS_execveat,
        &[plain as usize, p(&c("")), argv.at(), 0, libc::AT_EMPTY_PATH as usize],
        |_| {
            capabilities(ids(json!({
                "path": format!("{here}/plain"), "path_truncated": false, "path_folded": false, "fd": plain,
                "args": ["x"], "args_truncated": false, "flags": 0x1000, "flags_text": "AT_EMPTY_PATH",
            })))
        },
    );
    close(plain);
    let (argv, name) = (vector(&[b"x"]), c("nothing"));
    step("process.exec", "execveat", "of nothing").sys(
        libc::SYS_execveat,
        &[libc::AT_FDCWD as usize, p(&name), argv.at(), 0, libc::AT_SYMLINK_NOFOLLOW as usize],
        |_| {
            capabilities(ids(json!({
                "path": format!("{here}/nothing"), "path_raw": "nothing", "path_dir": here, "path_truncated": false, "path_folded": false,
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

//! Class process.

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{any, step, symbols, who};

const NOBODY: usize = 12345;
/// No process has this number.
const NO_PID: usize = 0x3fff_fff0;

fn status_hex(field: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
    let line = status.lines().find_map(|l| l.strip_prefix(field)).expect("the field");
    i64::from_str_radix(line.trim(), 16).expect("hexadecimal")
}

/// The columns with the ids of the calling thread.
pub fn ids(mut columns: Value) -> Value {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
    for (field, names) in [("Uid:", ["ruid", "euid", "suid"]), ("Gid:", ["rgid", "egid", "sgid"])] {
        let line = status.lines().find_map(|l| l.strip_prefix(field)).expect("the field");
        for (name, value) in names.iter().zip(line.split_whitespace()) {
            columns[name] = json!(value.parse::<i64>().expect("a number"));
        }
    }
    columns
}

/// The columns with the effective capabilities of the calling thread.
pub fn capabilities(mut columns: Value) -> Value {
    let effective = status_hex("CapEff:");
    columns["cap_effective"] = json!(effective);
    columns["cap_effective_text"] = json!(symbols("capabilities", effective as u64));
    columns
}

/// A child by one raw call that ends at once.
fn forked(call_name: &'static str, number: c_long, arguments: &[usize]) {
    step("process.fork", call_name, "of a child").run(
        || match call(number, arguments) {
            0 => exit_now(0),
            ret => ret,
        },
        |pid| {
            wait(pid as i32);
            json!({"child_pid": pid, "child_key": any()})
        },
    );
}

/// vfork: the child ends inside the assembler block, because it runs on its parent's stack.
#[cfg(target_arch = "x86_64")]
fn vforked() {
    let work = || {
        let ret: i64;
        // SAFETY: the child makes one call that does not return and touches no memory; the parent sees a plain call.
        unsafe {
            std::arch::asm!("syscall", "test rax, rax", "jnz 2f", "mov eax, 231", "xor edi, edi", "syscall", "2:",
                inlateout("rax") libc::SYS_vfork => ret, out("rcx") _, out("r11") _, out("rdi") _);
        }
        ret
    };
    step("process.fork", "vfork", "of a child").run(work, |pid| {
        wait(pid as i32);
        json!({"child_pid": pid, "child_key": any()})
    });
}

#[repr(C)]
#[derive(Default)]
struct Clone3 {
    words: [u64; 11],
}

fn clone3(flags: u64) -> Clone3 {
    let mut arguments = Clone3::default();
    arguments.words[0] = flags;
    arguments.words[4] = libc::SIGCHLD as u64;
    arguments
}

fn fork() {
    forked("clone", libc::SYS_clone, &[libc::SIGCHLD as usize, 0, 0, 0, 0]);
    let good = clone3(0);
    forked("clone3", libc::SYS_clone3, &[at(&good), size_of::<Clone3>()]);
    #[cfg(target_arch = "x86_64")]
    {
        forked("fork", libc::SYS_fork, &[]);
        vforked();
    }
    // Handlers cannot be shared without the memory.
    let flags = libc::CLONE_SIGHAND as usize | libc::SIGCHLD as usize;
    step("process.fork", "clone", "of the impossible").sys(
        libc::SYS_clone,
        &[flags, 0, 0, 0, 0],
        |_| json!({"flags": flags, "flags_text": symbols("clone_flags", flags as u64)}),
    );
    let bad = clone3(libc::CLONE_SIGHAND as u64);
    step("process.fork", "clone3", "of the impossible").sys(
        libc::SYS_clone3,
        &[at(&bad), size_of::<Clone3>()],
        |_| json!({"flags": libc::CLONE_SIGHAND, "flags_text": "CLONE_SIGHAND"}),
    );
    #[cfg(target_arch = "x86_64")]
    checked_child(|| {
        let limit = [0u64; 2];
        must(libc::SYS_setrlimit, &[libc::RLIMIT_NPROC as usize, at(&limit)]);
        must(libc::SYS_setresuid, &[NOBODY, NOBODY, NOBODY]);
        for (name, number) in [("fork", libc::SYS_fork), ("vfork", libc::SYS_vfork)] {
            // No room for another process of this user, so neither returns twice.
            step("process.fork", name, "beyond the limit").sys(
                number,
                &[],
                |_| json!({"flags": 0, "flags_text": any()}),
            );
        }
    });
}

/// A child that ends in this way.
fn ended(what: &str, work: impl FnOnce()) {
    let (from, started) = (now(), std::time::Instant::now());
    let mut who_ends = who();
    let (pid, status) = in_child(work);
    let ran = started.elapsed().as_nanos() as i64;
    let mut expect = json!({
        "core_dumped": libc::WCOREDUMP(status), "duration_ns": {"min": 1_000, "max": ran + 1_000_000},
    });
    if libc::WIFEXITED(status) {
        expect["exit_code"] = json!(libc::WEXITSTATUS(status));
    } else {
        expect["exit_signal"] = json!(libc::WTERMSIG(status));
    }
    who_ends.insert("ppid".into(), who_ends["pid"].clone());
    who_ends.insert("parent_start_ticks".into(), who_ends["start_ticks"].clone());
    who_ends.insert("start_ticks".into(), Value::Null);
    who_ends.insert("pid".into(), json!(pid));
    who_ends.insert("tid".into(), json!(pid));
    step("process.exit", "", what).note(&Value::Object(who_ends), from, now(), None, &expect);
}

fn signalled(signal: i32) {
    must(libc::SYS_kill, &[std::process::id() as usize, signal as usize]);
    std::thread::sleep(std::time::Duration::from_secs(5));
}

fn exit() {
    ended("with a status", || exit_now(42));
    ended("by SIGKILL", || signalled(libc::SIGKILL));
    ended("by SIGABRT, with a core where the machine writes them", || {
        let limit = [u64::MAX; 2];
        let _ = call(libc::SYS_prlimit64, &[0, libc::RLIMIT_CORE as usize, at(&limit), 0]);
        signalled(libc::SIGABRT);
    });
    ended("of several threads", || {
        let threads: Vec<_> = (0..3).map(|_| std::thread::spawn(|| ())).collect();
        threads.into_iter().for_each(|t| t.join().expect("a thread"));
        exit_now(7);
    });
}

/// A call that sets ids, once as root and once without the right, each in a child of its own.
fn set_ids(action: &'static str, name: &'static str, number: c_long, arguments: &[usize], fails: bool) {
    let give = |requested: usize| move |_| ids(json!({"requested": requested as i32}));
    let columns = |value: Value| {
        let groups = action == "process.setgid";
        let mut value = value;
        let gone: &[&str] = if groups { &["ruid", "euid", "suid"] } else { &["rgid", "egid", "sgid"] };
        gone.iter().for_each(|name| drop(value.as_object_mut().expect("an object").remove(*name)));
        value
    };
    checked_child(|| {
        step(action, name, "as root").sys(number, arguments, |ret| columns(give(arguments[0])(ret)));
    });
    if fails {
        checked_child(|| {
            must(libc::SYS_setresgid, &[NOBODY, NOBODY, NOBODY]);
            must(libc::SYS_setresuid, &[NOBODY, NOBODY, NOBODY]);
            let zeros = [0usize; 3];
            step(action, name, "without the right").sys(number, &zeros[..arguments.len()], |ret| columns(give(0)(ret)));
        });
    }
}

fn credentials() {
    const KEEP: usize = u32::MAX as usize;
    set_ids("process.setuid", "setuid", libc::SYS_setuid, &[NOBODY], true);
    set_ids("process.setuid", "setreuid", libc::SYS_setreuid, &[NOBODY, KEEP], true);
    set_ids("process.setuid", "setresuid", libc::SYS_setresuid, &[1, 2, 3], true);
    set_ids("process.setuid", "setfsuid", libc::SYS_setfsuid, &[NOBODY], false);
    set_ids("process.setgid", "setgid", libc::SYS_setgid, &[NOBODY], true);
    set_ids("process.setgid", "setregid", libc::SYS_setregid, &[NOBODY, KEEP], true);
    set_ids("process.setgid", "setresgid", libc::SYS_setresgid, &[1, 2, 3], true);
    set_ids("process.setgid", "setfsgid", libc::SYS_setfsgid, &[NOBODY], false);
    checked_child(|| {
        let groups = [5u32, 6];
        step("process.setgroups", "setgroups", "as root").sys(
            libc::SYS_setgroups,
            &[2, at(&groups)],
            |_| json!({"requested": 2}),
        );
        step("process.setgroups", "setgroups", "too many").sys(
            libc::SYS_setgroups,
            &[1 << 20, at(&groups)],
            |_| json!({"requested": 1 << 20}),
        );
    });
    checked_child(|| {
        let header = [0x2008_0522u32, 0];
        let few = [1u32 << 7, 1 << 7, 0, 0, 0, 0]; // CAP_SETUID alone
        step("process.capset", "capset", "less").sys(
            libc::SYS_capset,
            &[at(&header), at(&few)],
            |_| json!({"cap_effective": 1 << 7, "cap_effective_text": "CAP_SETUID"}),
        );
        let more = [u32::MAX; 6];
        step("process.capset", "capset", "more").sys(
            libc::SYS_capset,
            &[at(&header), at(&more)],
            |_| json!({"cap_effective": 1 << 7, "cap_effective_text": "CAP_SETUID"}),
        );
    });
}

fn namespaces() {
    checked_child(|| {
        let path = c("/proc/self/ns/uts");
        let fd = must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&path), 0]) as usize;
        let uts = libc::CLONE_NEWUTS as usize;
        step("process.setns", "setns", "of the same").sys(
            libc::SYS_setns,
            &[fd, uts],
            |_| json!({"fd": fd, "flags": uts, "flags_text": "CLONE_NEWUTS"}),
        );
        step("process.setns", "setns", "of another kind").sys(
            libc::SYS_setns,
            &[fd, libc::CLONE_NEWNET as usize],
            |_| json!({"fd": fd, "flags": libc::CLONE_NEWNET, "flags_text": "CLONE_NEWNET"}),
        );
        step("process.unshare", "unshare", "of names").sys(
            libc::SYS_unshare,
            &[uts],
            |_| json!({"flags": uts, "flags_text": "CLONE_NEWUTS"}),
        );
        let bad = libc::CLONE_NEWUTS as usize | 1;
        step("process.unshare", "unshare", "of the impossible").sys(
            libc::SYS_unshare,
            &[bad],
            |_| json!({"flags": bad, "flags_text": symbols("namespace_flags", bad as u64)}),
        );
    });
}

fn ptrace() {
    checked_child(|| {
        let parent = must(libc::SYS_getppid, &[]);
        step("process.ptrace", "ptrace", "of nobody").sys(
            libc::SYS_ptrace,
            &[libc::PTRACE_ATTACH as usize, NO_PID],
            |_| json!({"target_pid": NO_PID, "request": 16, "request_text": "PTRACE_ATTACH"}),
        );
        assert!(parent > 0, "a parent");
        step("process.ptrace", "ptrace", "by the parent").sys(
            libc::SYS_ptrace,
            &[libc::PTRACE_TRACEME as usize, 0],
            |_| json!({"target_pid": 0, "request": 0, "request_text": "PTRACE_TRACEME"}),
        );
    });
}

fn kill() {
    let pid = std::process::id() as usize;
    let info = [0u32; 32];
    let mut info = info;
    info[2] = u32::MAX; // si_code SI_QUEUE
    let columns = |target: i64, signal: i32, name: &str| {
        let value = json!({"target_pid": target, "signal": signal, "signal_text": name});
        move |_| value
    };
    // Ignored by default, so that it can be sent to this process itself.
    let (winch, name) = (libc::SIGWINCH as usize, "SIGWINCH");
    let good = columns(pid as i64, libc::SIGWINCH, name);
    let bad = columns(NO_PID as i64, libc::SIGWINCH, name);
    for (call_name, number, to_self, to_nobody) in [
        ("kill", libc::SYS_kill, vec![pid, winch], vec![NO_PID, winch]),
        ("tkill", libc::SYS_tkill, vec![pid, winch], vec![NO_PID, winch]),
        ("tgkill", libc::SYS_tgkill, vec![pid, pid, winch], vec![NO_PID, NO_PID, winch]),
        ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, vec![pid, winch, at(&info)], vec![NO_PID, winch, at(&info)]),
        (
            "rt_tgsigqueueinfo",
            libc::SYS_rt_tgsigqueueinfo,
            vec![pid, pid, winch, at(&info)],
            vec![NO_PID, NO_PID, winch, at(&info)],
        ),
    ] {
        step("process.kill", call_name, "to itself").sys(number, &to_self, good.clone());
        step("process.kill", call_name, "to nobody").sys(number, &to_nobody, bad.clone());
    }
    let fd = must(libc::SYS_pidfd_open, &[pid, 0]) as usize;
    let directory = must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&c("/proc/self")), 0, 0]) as usize;
    for (what, fd, target) in
        [("to itself", fd, json!(pid)), ("to itself by /proc", directory, json!(pid)), ("to nobody", 777, Value::Null)]
    {
        step("process.kill", "pidfd_send_signal", what).sys(
            libc::SYS_pidfd_send_signal,
            &[fd, winch, 0, 0],
            |_| json!({"target_pid": target, "signal": 28, "signal_text": "SIGWINCH", "fd": fd}),
        );
    }
    close(fd as i64);
    close(directory as i64);
    checked_child(|| {
        must(libc::SYS_setpgid, &[0, 0]);
        let own = -i64::from(std::process::id());
        step("process.kill", "kill", "to its group").sys(
            libc::SYS_kill,
            &[own as usize, winch],
            columns(own, libc::SIGWINCH, name),
        );
    });
}

fn directories() {
    checked_child(|| {
        let (there, missing) = (c("/tmp"), c("no/such/directory"));
        let cwd = std::env::current_dir().expect("a working directory");
        let cwd = cwd.to_str().expect("UTF-8").to_owned();
        step("process.chdir", "chdir", "to nowhere").sys(
            libc::SYS_chdir,
            &[p(&missing)],
            |_| json!({"path": format!("{cwd}/no/such/directory"), "path_raw": "no/such/directory", "path_dir": cwd, "path_truncated": false, "path_folded": false}),
        );
        let fd = must(libc::SYS_openat, &[libc::AT_FDCWD as usize, p(&there), libc::O_DIRECTORY as usize]) as usize;
        moved("chdir", libc::SYS_chdir, &[p(&there)], json!({"path_truncated": false, "path_folded": false}));
        moved("fchdir", libc::SYS_fchdir, &[fd], json!({"fd": fd, "path_truncated": false, "path_folded": false}));
        step("process.chdir", "fchdir", "to nothing").sys(
            libc::SYS_fchdir,
            &[777],
            |_| json!({"fd": 777, "path_truncated": false, "path_folded": false}),
        );
    });
}

/// A change of the working directory that succeeds: the row has the new one.
fn moved(name: &'static str, number: c_long, arguments: &[usize], expect: Value) {
    let mut who = who();
    let from = now();
    let ret = must(number, arguments);
    let to = now();
    who.insert("cwd".into(), json!(std::env::current_dir().expect("a directory")));
    let mut expect = expect;
    expect["ret"] = json!(ret);
    step("process.chdir", name, "to a directory").note(&Value::Object(who), from, to, Some(ret), &expect);
}

fn sessions() {
    checked_child(|| {
        let mut who = who();
        let from = now();
        let ret = must(libc::SYS_setsid, &[]);
        who.insert("session_id".into(), json!(ret));
        step("process.setsid", "setsid", "of its own").note(
            &Value::Object(who),
            from,
            now(),
            Some(ret),
            &json!({"ret": ret}),
        );
        step("process.setsid", "setsid", "of the leader of one").sys(libc::SYS_setsid, &[], |_| json!({}));
    });
}

/// All of it.
pub fn run() {
    directories();
    sessions();
    crate::exec::run();
    fork();
    exit();
    credentials();
    namespaces();
    ptrace();
    kill();
}

//! What really happened, one JSON object per line in the file that `TRIGGER_FACTS` names.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::call::{call, error_name, now};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

/// Escapes as the text columns do, for comparison: these texts are valid UTF-8.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Start of a process in clock ticks since boot, from /proc.
fn start_ticks(pid: i64) -> Option<i64> {
    let stat = text(&read(&format!("/proc/{pid}/stat")));
    // The name in parentheses may hold spaces; the start is field 22, the 20th behind it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Where cgroup v2 is mounted.
pub fn cgroup_root() -> Option<String> {
    let mounts = text(&read("/proc/self/mounts"));
    mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|f| f[2] == "cgroup2").map(|f| f[1].to_owned())
}

/// Inode of the own cgroup v2 directory, which is its id.
fn cgroup_id() -> Option<u64> {
    let own = text(&read("/proc/self/cgroup"));
    let path = own.lines().find_map(|l| l.strip_prefix("0::"))?.to_owned();
    Some(std::fs::metadata(cgroup_root()? + &path).ok()?.ino())
}

/// The columns that say who, by /proc, of the calling thread.
pub fn who() -> Map<String, Value> {
    let status = text(&read("/proc/thread-self/status"));
    let field = |name: &str| -> i64 {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|v| v.parse().ok()).unwrap_or(-1)
    };
    let cmdline = read("/proc/self/cmdline");
    let cmdline: Vec<u8> =
        cmdline.strip_suffix(b"\0").unwrap_or(&cmdline).iter().map(|b| if *b == 0 { b' ' } else { *b }).collect();
    let comm = read("/proc/thread-self/comm");
    let who = json!({
        "pid": field("Tgid:"),
        "tid": field("Pid:"),
        "ppid": field("PPid:"),
        "uid": field("Uid:"),
        "gid": field("Gid:"),
        "comm": text(comm.strip_suffix(b"\n").unwrap_or(&comm)),
        "exe": EXE.get(),
        "cmdline": text(&cmdline),
        "cgroup_id": cgroup_id(),
        "start_ticks": start_ticks(field("Tgid:")),
        "parent_start_ticks": start_ticks(field("PPid:")),
    });
    match who {
        Value::Object(mut who) => {
            place(&mut who);
            who
        }
        _ => unreachable!("an object"),
    }
}

/// Columns of the namespaces, and their names in /proc.
const NAMESPACES: [(&str, &str); 7] = [
    ("mnt_ns", "mnt"),
    ("pid_ns", "pid"),
    ("net_ns", "net"),
    ("user_ns", "user"),
    ("uts_ns", "uts"),
    ("ipc_ns", "ipc"),
    ("cgroup_ns", "cgroup"),
];

/// Inodes of the calling thread's namespaces; left out where /proc is not there.
pub fn namespaces() -> Map<String, Value> {
    let inode = |name: &str| Some(std::fs::metadata(format!("/proc/thread-self/ns/{name}")).ok()?.ino());
    NAMESPACES.iter().filter_map(|(column, name)| Some(((*column).to_owned(), json!(inode(name)?)))).collect()
}

fn link(path: String) -> Option<String> {
    Some(std::fs::read_link(path).ok()?.to_str()?.to_owned())
}

/// Name of a user in the machine's database.
pub fn user_name(uid: i64) -> Value {
    let users = text(&read("/etc/passwd"));
    let of = |line: &str| -> Option<String> {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields[0].to_owned())
    };
    users.lines().find_map(of).map_or(Value::Null, Value::String)
}

/// Working directory, session, login, user and creator: what the context of a row says. What /proc does not tell is left out.
fn place(who: &mut Map<String, Value>) {
    who.insert("context_of".into(), who["pid"].clone());
    if let Some(cwd) = link("/proc/self/cwd".into()) {
        // It was entered when it was there.
        who.insert("cwd".into(), json!(cwd.trim_end_matches(" (deleted)")));
        who.insert("user_name".into(), user_name(who["uid"].as_i64().unwrap_or(-1)));
    }
    let stat = text(&read("/proc/self/stat"));
    if let Some(session) =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(3)?.parse::<i64>().ok())
    {
        who.insert("session_id".into(), if session == 0 { Value::Null } else { json!(session) });
    }
    if let Ok(login) = text(&read("/proc/self/loginuid")).trim().parse::<u32>() {
        who.insert("login_uid".into(), if login == u32::MAX { Value::Null } else { json!(login) });
    }
    who.append(&mut namespaces());
    let parent = who["ppid"].as_i64().filter(|pid| *pid > 0);
    let Some(parent) = parent else { return };
    let comm = text(&read(&format!("/proc/{parent}/comm")));
    if let (Some(exe), false) = (link(format!("/proc/{parent}/exe")), comm.is_empty()) {
        who.insert("parent_comm".into(), json!(comm.trim_end_matches('\n')));
        who.insert("parent_exe".into(), json!(exe));
        let cmdline = text(&read(&format!("/proc/{parent}/cmdline")));
        who.insert("parent_cmdline".into(), json!(cmdline.trim_end_matches('\0').replace('\0', " ")));
    }
}

static FACTS: OnceLock<File> = OnceLock::new();
static EXE: OnceLock<PathBuf> = OnceLock::new();

/// Opens what a child without rights could not open.
pub fn begin() {
    let path = std::env::var_os("TRIGGER_FACTS").expect("TRIGGER_FACTS names a file");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the file of facts");
    FACTS.set(file).expect("begun once");
    EXE.set(std::fs::read_link("/proc/self/exe").expect("the own program")).expect("begun once");
}

/// Appends one fact.
pub fn write(fact: &Value) {
    let mut file = FACTS.get().expect("begun");
    // One write per line: children append to the same file.
    file.write_all(format!("{fact}\n").as_bytes()).expect("the file of facts");
}

/// One attempt: an action of the definition, made by one call (empty: by none).
#[derive(Clone)]
pub struct Step {
    /// `class.action`.
    pub action: &'static str,
    /// The system call, by its 64-bit name.
    pub call: &'static str,
    /// Name, unique in a run.
    pub name: String,
}

/// A step of the action by the call; `what` tells it from the others.
pub fn step(action: &'static str, call: &'static str, what: &str) -> Step {
    Step { action, call, name: format!("{action} {call} {what}") }
}

impl Step {
    /// Runs the call; `expect` gives the columns of the class for its result (`ret` and `error` are added).
    pub fn run(self, work: impl FnOnce() -> i64, expect: impl FnOnce(i64) -> Value) -> i64 {
        let mut who = who();
        let from = now();
        let ret = work();
        let to = now();
        // The row is written at the exit of the call, which may have changed them.
        who.insert("uid".into(), json!(call(libc::SYS_getuid, &[])));
        who.insert("gid".into(), json!(call(libc::SYS_getgid, &[])));
        who.append(&mut namespaces());
        if who.contains_key("user_name") {
            who.insert("user_name".into(), user_name(who["uid"].as_i64().unwrap_or(-1)));
        }
        let mut columns = expect(ret);
        columns["ret"] = json!(ret);
        if (-4095..0).contains(&ret) {
            columns["error"] = json!(error_name(ret));
        }
        self.note(&Value::Object(who), from, to, Some(ret), &columns);
        ret
    }

    /// The same for one system call by number.
    pub fn sys(self, number: libc::c_long, arguments: &[usize], expect: impl FnOnce(i64) -> Value) -> i64 {
        self.run(|| call(number, arguments), expect)
    }

    /// A fact of a socket: its row is told from others in the same time by the socket's two ports.
    pub fn note_of_socket(self, who: &Value, from: i64, to: i64, expect: &Value) {
        write(&json!({
            "step": self.name, "action": self.action, "call": self.call, "who": who,
            "from": from, "to": to, "ret": null, "expect": expect, "same": ["local_port", "remote_port"],
        }));
    }

    /// A fact that was seen otherwise: no result unless one is given.
    pub fn note(self, who: &Value, from: i64, to: i64, ret: Option<i64>, expect: &Value) {
        write(&json!({
            "step": self.name, "action": self.action, "call": self.call, "who": who,
            "from": from, "to": to, "ret": ret, "expect": expect,
        }));
    }
}

/// A rule: any value but null.
pub fn any() -> Value {
    json!({"any": true})
}

/// Flags or a number by the names of a set of the schema.
pub fn symbols(set: &str, value: u64) -> String {
    let mut out = String::new();
    weir_schema::symbols::by_name(set).expect("the set exists").render(value, &mut out);
    out
}

/// Whether the running kernel is of this version or newer.
pub fn kernel_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

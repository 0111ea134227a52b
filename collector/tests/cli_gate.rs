//! The gate for real: `weir gate` is started as weir starts it, with the control socket as its standard input.
//!
//! `Gate::spawn` starts the running program again, which here would be this test: so the test takes the part of weir.

use std::fs;
use std::io::{self, IoSlice, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv,
    sendmsg, socketpair,
};

struct Waiting {
    child: std::process::Child,
    control: OwnedFd,
}

fn wait_behind_gate(options: &[&str], command: &[&str], change: impl FnOnce(&mut Command)) -> Waiting {
    let (control, inner) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a socket pair");
    let mut gate = Command::new(assert_cmd::cargo::cargo_bin("weir"));
    gate.arg("gate").args(options).arg("--").args(command);
    gate.stdin(Stdio::from(inner)).stdout(Stdio::piped()).stderr(Stdio::piped());
    change(&mut gate);
    Waiting { child: gate.spawn().expect("the gate starts"), control }
}

impl Waiting {
    fn wait_until_ready(&self) {
        let mut ready = [0; 1];
        let (_, length) = recv(&self.control, &mut ready, RecvFlags::empty()).expect("the gate speaks");
        assert_eq!((length, &ready), (1, b"r"));
    }

    /// Opens the gate with this standard input for the command.
    fn open(self, stdin: impl AsFd) -> Output {
        let descriptors = [stdin.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&self.control, &[IoSlice::new(b"o")], &mut ancillary, SendFlags::NOSIGNAL).expect("the gate listens");
        self.child.wait_with_output().expect("the command ends")
    }
}

fn run_behind_gate(options: &[&str], command: &[&str]) -> Output {
    wait_behind_gate(options, command, |_| {}).open(fs::File::open("/dev/null").expect("/dev/null"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_exit_status_of_the_command_is_passed_on() {
    for status in [0, 1, 7, 125, 255] {
        let output = run_behind_gate(&[], &["sh", "-c", &format!("exit {status}")]);
        assert_eq!(output.status.code(), Some(status));
    }
}

#[test]
fn a_signal_that_ends_the_command_ends_the_same_process() {
    let output = run_behind_gate(&[], &["sh", "-c", "kill -TERM $$"]);
    assert_eq!(output.status.signal(), Some(15));
}

#[test]
fn a_command_that_is_not_found_is_127() {
    let output = run_behind_gate(&[], &["no-such-command-\x1b[2J"]);
    assert_eq!(output.status.code(), Some(127));
    assert_eq!(text(&output.stderr), "weir: no-such-command-\\x1b[2J: command not found\n");
}

#[test]
fn a_file_that_cannot_be_executed_is_126_and_one_without_interpreter_127() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, content: &str, mode: u32| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("write a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set permissions");
        path.display().to_string()
    };
    let output = run_behind_gate(&[], &[&file("plain", "text", 0o644)]);
    assert_eq!(output.status.code(), Some(126), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot be executed"), "{}", text(&output.stderr));
    let output = run_behind_gate(&[], &[&file("script", "#!/nonexistent/interpreter\n", 0o755)]);
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).contains("its interpreter was not found"), "{}", text(&output.stderr));
}

#[test]
fn the_command_reads_the_real_standard_input_and_no_descriptor_of_the_gate_is_left_open() {
    let mut input = tempfile::tempfile().expect("a file");
    input.write_all(b"from outside").expect("write");
    input.rewind().expect("rewind");
    let output = run_with_input(&["cat"], &input);
    assert_eq!(text(&output.stdout), "from outside");
    // What this test got from its own starter is open in both.
    let list = ["ls", "/proc/self/fd"];
    let without_gate = Command::new(list[0]).arg(list[1]).stdin(Stdio::null()).output().expect("ls starts");
    let behind_gate = run_with_input(&list, &input);
    assert_eq!(text(&behind_gate.stdout), text(&without_gate.stdout));
}

fn run_with_input(command: &[&str], input: &fs::File) -> Output {
    wait_behind_gate(&[], command, |_| {}).open(input)
}

#[test]
fn a_command_never_runs_when_its_gate_is_not_opened() {
    let directory = tempfile::tempdir().expect("a directory");
    let mark = directory.path().join("ran");
    let waiting = wait_behind_gate(&[], &["touch", &mark.display().to_string()], |_| {});
    waiting.wait_until_ready();
    drop(waiting.control);
    let output = waiting.child.wait_with_output().expect("the gate ends");
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(text(&output.stderr), "");
    assert!(!mark.exists());
}

#[test]
fn the_gate_refuses_to_be_used_by_hand() {
    let output = Command::new(assert_cmd::cargo::cargo_bin("weir"))
        .args(["gate", "--", "echo", "ran"])
        .stdin(Stdio::null())
        .output()
        .expect("weir starts");
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("not for use by hand"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn the_command_runs_as_the_user_with_their_groups_and_environment() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("could not run: only root can become another user");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("set permissions");
    let script = "id -u; id -g; id -G; echo $USER $LOGNAME ${SUDO_UID-unset} ${SUDO_USER-unset}; touch made; \
                  grep CapEff /proc/self/status";
    let set = |gate: &mut Command| {
        gate.env("SUDO_UID", "65534").env("SUDO_USER", "x").env("USER", "root").current_dir(directory.path());
    };
    let waiting = wait_behind_gate(&["--uid=65534", "--gid=65534"], &["sh", "-c", script], set);
    let output = waiting.open(fs::File::open("/dev/null").expect("/dev/null"));
    let lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    let expected = ["65534", "65534", "65534", "nobody nobody unset unset", "CapEff:\t0000000000000000"];
    assert_eq!(lines, expected, "{}", text(&output.stderr));
    assert_eq!(fs::metadata(directory.path().join("made")).expect("it was made").uid(), 65534);
}

/// A line of the group file gives a second group to somebody on nearly every machine; that one is looked for.
#[test]
fn supplementary_groups_come_from_the_user_database() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("could not run: only root can become another user");
        return;
    }
    let Some((user, uid, gid)) = user_with_groups() else {
        eprintln!("could not run: no user of this machine has a second group");
        return;
    };
    let expected = Command::new("id").args(["-G", &user]).output().expect("id starts").stdout;
    let (uid, gid) = (format!("--uid={uid}"), format!("--gid={gid}"));
    let output = run_behind_gate(&[&uid, &gid], &["id", "-G"]);
    let sorted = |bytes: &[u8]| {
        let mut groups: Vec<String> = text(bytes).split_whitespace().map(str::to_owned).collect();
        groups.sort();
        groups
    };
    assert_eq!(sorted(&output.stdout), sorted(&expected), "{user}");
}

fn user_with_groups() -> Option<(String, u32, u32)> {
    let read = |path: &Path| -> io::Result<String> {
        let mut content = String::new();
        fs::File::open(path)?.read_to_string(&mut content)?;
        Ok(content)
    };
    let groups = read(Path::new("/etc/group")).ok()?;
    let members: Vec<&str> =
        groups.lines().filter_map(|line| line.split(':').nth(3)).flat_map(|m| m.split(',')).collect();
    let users = read(Path::new("/etc/passwd")).ok()?;
    users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (uid != 0 && members.contains(&fields[0])).then(|| (fields[0].to_owned(), uid, gid))
    })
}

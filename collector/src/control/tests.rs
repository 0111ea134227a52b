//! Both ends over real sockets, with peers that are somebody else.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use rustix::fs::Uid;
use serde_json::json;

use super::directory::Directory;
use super::name::Name;
use super::wire::{REPLY_BYTES_MAX, REQUEST_BYTES_MAX, read_line, write_line};
use super::*;

/// A user who is nobody here.
const STRANGER: u32 = 2_002;
const CALLER: u32 = 2_001;

struct Collector {
    name: Name,
    reloads: Receiver<ReloadRequest>,
}

fn collector(directory: &Path, name: &str, caller: Option<u32>) -> Collector {
    let directory = Directory::create(directory).expect("a directory of this process");
    let owner = caller.map(|uid| (uid, uid));
    let (name, listener) = Name::listen_in(directory, name.to_owned(), owner).expect("a free name");
    let shown = name.path().display().to_string();
    let (sender, reloads) = bounded(1);
    let server = Server::of(name, listener, caller);
    let name = server.start(move || json!({ "socket": shown }), sender, || ()).expect("it answers");
    Collector { name, reloads }
}

fn run_directory() -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("a directory");
    // Others have to get at the sockets, to be refused there.
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = scratch.path().join("weir");
    (scratch, path)
}

fn find(directory: &Path, selector: Selector) -> anyhow::Result<Client> {
    Client::find_in(&[directory.to_owned()], &selector)
}

fn ask(socket: &Path, command: ControlCommand) -> Result<Reply, String> {
    let selector = Selector { socket: Some(socket.to_owned()), pid: None };
    Client::find(&selector).and_then(|mut client| client.ask(command)).map_err(|error| format!("{error:#}"))
}

/// Does something as another user, in a thread of its own; `None` if this process may not.
fn as_user<T: Send + 'static>(uid: u32, act: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if !rustix::process::geteuid().is_root() {
        weir_tests::skip::skipped("a peer of another user", "only root can become one");
        return None;
    }
    let become_and_act = move || {
        let uid = Some(Uid::from_raw(uid));
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may");
        act()
    };
    Some(thread::spawn(become_and_act).join().expect("it ends well"))
}

#[test]
fn the_one_that_runs_is_found_and_answers_and_its_name_goes_with_it() {
    let (_scratch, directory) = run_directory();
    let running = collector(&directory, "7.sock", None);
    let path = running.name.path();
    let metadata = fs::symlink_metadata(&path).expect("a socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o777, 0o600);
    let mut client = find(&directory, Selector::default()).expect("one runs");
    assert_eq!(client.pid(), Some(std::process::id()));
    let reply = client.ask(ControlCommand::Status).expect("an answer");
    assert_eq!(reply, Reply::Status { status: json!({ "socket": path.display().to_string() }) });
    drop(running);
    assert!(!path.exists());
    let error = find(&directory, Selector::default()).expect_err("none runs").to_string();
    assert_eq!(error, "no `weir run` is running here");
}

#[test]
fn a_reload_is_answered_when_it_is_done_and_the_next_one_waits_for_it() {
    let (_scratch, directory) = run_directory();
    let running = collector(&directory, "7.sock", None);
    let path = running.name.path();
    let asks: Vec<_> = (0..3)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || ask(&path, ControlCommand::Reload))
        })
        .collect();
    for n in 0..3 {
        let request = running.reloads.recv().expect("somebody asks");
        let answer = if n == 1 { Err("it is wrong".to_owned()) } else { Ok(format!("changed {n}")) };
        request.answer.expect("somebody waits").send(answer).expect("they still do");
    }
    let mut replies: Vec<_> = asks.into_iter().map(|ask| format!("{:?}", ask.join().expect("it ends"))).collect();
    replies.sort();
    let expected = [
        r#"Ok(Failed { error: "it is wrong" })"#,
        r#"Ok(Reloaded { done: "changed 0" })"#,
        r#"Ok(Reloaded { done: "changed 2" })"#,
    ];
    assert_eq!(replies, expected);
}

#[test]
fn several_are_listed_and_chosen_by_socket_and_dead_ones_are_removed() {
    let (_scratch, directory) = run_directory();
    let (one, two) = (collector(&directory, "1.sock", None), collector(&directory, "edge.sock", None));
    let dead = directory.join("3.sock");
    drop(UnixListener::bind(&dead).expect("a socket"));
    let error = find(&directory, Selector::default()).expect_err("two run").to_string();
    for path in [one.name.path(), two.name.path()] {
        assert!(error.contains(&format!("--socket {}", path.display())), "{error}");
        assert!(ask(&path, ControlCommand::Status).is_ok());
    }
    assert!(!dead.exists(), "{error}");
    let error = find(&directory, Selector { pid: Some(1), socket: None }).expect_err("another process").to_string();
    assert_eq!(error, "no `weir run` with process id 1 has a control socket here");
}

#[test]
fn a_name_that_is_taken_by_the_living_is_refused_and_one_of_the_dead_is_taken() {
    let (_scratch, directory) = run_directory();
    let again = |name: &str| {
        let directory = Directory::create(&directory).expect("a directory of this process");
        Name::listen_in(directory, name.to_owned(), None).map(drop).map_err(|error| error.to_string())
    };
    let running = collector(&directory, "edge.sock", None);
    assert!(again("edge.sock").expect_err("it lives").contains("another weir listens at"));
    assert!(ask(&running.name.path(), ControlCommand::Status).is_ok());
    drop(UnixListener::bind(directory.join("dead.sock")).expect("a socket"));
    again("dead.sock").expect("nobody is there");
    fs::write(directory.join("file.sock"), "precious").expect("a file");
    assert!(again("file.sock").expect_err("no socket").contains("is no socket"));
    assert_eq!(fs::read(directory.join("file.sock")).expect("still there"), b"precious");
}

#[test]
fn a_directory_that_others_could_have_filled_is_refused() {
    let (scratch, directory) = run_directory();
    symlink(scratch.path(), &directory).expect("a link");
    assert!(Directory::create(&directory).is_err(), "a link");
    fs::remove_file(&directory).expect("removed");
    fs::create_dir(&directory).expect("a directory");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("a mode");
    let error = Directory::create(&directory).err().expect("others can write").to_string();
    assert!(error.contains("others can write to"), "{error}");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("a mode");
    if std::os::unix::fs::chown(&directory, Some(STRANGER), None).is_ok() {
        let error = Directory::create(&directory).err().expect("somebody else's").to_string();
        assert!(error.contains(&format!("belongs to user {STRANGER}")), "{error}");
    }
}

#[test]
fn only_its_own_user_and_root_may_reload_and_the_caller_may_look() {
    // In a process of its own: whichever thread changes its ids takes /proc/self away from the threads of other users.
    const ALONE: &str = "WEIR_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().expect("this program"));
        alone.args(["--exact", "control::tests::only_its_own_user_and_root_may_reload_and_the_caller_may_look"]);
        let output = alone.env(ALONE, "1").output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let (_scratch, directory) = run_directory();
    let running = collector(&directory, "7.sock", Some(CALLER));
    let path = running.name.path();
    // The mode already keeps strangers out; what the collector asks the kernel has to hold without it.
    let socket = path.clone();
    let Some(kept_out) = as_user(STRANGER, move || ask(&socket, ControlCommand::Status)) else { return };
    assert!(kept_out.expect_err("no right").contains("use sudo"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("a mode");
    for (uid, command, may) in [
        (STRANGER, ControlCommand::Status, false),
        (STRANGER, ControlCommand::Reload, false),
        (CALLER, ControlCommand::Status, true),
        (CALLER, ControlCommand::Reload, false),
    ] {
        let socket = path.clone();
        let reply = as_user(uid, move || ask(&socket, command)).expect("root may").expect("an answer");
        let refused = matches!(&reply, Reply::Failed { error } if error.contains("may not ask"));
        assert_eq!(!refused, may, "{uid} {command:?}: {reply:?}");
    }
    assert!(running.reloads.is_empty());
    // So many that root would wait for longer than a client does, if it had to wait for them.
    let hold =
        move || -> Vec<UnixStream> { (0..400).map(|_| UnixStream::connect(&path).expect("it listens")).collect() };
    let held = as_user(CALLER, hold).expect("root may");
    assert!(ask(&running.name.path(), ControlCommand::Status).is_ok(), "root is answered beside {} others", held.len());
}

#[test]
fn a_socket_that_a_stranger_serves_is_not_asked() {
    let (scratch, _) = run_directory();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
    let path = scratch.path().join("weir.sock");
    let socket = path.clone();
    let Some(listener) = as_user(STRANGER, move || UnixListener::bind(&socket).expect("a socket")) else { return };
    let error = ask(&path, ControlCommand::Status).expect_err("not root's");
    assert!(error.contains(&format!("is served by user {STRANGER}")), "{error}");
    let (mut stream, _) = listener.accept().expect("it connected");
    let mut heard = vec![];
    stream.read_to_end(&mut heard).expect("and left");
    assert!(heard.is_empty(), "nothing was said");
}

#[test]
fn requests_that_are_slow_long_or_unknown_end_and_others_are_answered_meanwhile() {
    let (_scratch, directory) = run_directory();
    let running = collector(&directory, "7.sock", None);
    let path = running.name.path();
    let connect = || UnixStream::connect(&path).expect("it listens");
    let slow: Vec<UnixStream> = (0..8).map(|_| connect()).collect();
    assert!(ask(&path, ControlCommand::Status).is_ok());
    let mut long = connect();
    // It may be refused before all of it is sent.
    let _ = long.write_all(&vec![b'x'; 2 * REQUEST_BYTES_MAX]);
    let mut rest = vec![];
    let _ = long.read_to_end(&mut rest);
    assert!(rest.is_empty());
    let mut unknown = connect();
    write_line(&mut unknown, &json!({ "command": "detach" }), REQUEST_BYTES_MAX).expect("sent");
    let reply: Option<Reply> = read_line(&mut BufReader::new(unknown), REPLY_BYTES_MAX).expect("an answer");
    assert!(matches!(reply, Some(Reply::Failed { error }) if error.contains("unknown variant")));
    for mut stream in slow {
        assert_eq!(stream.read(&mut [0]).expect("it was closed"), 0);
    }
}

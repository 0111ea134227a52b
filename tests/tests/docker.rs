//! Containers of a real Docker engine, which the test starts: names, images, attribution, the filter by name, and what the
//! table shows of a `docker exec`. Needs root and Debian's docker.io.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use weir_tests::capture::{Row, number, text, weir};
use weir_tests::engine::{Engine, IMAGE};
use weir_tests::live::Live;

/// Containers that are run one after the other.
const CONTAINERS: usize = 50;
/// How long a table may take to show something.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// One engine for all tests: starting takes most of the time.
fn engine() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::start().expect("an engine that starts, or a reason why none can")).as_ref()
}

fn docker(arguments: &[&str]) -> String {
    engine().expect("an engine").docker(arguments).expect("docker")
}

fn run(name: &str, command: &[&str]) -> String {
    docker(&[&["run", "--detach", "--network", "none", "--name", name, IMAGE], command].concat())
}

fn live(flags: &[&str]) -> Live {
    let socket = engine().expect("an engine").socket();
    let socket = socket.to_str().expect("UTF-8");
    let mut live = Live::start(&[&["--docker-socket", socket], flags].concat());
    live.until(|| drop(std::fs::File::open("/no/such/begin")), |r| text(r, "path") == "/no/such/begin");
    live
}

fn named<'a>(rows: &'a [Row], class: &str, action: &str) -> impl Iterator<Item = &'a Row> {
    let (class, action) = (class.to_owned(), action.to_owned());
    rows.iter().filter(move |r| text(r, "class") == class && text(r, "action") == action)
}

#[test]
fn a_container_has_its_name_its_image_and_its_rows() {
    if engine().is_none() {
        return;
    }
    let old = run("old", &["sleep", "600"]);
    let mut live = live(&["--class", "container,process,file.open"]);
    live.until(|| (), |r| text(r, "action") == "metadata" && text(r, "container_id") == old);
    let new = run("new", &["sh", "-c", "sleep 600"]);
    live.until(|| (), |r| text(r, "action") == "metadata" && text(r, "container_id") == new);
    docker(&["exec", "new", "sh", "-c", "cat /no/such/new; true"]);
    docker(&["rm", "--force", "new"]);
    live.until(|| (), |r| text(r, "action") == "die" && text(r, "container_id") == new);
    let rows = live.stop();
    docker(&["rm", "--force", "old"]);
    let running = named(&rows, "container", "running").find(|r| text(r, "container_id") == old);
    assert_eq!(running.map(|r| text(r, "runtime")).as_deref(), Some("docker"));
    let before = named(&rows, "process", "running").find(|r| text(r, "container_id") == old).expect("a process before");
    assert_eq!(text(before, "cmdline"), "sleep 600");
    let metadata = named(&rows, "container", "metadata").find(|r| text(r, "container_id") == new).expect("its metadata");
    assert_eq!((text(metadata, "container_name").as_str(), text(metadata, "container_image").as_str()), ("new", IMAGE));
    assert!(text(metadata, "container_image_digest").starts_with("sha256:"), "{metadata:?}");
    assert_eq!(number(metadata, "cpu"), -1);
    let opened = rows.iter().find(|r| text(r, "path") == "/no/such/new").expect("the open in it");
    assert_eq!(text(opened, "container_id"), new);
    assert_eq!((text(opened, "container_name").as_str(), text(opened, "container_image").as_str()), ("new", IMAGE));
    let start = named(&rows, "container", "start").find(|r| text(r, "container_id") == new).expect("its start");
    assert!(!start.contains_key("container_name"), "nobody has waited for a name");
    assert_eq!(named(&rows, "container", "die").filter(|r| text(r, "container_id") == new).count(), 1);
}

#[test]
fn every_exec_of_fifty_containers_has_the_right_one() {
    if engine().is_none() {
        return;
    }
    let mut live = live(&["--class", "container,process.exec,file.open"]);
    let ids: Vec<String> = (0..CONTAINERS)
        .map(|i| run(&format!("many-{i}"), &["sh", "-c", &format!("cat /no/such/many-{i}; true; /bin/true {i}")]))
        .collect();
    for i in 0..CONTAINERS {
        docker(&["wait", &format!("many-{i}")]);
    }
    live.until(|| drop(std::fs::File::open("/no/such/end")), |r| text(r, "path") == "/no/such/end");
    let rows = live.stop();
    for (i, id) in ids.iter().enumerate() {
        let of_it: Vec<&Row> = named(&rows, "process", "exec")
            .filter(|r| text(r, "cmdline").contains(&format!("many-{i};")) || text(r, "cmdline") == format!("cat /no/such/many-{i}"))
            .filter(|r| !text(r, "comm").starts_with("docker"))
            .collect();
        assert!(of_it.len() >= 2, "{i}: {of_it:?}");
        let wrong: Vec<_> = of_it.iter().filter(|r| text(r, "container_id") != *id).collect();
        assert!(wrong.is_empty(), "{i}: {wrong:?}");
    }
    let all: Vec<String> = (0..CONTAINERS).map(|i| format!("many-{i}")).collect();
    let all: Vec<&str> = ["rm", "--force"].into_iter().chain(all.iter().map(String::as_str)).collect();
    docker(&all);
}

#[test]
fn the_filter_by_name_keeps_one_container() {
    if engine().is_none() {
        return;
    }
    run("kept", &["sleep", "600"]);
    run("dropped", &["sleep", "600"]);
    let socket = engine().expect("an engine").socket();
    let flags = ["--docker-socket", socket.to_str().expect("UTF-8"), "--class", "container,file.open", "--only-container", "kept"];
    let mut live = Live::start(&flags);
    // Once the name of the other one is known, nothing of it comes any more.
    live.until(|| (), |r| text(r, "action") == "metadata" && text(r, "container_name") == "kept");
    std::thread::sleep(SHOWN_AFTER);
    docker(&["exec", "dropped", "sh", "-c", "cat /no/such/dropped; true"]);
    live.until(|| drop(docker(&["exec", "kept", "sh", "-c", "cat /no/such/kept; true"])), |r| text(r, "path") == "/no/such/kept");
    let rows = live.stop();
    docker(&["rm", "--force", "kept", "dropped"]);
    assert!(!rows.iter().any(|r| text(r, "path") == "/no/such/dropped"));
    assert!(named(&rows, "file", "open").all(|r| text(r, "container_name") == "kept"), "the host is left out as well");
}

#[test]
fn the_table_of_a_docker_exec_shows_its_processes_and_the_container_of_the_shell() {
    if engine().is_none() {
        return;
    }
    let id = run("shown", &["sleep", "600"]);
    let socket = engine().expect("an engine").socket();
    let child = Command::new(weir())
        .args(["run", "--stdout", "table", "--status", "never", "--class", "process.exec", "--docker-socket"])
        .arg(socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("weir starts");
    std::thread::sleep(SHOWN_AFTER * 3);
    // A terminal of its own, as `docker exec -it` has one.
    let host = format!("unix://{}", engine().expect("an engine").socket().display());
    let script = format!("DOCKER_HOST={host} docker exec -it shown sh -c 'echo hello'");
    let status = Command::new("script").args(["-qec", &script, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.expect("script of util-linux").success());
    std::thread::sleep(SHOWN_AFTER);
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(signalled.success());
    let output = child.wait_with_output().expect("an ordered stop");
    docker(&["rm", "--force", "shown"]);
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    let line = |comm: &str, what: &str| -> Vec<&str> {
        let found = table.lines().find(|l| l.split_whitespace().nth(1) == Some(comm) && l.contains(what));
        found.unwrap_or_else(|| panic!("no {comm} with {what} in\n{table}")).split_whitespace().collect()
    };
    // TIME COMM PID PPID RET ARGS
    let client = line("docker", "docker exec -it shown sh -c 'echo hello'");
    let runtime = line("runc", " exec --process ");
    let shell = line("sh", "sh -c 'echo hello'");
    assert_eq!([client[4], runtime[4], shell[4]], ["0"; 3], "{table}");
    assert_eq!(shell[3], runtime[2], "the runtime has started the shell: {table}");
    assert_eq!(shell.last(), Some(&"container=shown"), "{id}: {table}");
    assert!(!client.iter().chain(&runtime).any(|word| word.starts_with("container=")), "{table}");
}

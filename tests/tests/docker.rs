//! Containers of a real Docker engine, which the test starts: names, images, attribution, the filter by name, and what the
//! table shows of a `docker exec`. Needs root and Debian's docker.io.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::capture::{Row, number, text, weir};
use weir_tests::engine::{Engine, IMAGE};
use weir_tests::live::Live;
use weir_tests::python;

/// Containers that are run one after the other.
const CONTAINERS: usize = 50;
/// How long something may take to be seen where nothing says that it is.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// How long a table may take to show something that is waited for.
const SHOWN_MAX: Duration = weir_tests::wait::LIMIT;

/// An engine of the test's own; `None`, with the reason printed, where none can be.
fn engine() -> Option<Engine> {
    Engine::start().expect("an engine that starts, or a reason why none can")
}

/// Runs the client.
fn docker(engine: &Engine, arguments: &[&str]) -> String {
    engine.docker(arguments).expect("docker")
}

/// Starts a container and returns its id.
fn run(engine: &Engine, name: &str, command: &[&str]) -> String {
    docker(engine, &[&["run", "--detach", "--network", "none", "--name", name, IMAGE], command].concat())
}

fn live(engine: &Engine, flags: &[&str]) -> Live {
    let socket = engine.socket();
    let socket = socket.to_str().expect("UTF-8");
    let mut live = Live::start(&[&["--docker-socket", socket], flags].concat());
    live.until_it_sees();
    live
}

fn named<'a>(rows: &'a [Row], class: &str, action: &str) -> impl Iterator<Item = &'a Row> {
    let (class, action) = (class.to_owned(), action.to_owned());
    rows.iter().filter(move |r| text(r, "class") == class && text(r, "action") == action)
}

#[test]
fn a_container_has_its_name_its_image_and_its_rows() {
    let Some(engine) = engine() else { return };
    let engine = &engine;
    let old = run(engine, "old", &["sleep", "600"]);
    let mut live = live(engine, &["--class", "container,process,file.open"]);
    live.until(|| (), |r| text(r, "action") == "metadata" && text(r, "container_id") == old);
    let new = run(engine, "new", &["sh", "-c", "sleep 600"]);
    live.until(|| (), |r| text(r, "action") == "metadata" && text(r, "container_id") == new);
    docker(engine, &["exec", "new", "sh", "-c", "cat /no/such/new; true"]);
    docker(engine, &["rm", "--force", "new"]);
    live.until(|| (), |r| text(r, "action") == "die" && text(r, "container_id") == new);
    let rows = live.stop();
    docker(engine, &["rm", "--force", "old"]);
    let running = named(&rows, "container", "running").find(|r| text(r, "container_id") == old);
    assert_eq!(running.map(|r| text(r, "runtime")).as_deref(), Some("docker"));
    let before = named(&rows, "process", "running").find(|r| text(r, "container_id") == old).expect("a process before");
    assert_eq!(text(before, "cmdline"), "sleep 600");
    let metadata =
        named(&rows, "container", "metadata").find(|r| text(r, "container_id") == new).expect("its metadata");
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
    let Some(engine) = engine() else { return };
    let engine = &engine;
    let mut live = live(engine, &["--class", "container,process.exec,file.open"]);
    let ids: Vec<String> = (0..CONTAINERS)
        .map(|i| {
            run(engine, &format!("many-{i}"), &["sh", "-c", &format!("cat /no/such/many-{i}; true; /bin/true {i}")])
        })
        .collect();
    for i in 0..CONTAINERS {
        docker(engine, &["wait", &format!("many-{i}")]);
    }
    live.until(|| drop(std::fs::File::open("/no/such/end")), |r| text(r, "path") == "/no/such/end");
    let rows = live.stop();
    for (i, id) in ids.iter().enumerate() {
        let of_it: Vec<&Row> = named(&rows, "process", "exec")
            .filter(|r| {
                text(r, "cmdline").contains(&format!("many-{i};"))
                    || text(r, "cmdline") == format!("cat /no/such/many-{i}")
            })
            .filter(|r| !text(r, "comm").starts_with("docker"))
            .collect();
        assert!(of_it.len() >= 2, "{i}: {of_it:?}");
        let wrong: Vec<_> = of_it.iter().filter(|r| text(r, "container_id") != *id).collect();
        assert!(wrong.is_empty(), "{i}: {wrong:?}");
    }
    let all: Vec<String> = (0..CONTAINERS).map(|i| format!("many-{i}")).collect();
    let all: Vec<&str> = ["rm", "--force"].into_iter().chain(all.iter().map(String::as_str)).collect();
    docker(engine, &all);
}

#[test]
fn the_filter_by_name_keeps_one_container() {
    let Some(engine) = engine() else { return };
    let engine = &engine;
    run(engine, "kept", &["sleep", "600"]);
    run(engine, "dropped", &["sleep", "600"]);
    let socket = engine.socket();
    let flags = [
        "--docker-socket",
        socket.to_str().expect("UTF-8"),
        "--class",
        "container,file.open",
        "--only-container",
        "kept",
    ];
    let mut live = Live::start(&flags);
    // Once the name of the other one is known, nothing of it comes any more.
    live.until(|| (), |r| text(r, "action") == "metadata" && text(r, "container_name") == "kept");
    std::thread::sleep(SHOWN_AFTER);
    docker(engine, &["exec", "dropped", "sh", "-c", "cat /no/such/dropped; true"]);
    live.until(
        || drop(docker(engine, &["exec", "kept", "sh", "-c", "cat /no/such/kept; true"])),
        |r| text(r, "path") == "/no/such/kept",
    );
    let rows = live.stop();
    docker(engine, &["rm", "--force", "kept", "dropped"]);
    assert!(!rows.iter().any(|r| text(r, "path") == "/no/such/dropped"));
    // Of the other one there may be rows of its start, from before its name was known.
    let others: Vec<&Row> = named(&rows, "file", "open").filter(|r| text(r, "container_id").is_empty()).collect();
    assert!(others.is_empty(), "the host is left out as well: {others:?}");
}

#[test]
fn the_table_of_a_docker_exec_shows_its_processes_and_the_container_of_the_shell() {
    let Some(engine) = engine() else { return };
    let engine = &engine;
    let id = run(engine, "shown", &["sleep", "600"]);
    let mut shown = tempfile::NamedTempFile::new().expect("a file");
    let mut child = Command::new(weir())
        .args(["run", "--stdout", "table", "--status", "never", "--class", "process.exec", "--docker-socket"])
        .arg(engine.socket())
        .stdout(shown.reopen().expect("the file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("weir starts");
    let mut table = String::new();
    let mut shows = |what: &str, meanwhile: &dyn Fn()| {
        let end = Instant::now() + SHOWN_MAX;
        while !table.contains(what) && Instant::now() < end {
            meanwhile();
            std::thread::sleep(SHOWN_AFTER / 10);
            shown.read_to_string(&mut table).expect("UTF-8");
        }
        table.clone()
    };
    shows("true", &|| drop(Command::new("true").status()));
    // A terminal of its own, as `docker exec -it` has one: `script` runs it by a shell, which has the same name as
    // the one in the container, and its words among others.
    let mut script = engine.at_home("script").expect("a client");
    script.args(["-qec", "docker exec -it shown sh -c 'echo hello'", "/dev/null"]).env("SHELL", "/bin/sh");
    let status = script.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.expect("script of util-linux").success());
    let table = shows("container=", &|| ());
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(signalled.success());
    child.wait().expect("an ordered stop");
    docker(engine, &["rm", "--force", "shown"]);
    let line = |comm: &str, what: &str| -> Vec<&str> {
        let found = table.lines().find(|l| l.split_whitespace().nth(1) == Some(comm) && l.contains(what));
        found.unwrap_or_else(|| panic!("no {comm} with {what} in\n{table}")).split_whitespace().collect()
    };
    // TIME COMM PID PPID RET ARGS
    let client = line("docker", "docker exec -it shown sh -c 'echo hello'");
    let runtime = line("runc", " exec --process ");
    let shell = line("sh", "sh -c 'echo hello' container=");
    assert_eq!([client[4], runtime[4], shell[4]], ["0"; 3], "{table}");
    // The runtime has started it, and its shim has taken it over if the runtime was gone already.
    assert!([runtime[2], runtime[3]].contains(&shell[3]), "{table}");
    assert_eq!(shell.last(), Some(&"container=shown"), "{id}: {table}");
    assert!(!client.iter().chain(&runtime).any(|word| word.starts_with("container=")), "{table}");
}

/// Something for every view: a container that works and ends, a deleted file, a connection below a program called sshd.
const WORK: &str = r#"
docker run --rm --network none --name shop IMAGE sh -c 'echo x > /tmp/weir-deleted-inside; sleep 1; rm /tmp/weir-deleted-inside; true'
echo x > weir-deleted-outside; rm weir-deleted-outside
cp "$(command -v bash)" sshd
./sshd -c 'bash -c "true; exec 3<>/dev/udp/203.0.113.7/53; exec 4<>/dev/udp/10.1.2.3/53; true"; true' 2>/dev/null
sh -c 'sh -c "cat /no/such/weir-below; true"; true' 2>/dev/null
true
"#;

#[test]
fn the_views_answer_what_they_are_for() {
    let Some(engine) = engine() else { return };
    let Some(python) = python::with("duckdb") else { return };
    let scratch = tempfile::tempdir().expect("a directory");
    let data = scratch.path().join("data");
    let recording = live(&engine, &["--parquet", data.to_str().expect("UTF-8")]);
    let work = WORK.replace("IMAGE", IMAGE);
    let mut bash = engine.at_home("bash").expect("a client");
    assert!(bash.args(["-c", &work]).current_dir(scratch.path()).status().expect("bash").success());
    std::thread::sleep(SHOWN_AFTER);
    recording.stop();
    let answers = ask_views(&python, &data);
    let rows = |question: &str| answers.iter().find(|a| a["question"] == question).expect("an answer")["rows"].clone();
    assert_eq!(rows("containers"), json!([["shop", IMAGE, "docker", true, true]]));
    let activity = rows("activity").to_string();
    for what in ["exec", "unlink", "/tmp/weir-deleted-inside", "exit"] {
        assert!(activity.contains(what), "{what} is not in {activity}");
    }
    let deleted = rows("deleted");
    let deleted: Vec<[&Value; 3]> = deleted.as_array().expect("rows").iter().map(|r| [&r[1], &r[2], &r[3]]).collect();
    let (rm, root) = (json!("rm"), json!("root"));
    assert_eq!(deleted, [[&rm, &root, &json!("shop")], [&rm, &root, &Value::Null]]);
    assert_eq!(rows("outside"), json!([["203.0.113.7", 53, "bash", "sshd"]]), "10.1.2.3 is not outside");
    let ancestors = rows("ancestors").to_string();
    assert!(ancestors.contains("\"sh\"") && ancestors.contains("\"bash\""), "{ancestors}");
}

fn ask_views(python: &Path, data: &Path) -> Vec<Value> {
    let views =
        Command::new(weir()).args(["schema", "--format", "sql", "--dir"]).arg(data).output().expect("the views");
    let mut child = Command::new(python)
        .args(["-c", include_str!("support/views.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    child.stdin.take().expect("a pipe").write_all(&views.stdout).expect("the views");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

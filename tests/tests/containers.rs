//! Containers by their cgroups: attribution from the first event to the last, and the filters. No engine is needed: a cgroup
//! with a container's name is one to weir. Needs root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use weir_tests::capture::{Capture, Row, number, text};
use weir_tests::live::Live;
use weir_tests::wait;

/// Containers of the attribution; `WEIR_TEST_CONTAINERS` says how many otherwise.
const CONTAINERS: usize = 100;
/// Made and removed per second.
const PER_SECOND: u32 = 20;

/// Where containers would be on this machine: a controller of cgroup v1, or v2.
fn hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let fields: Vec<Vec<&str>> = mounts.lines().map(|line| line.split(' ').collect()).collect();
    let has = |options: &str, name: &str| options.split(',').any(|o| o == name);
    let v1 = ["pids", "memory"].iter().find_map(|name| fields.iter().find(|f| f[2] == "cgroup" && has(f[3], name)));
    let found = v1.or_else(|| fields.iter().find(|f| f[2] == "cgroup2")).expect("a cgroup hierarchy");
    PathBuf::from(found[1])
}

/// A cgroup with the name that Docker gives to a container; removed at the end.
struct Container {
    id: String,
    path: PathBuf,
}

impl Container {
    fn make(number: usize) -> Container {
        let id = format!("{:032x}{:032x}", std::process::id(), number);
        let path = hierarchy().join("docker").join(&id);
        fs::create_dir_all(&path).expect("a cgroup");
        Container { id, path }
    }

    /// The cgroup's path from the root of its hierarchy.
    fn below_root(&self) -> String {
        format!("/docker/{}", self.id)
    }

    /// A command that joins the container and becomes another program there, as runc does.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("echo $$ > {}/cgroup.procs; exec sh -c '{script}'", self.path.display())]);
        command
    }

    fn remove(self) {
        wait::until(format_args!("the end of {}", self.path.display()), || {
            let removed = fs::remove_dir(&self.path);
            removed.map_err(|error| assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}")).is_ok()
        });
    }
}

fn remove_parent() {
    let _ = fs::remove_dir(hierarchy().join("docker"));
}

fn path_in(container: &Container, what: &str) -> String {
    format!("/no/such/{}/{what}", container.id)
}

fn open(path: &str) {
    let _ = fs::File::open(path);
}

/// Whether the row is this action, and no failed attempt: shells try one directory after the other.
fn succeeded(row: &Row, action: &str) -> bool {
    text(row, "action") == action && !row.contains_key("error")
}

fn about<'a>(rows: &'a [Row], container: &Container) -> Vec<&'a Row> {
    rows.iter().filter(|r| text(r, "container_id") == container.id).collect()
}

#[test]
fn a_container_is_known_from_its_start_through_every_event_to_its_end() {
    let old = Container::make(0);
    let mut before = old.command("exec sleep 60").spawn().expect("a process in it");
    let mut live = Live::start(&["--class", "container,process,file.open"]);
    live.until_it_sees();
    let new = Container::make(1);
    let path = path_in(&new, "inside");
    assert!(!new.command(&format!("cat {path}")).status().expect("sh").success());
    let below = new.path.join("init.scope");
    let id = new.id.clone();
    fs::create_dir(&below).expect("a cgroup below");
    fs::remove_dir(&below).expect("removed");
    let start = new.below_root();
    new.remove();
    let end = path_in(&old, "end");
    live.until(|| open(&end), |r| text(r, "path") == end);
    before.kill().expect("it ends");
    before.wait().expect("a child");
    old.command("true").status().expect("sh");
    let rows = live.stop();
    let of_old = about(&rows, &old);
    let running: Vec<_> = of_old.iter().filter(|r| text(r, "action") == "running").collect();
    assert!(running.iter().any(|r| text(r, "class") == "container" && number(r, "cpu") == -1), "{running:?}");
    assert!(running.iter().any(|r| text(r, "class") == "process" && text(r, "cmdline") == "sleep 60"), "{running:?}");
    let of_new: Vec<&Row> = rows.iter().filter(|r| text(r, "container_id") == id).collect();
    let named = |class: &str, action: &str| {
        of_new.iter().filter(|r| text(r, "class") == class && text(r, "action") == action).count()
    };
    assert_eq!((named("container", "start"), named("container", "die")), (1, 1), "one container, not one per cgroup");
    let first = of_new.iter().find(|r| text(r, "action") == "start").expect("the start");
    assert_eq!((text(first, "cgroup_path"), text(first, "runtime").as_str()), (start, "docker"));
    assert_eq!(number(first, "pid"), i64::from(std::process::id()), "who made it");
    let opened = of_new.iter().find(|r| text(r, "path") == path).expect("the open in it");
    assert!(text(opened, "cmdline").starts_with("cat "), "{opened:?}");
    // By its arguments: busybox starts its own file by another name.
    let program = |r: &&Row| text(r, "cmdline").split(' ').next().unwrap_or_default().to_owned();
    let execs: Vec<String> = of_new.iter().filter(|r| succeeded(r, "exec")).map(program).collect();
    assert_eq!(execs, ["sh", "cat"], "what joined it, and its child");
    old.remove();
    remove_parent();
}

#[test]
fn every_exec_in_containers_that_come_and_go_has_the_right_one() {
    let count = std::env::var("WEIR_TEST_CONTAINERS").map_or(CONTAINERS, |n| n.parse().expect("a number"));
    let mut live = Live::start(&["--class", "container,process.exec,file.open", "--only-path", "/no/such"]);
    live.until_it_sees();
    let pace = Duration::from_secs(1) / PER_SECOND;
    let mut made = vec![];
    for number in 0..count {
        let began = Instant::now();
        let container = Container::make(1000 + number);
        let path = path_in(&container, "mark");
        container.command(&format!("cat {path}; true {number}; /bin/true {number}")).output().expect("sh");
        made.push((container.id.clone(), path));
        container.remove();
        std::thread::sleep(pace.saturating_sub(began.elapsed()));
    }
    let end = "/no/such/containers-end";
    live.until(|| open(end), |r| text(r, "path") == end);
    let rows = live.stop();
    let mut execs = 0;
    for (id, path) in &made {
        let of_it: Vec<&Row> =
            rows.iter().filter(|r| text(r, "cmdline").contains(path.as_str()) || text(r, "path") == *path).collect();
        let inside: Vec<&&Row> = of_it.iter().filter(|r| text(r, "comm") == "cat").collect();
        assert!(!inside.is_empty(), "{id} was seen");
        assert!(inside.iter().all(|r| text(r, "container_id") == *id), "{inside:?}");
        let here = |r: &&Row| text(r, "container_id") == *id && succeeded(r, "exec");
        let number = rows.iter().filter(here).count();
        assert_eq!(number, 3, "sh, cat and true of {id}");
        execs += number;
    }
    remove_parent();
    println!("{execs} execs of {count} containers have the right one");
}

/// Marks in the container and beside it, under a filter; returns which came.
fn marks_under(flags: &[&str], container: &Container) -> [bool; 2] {
    let flags: Vec<&str> = ["--class", "file.open"].iter().chain(flags).copied().collect();
    let marks = ["inside", "outside"].map(|what| path_in(container, what));
    let script = format!(
        "cat {}; sh -c 'echo $$ > {}/cgroup.procs; exec cat {}'; true",
        marks[1],
        container.path.display(),
        marks[0]
    );
    let capture = Capture::of_success(&flags, &["sh", "-c", &script]);
    marks.map(|mark| capture.of_action("file.open").any(|r| text(r, "path") == mark))
}

#[test]
fn the_filters_keep_containers_the_host_or_some_by_id() {
    let (one, other) = (Container::make(5), Container::make(6));
    let (id, short, another) = (one.id.as_str(), &one.id[..12], other.id.as_str());
    // Both have the process id in front: the first characters alone name both.
    assert_eq!(&another[..12], short);
    for (flags, expected) in [
        (vec![], [true, true]),
        (vec!["--containers"], [true, false]),
        (vec!["--no-containers"], [false, true]),
        (vec!["--only-container", id], [true, false]),
        (vec!["--only-container", short], [true, false]),
        (vec!["--only-container", another], [false, false]),
        (vec!["--except-container", id], [false, true]),
        (vec!["--except-container", another], [true, true]),
    ] {
        assert_eq!(marks_under(&flags, &one), expected, "{flags:?}");
    }
    one.remove();
    other.remove();
    remove_parent();
}

#[test]
fn a_new_container_is_judged_from_its_first_event() {
    let mut live = Live::start(&["--class", "container,process.exec,file.open", "--containers"]);
    let old = Container::make(7);
    let path = path_in(&old, "begin");
    live.until(|| drop(old.command(&format!("cat {path}")).output()), |r| text(r, "path") == path);
    let new = Container::make(8);
    new.command("true; /bin/true new").output().expect("sh");
    let (id, end) = (new.id.clone(), path_in(&old, "end"));
    new.remove();
    live.until(|| drop(old.command(&format!("cat {end}")).output()), |r| text(r, "path") == end);
    let rows = live.stop();
    let of_new: Vec<String> = rows
        .iter()
        .filter(|r| text(r, "container_id") == id)
        .map(|r| text(r, "class") + "." + &text(r, "action"))
        .collect();
    for action in ["container.start", "process.exec", "container.die"] {
        assert!(of_new.iter().any(|a| a == action), "{action} is not among {of_new:?}");
    }
    let outside: Vec<&Row> =
        rows.iter().filter(|r| text(r, "class") != "loss" && text(r, "container_id").is_empty()).collect();
    assert!(outside.is_empty(), "{outside:?}");
    old.remove();
    remove_parent();
}

#[test]
fn a_reload_changes_which_containers_are_kept() {
    let scratch = tempfile::tempdir().expect("a directory");
    let config = scratch.path().join("weir.toml");
    let write = |filter: &str| fs::write(&config, format!("classes = [\"file.open\"]\n[filter]\n{filter}\n"));
    write("containers = \"none\"").expect("the configuration");
    let mut live = Live::start(&["--config", config.to_str().expect("UTF-8")]);
    let (one, other) = (Container::make(20), Container::make(21));
    let act = |what: &str| {
        for container in [&one, &other] {
            drop(container.command(&format!("cat {}", path_in(container, what))).output());
        }
        open(&format!("/no/such/host-{what}"));
    };
    live.until(|| act("before"), |r| text(r, "path") == "/no/such/host-before");
    write(&format!("only_container = [\"{}\"]", one.id)).expect("the configuration");
    let reloaded = Command::new("kill").args(["-HUP", &live.pid().to_string()]).status().expect("kill");
    assert!(reloaded.success());
    let kept = path_in(&one, "between");
    live.until(|| act("between"), |r| text(r, "path") == kept);
    act("after");
    let last = path_in(&one, "last");
    live.until(|| act("last"), |r| text(r, "path") == last);
    let rows = live.stop();
    let came = |path: String| rows.iter().any(|r| text(r, "path") == path);
    assert!(!came(path_in(&one, "before")) && !came(path_in(&other, "before")));
    assert!(came(path_in(&one, "after")));
    assert!(!came(path_in(&other, "after")) && !came("/no/such/host-after".into()));
    one.remove();
    other.remove();
    remove_parent();
}

#[test]
fn the_start_of_a_container_that_another_filter_leaves_out_is_no_row() {
    let mut live = Live::start(&["--class", "container,file.open", "--only-comm", "nobody"]);
    let container = Container::make(9);
    assert!(Path::new(&container.path).exists());
    let id = container.id.clone();
    std::thread::sleep(Duration::from_secs(2));
    container.remove();
    live.until(
        || drop(Command::new("sh").args(["-c", "printf nobody > /proc/self/comm; read x < /no/such/end"]).output()),
        |r| text(r, "path") == "/no/such/end",
    );
    let rows = live.stop();
    assert!(!rows.iter().any(|r| text(r, "container_id") == id && text(r, "action") != "running"));
    remove_parent();
}

/// Somebody who is not root.
const USER: u32 = 2001;

/// A cgroup that root gave to a user, who makes cgroups in it; removed at the end.
struct Delegated(PathBuf);

impl Delegated {
    fn make() -> Delegated {
        let path = hierarchy().join(format!("weir-delegated-{}", std::process::id()));
        fs::create_dir(&path).expect("a cgroup");
        for given in [path.clone(), path.join("cgroup.procs")] {
            std::os::unix::fs::chown(&given, Some(USER), Some(USER)).expect("it is given away");
        }
        Delegated(path)
    }

    /// A script in which the user makes a cgroup of this name, joins it, and opens `mark`.
    fn script(&self, name: &str, mark: &str) -> String {
        let (own, below) = (self.0.display(), self.0.join(name));
        let inner = format!("mkdir -p {0}; echo $$ > {0}/cgroup.procs; cat {mark}", below.display());
        format!("echo $$ > {own}/cgroup.procs; {}", as_user(&format!("sh -c '{inner}'")))
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let below = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in below.chain([self.0.clone()]).filter(|path| path.is_dir()) {
            let started = Instant::now();
            while fs::remove_dir(&path).is_err() && path.exists() && started.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Not by setpriv: that of busybox, in the virtual machines, cannot.
fn as_user(command: &str) -> String {
    format!("{} as {USER} {command}; true", env!("CARGO_BIN_EXE_trigger"))
}

/// The row of this mark under a filter, if it comes.
fn mark_under(flags: &[&str], script: &str, mark: &str) -> Option<Row> {
    let flags: Vec<&str> = ["--class", "file.open"].iter().chain(flags).copied().collect();
    let capture = Capture::of_success(&flags, &["sh", "-c", script]);
    capture.of_action("file.open").find(|row| text(row, "path") == mark).cloned()
}

#[test]
fn what_a_user_calls_a_container_is_a_claim_and_no_filter_hides_it() {
    let delegated = Delegated::make();
    let id = format!("{:064x}", std::process::id());
    let mark = format!("/no/such/claim-{}", std::process::id());
    for (name, shown, word) in
        [(format!("docker-{id}.scope"), id.as_str(), id.as_str()), ("lxc.payload.shop".into(), "shop", "shop")]
    {
        let script = delegated.script(&name, &mark);
        let row = mark_under(&[], &script, &mark).expect("without a filter");
        assert_eq!(
            (text(&row, "container_id").as_str(), text(&row, "container_evidence").as_str()),
            (shown, "claimed")
        );
        for (flags, is_kept) in [
            (vec!["--no-containers"], true),
            (vec!["--except-container", word], true),
            (vec!["--containers"], true),
            (vec!["--only-container", word], false),
        ] {
            assert_eq!(mark_under(&flags, &script, &mark).is_some(), is_kept, "{name} {flags:?}");
        }
    }
    let lookalike = delegated.script(&format!("lookalike-{id}"), &mark);
    let row = mark_under(&["--no-containers"], &lookalike, &mark).expect("it is no container");
    assert!(!row.contains_key("container_id") && !row.contains_key("container_evidence"), "{row:?}");
}

#[test]
fn a_claim_of_the_id_of_a_container_is_not_that_container() {
    let (delegated, container) = (Delegated::make(), Container::make(30));
    let mark = path_in(&container, "claim");
    let script = delegated.script(&format!("docker-{}.scope", container.id), &mark);
    let id = container.id.as_str();
    assert!(mark_under(&["--except-container", id], &script, &mark).is_some());
    assert!(mark_under(&["--only-container", id], &script, &mark).is_none());
    let inside = format!("echo $$ > {}/cgroup.procs; cat {mark}; true", container.path.display());
    let row = mark_under(&["--only-container", id], &inside, &mark).expect("root made it");
    assert_eq!(text(&row, "container_evidence"), "cgroup");
    drop(delegated);
    container.remove();
    remove_parent();
}

#[test]
fn a_cgroup_that_gets_another_name_is_what_that_says() {
    let (old, id) = (Container::make(40), format!("{:032x}{:032x}", std::process::id(), 41));
    let renamed = Container { path: old.path.with_file_name(&id), id };
    let mut live = Live::start(&["--class", "container,file.open"]);
    live.until_it_sees();
    if let Err(error) = fs::rename(&old.path, &renamed.path) {
        drop(live);
        old.remove();
        remove_parent();
        return weir_tests::skip::skipped("a cgroup with another name", &format!("only those of v1 can: {error}"));
    }
    let (mark, end) = (path_in(&renamed, "inside"), path_in(&renamed, "end"));
    assert!(!renamed.command(&format!("cat {mark}")).status().expect("sh").success());
    live.until(|| open(&end), |r| text(r, "path") == end);
    let rows = live.stop();
    let start = rows.iter().find(|r| text(r, "action") == "start").expect("the container by its new name");
    assert_eq!((text(start, "container_id"), text(start, "cgroup_path")), (renamed.id.clone(), renamed.below_root()));
    let inside = rows.iter().find(|r| text(r, "path") == mark).expect("the open in it");
    assert_eq!(text(inside, "container_id"), renamed.id);
    renamed.remove();
    remove_parent();
}

#[test]
fn a_pid_namespace_hides_its_processes_only_if_root_made_it() {
    let what = "pid namespaces of a user";
    let able =
        Command::new("sh").args(["-ec", &as_user("unshare -Urpf true || exit 1").replace("; true", "")]).status();
    if !able.is_ok_and(|status| status.success()) {
        return weir_tests::skip::skipped(what, "a user cannot make one here");
    }
    let mark = format!("/no/such/namespace-{}", std::process::id());
    let of_user = as_user(&format!("unshare -Urpf sh -c 'cat {mark}; true'"));
    let of_root = format!("unshare -pf sh -c 'cat {mark}; true'; true");
    let nested = format!("unshare -pf sh -c \"{}\"; true", as_user(&format!("unshare -Urpf cat {mark}")));
    for (script, without, only) in [(of_user, true, true), (of_root, false, true), (nested, false, true)] {
        assert_eq!(mark_under(&["--no-containers"], &script, &mark).is_some(), without, "{script}");
        assert_eq!(mark_under(&["--containers"], &script, &mark).is_some(), only, "{script}");
    }
}

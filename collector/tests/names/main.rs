//! Names of containers from real runtimes: a Docker engine and a containerd that the test starts.

mod cri;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use weir_collector::names::{Answer, Limits, Metadata, Names, Runtime, Sockets};

use cri::Pod;
use weir_tests::engine::{Engine, IMAGE};

const ANSWER_MAX: Duration = weir_tests::wait::LIMIT;

fn of_docker(socket: PathBuf) -> Result<Names> {
    Ok(Names::start(Sockets { docker: vec![socket], cri: Vec::new() }, Limits::default())?)
}

fn of_cri(socket: PathBuf) -> Result<Names> {
    Ok(Names::start(Sockets { docker: Vec::new(), cri: vec![socket] }, Limits::default())?)
}

fn answer(names: &Names, id: &str) -> Result<Answer> {
    ensure!(names.ask(id));
    let end = Instant::now() + ANSWER_MAX;
    while Instant::now() < end {
        if let Some(answer) = names.take().pop() {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("no answer for {id}")
}

fn found(names: &Names, id: &str) -> Result<Metadata> {
    match answer(names, id)? {
        Answer::Found(metadata) => Ok(metadata),
        Answer::Unknown { why, .. } => bail!("{id}: {why}"),
    }
}

/// Containers run without a network, as the engine has no bridge.
fn run(engine: &Engine, arguments: &[&str]) -> Result<String> {
    let start = ["run", "--detach", "--network", "none"];
    engine.docker(&[&start, arguments].concat())
}

fn groups(pid: u32) -> Result<String> {
    Ok(fs::read_to_string(format!("/proc/{pid}/cgroup"))?)
}

#[test]
fn docker_names_its_containers() -> Result<()> {
    let Some(engine) = Engine::start()? else { return Ok(()) };
    let names = of_docker(engine.socket())?;
    let id = run(&engine, &["--name", "web", "--label", "team=a", "--label", "control=a\u{1b}[31m", IMAGE])?;
    let metadata = found(&names, &id)?;
    println!("{metadata:#?}");
    ensure!(metadata.runtime == Runtime::Docker && metadata.id == id);
    ensure!(metadata.name.as_deref() == Some("web") && metadata.image.as_deref() == Some(IMAGE));
    ensure!(metadata.image_digest == Some(engine.docker(&["inspect", "--format", "{{.Image}}", "web"])?));
    ensure!(metadata.labels.get("control").map(String::as_str) == Some("a\u{1b}[31m") && metadata.labels.len() == 2);

    let groups = groups(engine.pid(&id)?)?;
    println!("Docker's container is in:\n{groups}");
    ensure!(groups.contains(&id));

    // A name and the beginning of an id name a container to Docker, and are no ids.
    for id in ["web", &id[..12], &"0".repeat(64)] {
        ensure!(matches!(answer(&names, id)?, Answer::Unknown { .. }), "{id}");
    }
    ensure!(names.counts().found == 1 && names.counts().unknown == 3 && names.counts().failed == 0);

    // A label of 100 kB has no room; the others have.
    let long = format!("long={}", "x".repeat(100_000));
    let id = run(&engine, &["--label", &long, "--label", "team=a", "--label", "io.kubernetes.pod.name=web-1", IMAGE])?;
    let metadata = found(&names, &id)?;
    ensure!(metadata.labels_cut && metadata.labels.len() == 2 && metadata.pod.as_deref() == Some("web-1"));
    Ok(())
}

#[test]
fn cri_names_containers_and_sandboxes() -> Result<()> {
    let Some(engine) = Engine::start()? else { return Ok(()) };
    engine.give_image_to_cri()?;
    let image = format!("docker.io/{IMAGE}");
    let pod = Pod::start(&engine.cri_socket(), &image)?;
    let names = of_cri(engine.cri_socket())?;

    let metadata = found(&names, &pod.container)?;
    println!("{metadata:#?}");
    ensure!(metadata.runtime == Runtime::Cri("containerd".into()));
    ensure!(metadata.name.as_deref() == Some("web") && metadata.image.as_deref() == Some(&image));
    ensure!(metadata.image_digest.is_some_and(|digest| digest.contains("sha256:")));
    ensure!(metadata.pod.as_deref() == Some("web-1") && metadata.namespace.as_deref() == Some("shop"));
    ensure!(metadata.pod_uid.as_deref() == Some("4f2c"));

    let sandbox = found(&names, &pod.sandbox)?;
    println!("{sandbox:#?}");
    ensure!(sandbox.name.is_none() && sandbox.pod.as_deref() == Some("web-1"));
    ensure!(sandbox.namespace.as_deref() == Some("shop") && sandbox.pod_uid.as_deref() == Some("4f2c"));

    for id in [&pod.container, &pod.sandbox] {
        println!("CRI's {id} is in:\n{}", group_of(id)?);
    }
    for id in [&pod.container[..12], &"0".repeat(64)] {
        ensure!(matches!(answer(&names, id)?, Answer::Unknown { .. }), "{id}");
    }
    ensure!(names.counts().found == 2 && names.counts().unknown == 2 && names.counts().failed == 0);
    pod.remove(&engine.cri_socket())
}

/// The control groups of whichever process has an id in their names.
fn group_of(id: &str) -> Result<String> {
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match groups(pid) {
            Ok(groups) if groups.contains(id) => return Ok(groups),
            _ => {}
        }
    }
    bail!("no process is in a group of {id}")
}

#[test]
fn a_containerd_that_knows_no_container_of_docker_is_no_failure() -> Result<()> {
    let Some(engine) = Engine::start()? else { return Ok(()) };
    let id = run(&engine, &["--name", "web", IMAGE])?;
    let names = of_cri(engine.cri_socket())?;
    ensure!(matches!(answer(&names, &id)?, Answer::Unknown { .. }));
    ensure!(names.counts().unknown == 1);
    Ok(())
}

#[test]
fn an_engine_that_was_killed_leaves_nothing_either() -> Result<()> {
    let Some(engine) = Engine::start()? else { return Ok(()) };
    let pid = engine.pid(&run(&engine, &[IMAGE])?)?;
    let dir = engine.dir().to_owned();
    ensure!(mounts(&dir)? > 0, "nothing is mounted");
    engine.kill()?;
    drop(engine);
    ensure!(!dir.exists() && mounts(&dir)? == 0);
    // Who ended it does not wait for it; its memory is gone at once.
    let end = Instant::now() + ANSWER_MAX;
    while fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("VmSize")) {
        ensure!(Instant::now() < end, "{pid} still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn mounts(dir: &Path) -> Result<usize> {
    let dir = dir.display().to_string();
    Ok(fs::read_to_string("/proc/self/mountinfo")?.lines().filter(|line| line.contains(&dir)).count())
}

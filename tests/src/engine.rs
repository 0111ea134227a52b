//! A Docker engine of a test's own: its own data, sockets and containerd, and no bridge (containers run with
//! `--network none`). Its containerd speaks CRI too. All of it is ended by its own process ids, and nothing stays mounted.

mod containerd;
mod image;
mod left;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::skip::skipped;
use containerd::Containerd;
use server::Server;

/// The image that every engine has: busybox, started as `sleep 600`.
pub const IMAGE: &str = "weir-test/busybox:1";
/// How long an engine may take until it answers.
const START_MAX: Duration = crate::wait::LIMIT;

/// One engine, until it is dropped.
pub struct Engine {
    // In the order in which they end.
    dockerd: Server,
    containerd: Containerd,
    dir: TempDir,
}

impl Engine {
    /// Starts one. `None`: this machine cannot, and the reason is printed.
    ///
    /// # Errors
    /// It answers, and does not take the image.
    pub fn start() -> Result<Option<Engine>> {
        if let Some(reason) = hindrance() {
            skipped("a Docker engine", &reason.to_string());
            return Ok(None);
        }
        let started = Engine::boot();
        let engine = match started {
            Ok(engine) => engine,
            Err(error) => {
                skipped("a Docker engine", &format!("it does not start on this machine: {error:#}"));
                return Ok(None);
            }
        };
        image::import(&engine)?;
        Ok(Some(engine))
    }

    fn boot() -> Result<Engine> {
        // The path of a socket has 107 bytes at most.
        let dir = tempfile::Builder::new().prefix("engine-").tempdir_in("/tmp")?;
        let containerd = Containerd::start(dir.path())?;
        let dockerd = Server::start(&mut dockerd(dir.path(), &containerd)?, "dockerd", dir.path())?;
        let mut engine = Engine { dockerd, containerd, dir };
        engine.wait()?;
        Ok(engine)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// Where its containerd listens, with CRI.
    pub fn cri_socket(&self) -> PathBuf {
        self.containerd.socket()
    }

    /// A folder that lives as long as the engine.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs the client, and gives what it prints, trimmed.
    ///
    /// # Errors
    /// It fails; the error says what it printed.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        run(self.at_home("docker")?.args(arguments))
    }

    /// A program whose `docker` is the client of this engine, whatever else is installed and set.
    ///
    /// # Errors
    /// There is no client.
    pub fn at_home(&self, program: &str) -> Result<Command> {
        let client = client().context("no docker client")?;
        let others = std::env::var_os("PATH").unwrap_or_default();
        let folders = client.parent().map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&others));
        let mut command = Command::new(program);
        command.env("PATH", std::env::join_paths(folders)?);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command.env("DOCKER_CONFIG", self.dir.path().join("client"));
        command.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_API_VERSION");
        Ok(command)
    }

    /// Makes the image known to CRI.
    ///
    /// # Errors
    /// The engine does not give it, or containerd does not take it.
    pub fn give_image_to_cri(&self) -> Result<()> {
        let file = self.dir.path().join("image.tar");
        self.docker(&["save", "--output", &file.to_string_lossy(), IMAGE])?;
        self.containerd.import(&file)
    }

    /// The process of a running container, as the host numbers it.
    ///
    /// # Errors
    /// There is no such container.
    pub fn pid(&self, container: &str) -> Result<u32> {
        Ok(self.docker(&["inspect", "--format", "{{.State.Pid}}", container])?.parse()?)
    }

    /// Kills the engine, and nothing that runs under it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(&self) -> Result<()> {
        let pid = std::fs::read_to_string(self.dir.path().join("dockerd.pid"))?;
        run(Command::new("kill").args(["-KILL", pid.trim()])).map(drop)
    }

    fn wait(&mut self) -> Result<()> {
        self.dockerd.wait(START_MAX, || {
            let client = client().context("no docker client")?;
            let host = format!("unix://{}", self.dir.path().join("docker.sock").display());
            run(Command::new(client).args(["--host", &host, "version"])).map(drop)
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Ok(containers) = self.docker(&["ps", "--all", "--quiet"]) {
            let all: Vec<&str> = ["rm", "--force"].into_iter().chain(containers.split_whitespace()).collect();
            let _ = if containers.is_empty() { Ok(String::new()) } else { self.docker(&all) };
        }
        self.dockerd.stop();
        self.containerd.stop();
        let containers = left::containers(self.dir.path());
        left::end_shims(self.dir.path());
        left::remove_groups(&containers);
        left::unmount(self.dir.path());
    }
}

fn dockerd(dir: &Path, containerd: &Containerd) -> Result<Command> {
    // Not the machine's own configuration.
    let configuration = dir.join("daemon.json");
    std::fs::write(&configuration, "{}")?;
    let mut command = Command::new(program("dockerd").context("no dockerd")?);
    command.arg("--config-file").arg(configuration);
    command.arg("--data-root").arg(dir.join("data")).arg("--exec-root").arg(dir.join("exec"));
    command.arg("--pidfile").arg(dir.join("dockerd.pid"));
    command.arg("--host").arg(format!("unix://{}", dir.join("docker.sock").display()));
    command.arg("--containerd").arg(containerd.socket());
    command.args(["--iptables=false", "--bridge=none"]);
    Ok(command)
}

/// What keeps this machine from having an engine.
fn hindrance() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Some("not root".into());
    }
    let mut needed = ["dockerd", "containerd", "ctr", "docker", "tar"].into_iter();
    if let Some(name) = needed.find(|name| program(name).is_none()) {
        return Some(format!("{name} is not installed (package docker.io)"));
    }
    image::busybox().is_none().then(|| "there is no static busybox (package busybox-static)".into())
}

/// The engine's own client; another one first on the path may be of another age.
fn client() -> Option<PathBuf> {
    Some(PathBuf::from("/usr/bin/docker")).filter(|path| path.exists()).or_else(|| program("docker"))
}

/// Where a program is; daemons may be where only root's path leads.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs to the end; what it printed, trimmed.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.len() < 1 << 20, "{command:?} printed {} bytes", text.len());
    Ok(text.trim().to_owned())
}

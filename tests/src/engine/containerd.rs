//! A containerd of the engine's own, with CRI.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::server::Server;
use super::{IMAGE, START_MAX, program, run};

/// `restrict_oom_score_adj`: a sandbox wants a lower score than a container that tests run in may give. `native`: works on
/// any file system. No network is set up: sandboxes take the host's.
const CONFIGURATION: &str = r#"
version = 2
root = "DIR/containerd/root"
state = "DIR/containerd/state"

[grpc]
address = "DIR/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "DIR/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/IMAGE"
restrict_oom_score_adj = true
stream_server_port = "0"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "DIR/containerd/cni/bin"
conf_dir = "DIR/containerd/cni/conf"
"#;

/// Runs until it is stopped or dropped.
pub struct Containerd {
    server: Server,
    socket: PathBuf,
}

impl Containerd {
    pub fn start(dir: &Path) -> Result<Containerd> {
        let configuration = dir.join("containerd.toml");
        let text = CONFIGURATION.replace("DIR", &dir.to_string_lossy()).replace("IMAGE", IMAGE);
        fs::write(&configuration, text)?;
        let socket = dir.join("containerd.sock");
        let mut command = Command::new(program("containerd").context("no containerd")?);
        let mut server = Server::start(command.arg("--config").arg(configuration), "containerd", dir)?;
        server.wait(START_MAX, || Ok(UnixStream::connect(&socket).map(drop)?))?;
        Ok(Containerd { server, socket })
    }

    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// Makes the image of an archive known to CRI.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let mut command = Command::new(program("ctr").context("no ctr")?);
        command.arg("--address").arg(&self.socket).args(["--namespace", "k8s.io", "images", "import"]);
        run(command.args(["--snapshotter", "native"]).arg(archive)).map(drop)
    }

    pub fn stop(&mut self) {
        self.server.stop();
    }
}

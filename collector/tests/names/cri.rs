//! A pod with one container, started over CRI as a kubelet does it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// The namespace of the host.
const HOST: i32 = 2;
/// The pod's control group.
const GROUP: &str = "/weir-test/pod4f2c";

/// What was started.
pub struct Pod {
    /// Id of its sandbox.
    pub sandbox: String,
    /// Id of its container.
    pub container: String,
}

impl Pod {
    /// Starts `shop/web-1` with the container `web`, which sleeps, all in the host's network.
    ///
    /// # Errors
    /// The runtime does not start it.
    pub fn start(socket: &Path, image: &str) -> Result<Pod> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = Client::connect(socket).await?;
            let started = client.call("RunPodSandbox", RunPodSandboxRequest { config: Some(pod()) });
            let sandbox: IdResponse = started.await.context("RunPodSandbox")?;
            let container = CreateContainerRequest {
                pod_sandbox_id: sandbox.id.clone(),
                config: Some(container(image)),
                sandbox_config: Some(pod()),
            };
            let container: IdResponse = client.call("CreateContainer", container).await.context("CreateContainer")?;
            let _: Nothing = client.call("StartContainer", IdRequest { id: container.id.clone() }).await?;
            Ok(Pod { sandbox: sandbox.id, container: container.id })
        })
    }

    /// Stops and removes it.
    ///
    /// # Errors
    /// The runtime does not.
    pub fn remove(self, socket: &Path) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = Client::connect(socket).await?;
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let _: Nothing = client.call(method, IdRequest { id: self.sandbox.clone() }).await.context(method)?;
            }
            remove_groups();
            Ok(())
        })
    }
}

/// The pod's own control groups, which a kubelet makes and removes: of the only hierarchy, or of each one.
fn remove_groups() {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        let pod = hierarchy.join(GROUP.trim_start_matches('/'));
        for group in pod.ancestors().take(2) {
            let _ = std::fs::remove_dir(group);
        }
    }
}

fn pod() -> PodSandboxConfig {
    let options = NamespaceOption { network: HOST, pid: 0, ipc: 0 };
    let security_context = Some(SandboxSecurity { namespace_options: Some(options) });
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata { name: "web-1".into(), uid: "4f2c".into(), namespace: "shop".into() }),
        labels: labels(&[("app", "web")]),
        linux: Some(LinuxPodSandboxConfig { cgroup_parent: GROUP.into(), security_context }),
    }
}

fn container(image: &str) -> ContainerConfig {
    let security = ContainerSecurity { namespace_options: Some(NamespaceOption { network: HOST, pid: 1, ipc: 0 }) };
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: "web".into() }),
        image: Some(ImageSpec { image: image.into() }),
        labels: labels(&[
            ("io.kubernetes.container.name", "web"),
            ("io.kubernetes.pod.name", "web-1"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.uid", "4f2c"),
        ]),
        linux: Some(LinuxContainerConfig { security_context: Some(security) }),
    }
}

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

struct Client(Channel);

impl Client {
    async fn connect(socket: &Path) -> Result<Client> {
        Ok(Client(Endpoint::from_shared(format!("unix://{}", socket.display()))?.connect().await?))
    }

    async fn call<Q, A>(&self, method: &str, question: Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path: PathAndQuery = format!("/runtime.v1.RuntimeService/{method}").parse()?;
        let mut client = Grpc::new(self.0.clone());
        client.ready().await?;
        Ok(client.unary(Request::new(question), path, ProstCodec::<Q, A>::default()).await?.into_inner())
    }
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

/// Of a sandbox or a container: both have it in the same place.
#[derive(Clone, PartialEq, Message)]
struct IdResponse {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct IdRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxPodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxPodSandboxConfig {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security_context: Option<SandboxSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxSecurity {
    #[prost(message, optional, tag = "1")]
    namespace_options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Message)]
struct NamespaceOption {
    #[prost(int32, tag = "1")]
    network: i32,
    #[prost(int32, tag = "2")]
    pid: i32,
    #[prost(int32, tag = "3")]
    ipc: i32,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainerRequest {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "15")]
    linux: Option<LinuxContainerConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainerConfig {
    #[prost(message, optional, tag = "2")]
    security_context: Option<ContainerSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerSecurity {
    #[prost(message, optional, tag = "3")]
    namespace_options: Option<NamespaceOption>,
}

//! The Container Runtime Interface, over gRPC.

mod messages;

use std::collections::HashMap;
use std::io;
use std::path::Path;

use http::uri::PathAndQuery;
use prost::Message;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::answer::Runtime;
use super::budget::shorten;
use super::limits::{ANSWER_RAW_BYTES_MAX, Limits, RUNTIME_BYTES_MAX};
use super::raw::{Pod, Raw};
use super::reply::Reply;
use messages::{
    ContainerStatus, ContainerStatusRequest, ContainerStatusResponse, PodSandboxStatus, PodSandboxStatusRequest,
    PodSandboxStatusResponse, VersionRequest, VersionResponse,
};

const VERSION: &str = "/runtime.v1.RuntimeService/Version";
const CONTAINER_STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
const POD_SANDBOX_STATUS: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";

/// One socket.
pub(super) struct Cri {
    channel: Channel,
    runtime: OnceCell<Runtime>,
    bytes_max: usize,
}

impl Cri {
    pub(super) fn new(socket: &Path, limits: &Limits) -> io::Result<Cri> {
        let no_text = || io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no text", socket.display()));
        let socket = socket.to_str().ok_or_else(no_text)?;
        let endpoint = Endpoint::from_shared(format!("unix://{socket}")).map_err(io::Error::other)?;
        let channel = endpoint.connect_timeout(limits.timeout).connect_lazy();
        Ok(Cri { channel, runtime: OnceCell::new(), bytes_max: limits.answer_bytes_max })
    }

    pub(super) async fn ask(&self, id: &str, with_place: bool) -> Reply {
        match self.found(id, with_place).await {
            Ok(Some((runtime, raw))) => Reply::Found(Box::new(raw.bounded(id, runtime, self.bytes_max))),
            Ok(None) => Reply::Absent,
            Err(status) => reply(&status),
        }
    }

    /// A container; else a pod's sandbox, which is a container of the kernel's too.
    async fn found(&self, id: &str, verbose: bool) -> Result<Option<(Runtime, Raw)>, Status> {
        let runtime = self.runtime.get_or_try_init(|| self.which()).await?.clone();
        let raw = match self.container(id, verbose).await {
            Err(status) if status.code() == Code::NotFound => self.sandbox(id, verbose).await?,
            answer => answer?,
        };
        Ok(raw.map(|raw| (runtime, raw)))
    }

    async fn which(&self) -> Result<Runtime, Status> {
        let answer: VersionResponse = self.call(VERSION, VersionRequest::default()).await?;
        Ok(Runtime::Cri(shorten(&answer.runtime_name, RUNTIME_BYTES_MAX)))
    }

    async fn container(&self, id: &str, verbose: bool) -> Result<Option<Raw>, Status> {
        let question = ContainerStatusRequest { container_id: id.to_owned(), verbose };
        let answer: ContainerStatusResponse = self.call(CONTAINER_STATUS, question).await?;
        // A runtime may take the beginning of an id for an id.
        let pid = pid_of(&answer.info);
        Ok(answer.status.filter(|status| status.id == id).map(|status| Raw { pid, ..of_container(status) }))
    }

    async fn sandbox(&self, id: &str, verbose: bool) -> Result<Option<Raw>, Status> {
        let question = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose };
        let answer: PodSandboxStatusResponse = self.call(POD_SANDBOX_STATUS, question).await?;
        let pid = pid_of(&answer.info);
        Ok(answer.status.filter(|status| status.id == id).map(|status| Raw { pid, ..of_sandbox(status) }))
    }

    async fn call<Q, A>(&self, method: &'static str, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(ANSWER_RAW_BYTES_MAX);
        client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        let path = PathAndQuery::from_static(method);
        let answer = client.unary(Request::new(question), path, ProstCodec::<Q, A>::default()).await?;
        Ok(answer.into_inner())
    }
}

/// Of a verbose answer: containerd and CRI-O tell the first process in a JSON object of their own.
fn pid_of(info: &HashMap<String, String>) -> Option<u32> {
    #[derive(Deserialize)]
    struct Info {
        pid: u32,
    }
    let info: Info = serde_json::from_str(info.get("info")?).ok()?;
    Some(info.pid).filter(|pid| *pid != 0)
}

fn of_container(status: ContainerStatus) -> Raw {
    let image = status.image.unwrap_or_default();
    Raw {
        name: status.metadata.map(|metadata| metadata.name),
        image: Some(image.user_specified_image).filter(|name| !name.is_empty()).or(Some(image.image)),
        image_digest: Some(status.image_ref),
        labels: status.labels,
        pod: None,
        pid: None,
    }
}

fn of_sandbox(status: PodSandboxStatus) -> Raw {
    let metadata = status.metadata.unwrap_or_default();
    let (name, namespace, uid) = (Some(metadata.name), Some(metadata.namespace), Some(metadata.uid));
    Raw { labels: status.labels, pod: Some(Pod { name, namespace, uid }), ..Raw::default() }
}

fn reply(status: &Status) -> Reply {
    let why = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        // A containerd that serves Docker alone has no CRI.
        Code::NotFound | Code::Unimplemented => Reply::Absent,
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => Reply::trouble(&why),
        Code::Internal | Code::Unknown | Code::ResourceExhausted => Reply::trouble(&why),
        _ => Reply::refused(&why),
    }
}

#[cfg(test)]
mod tests;

//! Docker's interface, which podman has too.

mod digests;
mod errors;
mod transport;

use std::io;
use std::path::Path;
use std::sync::Arc;

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, SystemVersion};
use bollard::{API_DEFAULT_VERSION, BollardRequest};
use tokio::sync::OnceCell;

use super::answer::Runtime;
use super::limits::Limits;
use super::raw::Raw;
use super::reply::Reply;
use digests::Digests;

/// Part of every address; who serves a socket does not look at it.
const ADDRESS: &str = "http://docker";

/// One socket.
pub(super) struct Docker {
    client: bollard::Docker,
    runtime: OnceCell<Runtime>,
    digests: Digests,
    bytes_max: usize,
}

impl Docker {
    pub(super) fn new(socket: &Path, limits: &Limits) -> io::Result<Docker> {
        let (socket, timeout) = (Arc::<Path>::from(socket), limits.timeout);
        let send = move |request: BollardRequest| transport::send(Arc::clone(&socket), request, timeout);
        let seconds = timeout.as_secs().saturating_add(1);
        let client = bollard::Docker::connect_with_custom_transport(send, Some(ADDRESS), seconds, API_DEFAULT_VERSION)
            .map_err(io::Error::other)?;
        let digests = Digests::default();
        Ok(Docker { client, runtime: OnceCell::new(), digests, bytes_max: limits.answer_bytes_max })
    }

    pub(super) async fn ask(&self, id: &str) -> Reply {
        match self.inspect(id).await {
            Ok((runtime, answer)) if answer.id.as_deref() == Some(id) => {
                Reply::Found(Box::new(self.raw(answer).await.bounded(id, runtime, self.bytes_max)))
            }
            // It takes the beginning of an id, and a name, for an id.
            Ok(_) => Reply::Absent,
            Err(error) => errors::reply(&error),
        }
    }

    async fn inspect(&self, id: &str) -> Result<(Runtime, ContainerInspectResponse), Error> {
        let runtime = self.runtime.get_or_try_init(|| self.which()).await?;
        Ok((runtime.clone(), self.client.inspect_container(id, None).await?))
    }

    async fn which(&self) -> Result<Runtime, Error> {
        // What is newer than the engine is refused by it.
        let client = self.client.clone().negotiate_version().await?;
        Ok(runtime(&client.version().await?))
    }

    async fn raw(&self, answer: ContainerInspectResponse) -> Raw {
        let mut raw = raw(answer);
        if let Some(image) = raw.image_digest.take() {
            raw.image_digest = Some(self.digests.of(&self.client, image).await);
        }
        raw
    }
}

fn runtime(version: &SystemVersion) -> Runtime {
    let mut components = version.components.iter().flatten();
    match components.any(|component| component.name.starts_with("Podman")) {
        true => Runtime::Podman,
        false => Runtime::Docker,
    }
}

/// The image's id stands for its digest.
fn raw(answer: ContainerInspectResponse) -> Raw {
    let config = answer.config.unwrap_or_default();
    Raw {
        name: answer.name.map(|name| name.strip_prefix('/').map(str::to_owned).unwrap_or(name)),
        image: config.image,
        image_digest: answer.image,
        labels: config.labels.unwrap_or_default(),
        pod: None,
        pid: answer.state.and_then(|state| u32::try_from(state.pid?).ok()).filter(|pid| *pid != 0),
    }
}

#[cfg(test)]
mod tests;

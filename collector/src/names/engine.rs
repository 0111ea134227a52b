//! A runtime at its socket, whichever interface it has.

use std::io;

use super::cri::Cri;
use super::docker::Docker;
use super::limits::Limits;
use super::reply::Reply;
use super::sockets::Sockets;

/// Whom to ask.
pub(super) enum Engine {
    Docker(Docker),
    Cri(Cri),
}

impl Engine {
    /// One per socket, in the order in which they are asked. Nothing is connected yet. To be called inside a runtime.
    pub(super) fn all(sockets: &Sockets, limits: &Limits) -> io::Result<Vec<Engine>> {
        let docker = sockets.docker.iter().map(|socket| Docker::new(socket, limits).map(Engine::Docker));
        let cri = sockets.cri.iter().map(|socket| Cri::new(socket, limits).map(Engine::Cri));
        docker.chain(cri).collect()
    }

    /// What it says of this container. `with_place`: where it has it must be known, which can cost more.
    pub(super) async fn ask(&self, id: &str, with_place: bool) -> Reply {
        match self {
            Engine::Docker(docker) => docker.ask(id).await,
            Engine::Cri(cri) => cri.ask(id, with_place).await,
        }
    }
}

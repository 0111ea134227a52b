//! The collector's end: one thread without rights answers whoever the kernel says is allowed to ask.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Sender, TrySendError};
use rustix::process::geteuid;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::name::Name;
use super::wire::{ControlCommand, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply, line};

/// Connections at a time of root and of the user that weir runs as, and of everybody else. Further ones are closed at once:
/// those that wait in the kernel's queue would keep everybody waiting.
const CONNECTIONS_MAX: usize = 64;
const CONNECTIONS_OF_OTHERS_MAX: usize = 8;
/// How long a request may take to come, and a line of the answer to go.
const LINE_MAX: Duration = Duration::from_secs(2);
/// How often who waits for a reload hears that it goes on.
const WORKING_EVERY: Duration = Duration::from_secs(1);
/// How often a reload that waits for the one before is offered again.
const OFFER_EVERY: Duration = Duration::from_millis(50);
/// Pause when the system gives no further descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What became of a reload: what has changed, or why nothing has.
pub type ReloadAnswer = Result<String, String>;

/// Somebody asks for a reload.
#[derive(Debug, Default)]
pub struct ReloadRequest {
    /// Who waits for the answer; nobody does behind a signal.
    pub answer: Option<oneshot::Sender<ReloadAnswer>>,
}

/// Whose questions are answered.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// The user that weir runs as.
    pub own: u32,
    /// Who called sudo: told how it is, and no more. What they may make root do was sudo's decision at the start.
    pub caller: Option<u32>,
}

impl Allowed {
    fn is_ours(self, uid: u32) -> bool {
        uid == 0 || uid == self.own
    }

    fn refuse(self, uid: u32, command: ControlCommand) -> Option<String> {
        let may = self.is_ours(uid) || (self.caller == Some(uid) && command == ControlCommand::Status);
        (!may).then(|| format!("user {uid} may not ask this weir for that: it runs as user {}; use sudo", self.own))
    }

    fn knows(self, uid: u32) -> bool {
        self.is_ours(uid) || self.caller == Some(uid)
    }
}

/// A control socket that nobody is answered at yet.
pub struct Server {
    name: Name,
    listener: std::os::unix::net::UnixListener,
    allowed: Allowed,
}

impl Server {
    /// Listens at `control` of the settings, or in the run directory.
    ///
    /// # Errors
    /// The place is not to be trusted, or taken.
    pub fn bind(control: Option<&Path>, caller: Option<(u32, u32)>) -> Result<Server> {
        let (name, listener) = Name::listen(control, caller)?;
        Ok(Server::of(name, listener, caller.map(|(uid, _)| uid)))
    }

    /// The same with a name that is there already.
    pub(super) fn of(name: Name, listener: std::os::unix::net::UnixListener, caller: Option<u32>) -> Server {
        Server { name, listener, allowed: Allowed { own: geteuid().as_raw(), caller } }
    }

    /// Where it listens.
    pub fn path(&self) -> PathBuf {
        self.name.path()
    }

    /// Answers from a new thread until the process ends; `confine` is called in it first. The name goes with the value that
    /// is returned.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(
        self,
        status: impl Fn() -> Value + Send + Sync + 'static,
        reloads: Sender<ReloadRequest>,
        confine: impl FnOnce() + Send + 'static,
    ) -> Result<Name> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("make the event queue of the control socket")?;
        self.listener.set_nonblocking(true).context("set up the control socket")?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::from_std(self.listener).context("listen at the control socket")?
        };
        let desk = Arc::new(Desk { status: Box::new(status), reloads, allowed: self.allowed });
        let serve = move || {
            confine();
            runtime.block_on(serve(listener, desk));
        };
        thread::Builder::new().name("control".into()).spawn(serve).context("start the thread of the control socket")?;
        Ok(self.name)
    }
}

/// What the answers are made from.
struct Desk {
    status: Box<dyn Fn() -> Value + Send + Sync>,
    reloads: Sender<ReloadRequest>,
    allowed: Allowed,
}

async fn serve(listener: UnixListener, desk: Arc<Desk>) {
    let ours = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let others = Arc::new(Semaphore::new(CONNECTIONS_OF_OTHERS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Ok(peer) = stream.peer_cred().map(|peer| peer.uid()) else { continue };
                let room = if desk.allowed.is_ours(peer) { &ours } else { &others };
                let Ok(permit) = Arc::clone(room).try_acquire_owned() else {
                    tracing::debug!(uid = peer, "a control connection was closed: too many of them are open");
                    continue;
                };
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    if let Err(error) = desk.answer(stream, peer).await {
                        tracing::debug!("a control connection ended: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!("accept a control connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Desk {
    async fn answer(&self, mut stream: UnixStream, peer: u32) -> io::Result<()> {
        // Read in any case: who finds the connection closed behind an unread request does not see the answer.
        let Some(request) = timeout(LINE_MAX, receive(&mut stream)).await?? else { return Ok(()) };
        if !self.allowed.knows(peer) {
            let refused = self.allowed.refuse(peer, ControlCommand::Status).unwrap_or_default();
            tracing::warn!(uid = peer, "a user who may not ask was refused at the control socket");
            return send(&mut stream, &Reply::Failed { error: refused }).await;
        }
        let command: ControlCommand = match serde_json::from_slice(&request) {
            Ok(command) => command,
            Err(error) => {
                return send(&mut stream, &Reply::Failed { error: format!("the request is not known: {error}") }).await;
            }
        };
        if let Some(error) = self.allowed.refuse(peer, command) {
            return send(&mut stream, &Reply::Failed { error }).await;
        }
        match command {
            ControlCommand::Status => send(&mut stream, &Reply::Status { status: (self.status)() }).await,
            ControlCommand::Reload => {
                tracing::info!(uid = peer, "a reload was asked for at the control socket");
                let answer = self.reload(&mut stream).await?;
                send(&mut stream, &answer).await
            }
        }
    }

    /// Waits as long as who asked does: when they leave, writing fails. A reload that has begun ends all the same.
    async fn reload(&self, stream: &mut UnixStream) -> io::Result<Reply> {
        let (sender, mut answer) = oneshot::channel();
        let mut request = ReloadRequest { answer: Some(sender) };
        send(stream, &Reply::Working).await?;
        while let Err(refused) = self.reloads.try_send(request) {
            match refused {
                TrySendError::Full(again) => request = again,
                TrySendError::Disconnected(_) => return Ok(Reply::Failed { error: "the run ends".to_owned() }),
            }
            sleep(OFFER_EVERY).await;
            send(stream, &Reply::Working).await?;
        }
        loop {
            match timeout(WORKING_EVERY, &mut answer).await {
                Ok(Ok(Ok(done))) => return Ok(Reply::Reloaded { done }),
                Ok(Ok(Err(error))) => return Ok(Reply::Failed { error }),
                Ok(Err(_)) => return Ok(Reply::Failed { error: "the run ends".to_owned() }),
                Err(_) => send(stream, &Reply::Working).await?,
            }
        }
    }
}

/// The bytes of one line; `None` if the other end left without a word.
async fn receive(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(64);
    let mut part = [0; 512];
    while bytes.len() < REQUEST_BYTES_MAX {
        let len = stream.read(&mut part).await?;
        if len == 0 {
            return if bytes.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        bytes.extend_from_slice(&part[..len]);
        if let Some(end) = memchr::memchr(b'\n', &bytes) {
            bytes.truncate(end);
            return Ok(Some(bytes));
        }
    }
    Err(io::Error::other(format!("a request is longer than {REQUEST_BYTES_MAX} bytes")))
}

async fn send(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let line = line(reply, REPLY_BYTES_MAX)?;
    timeout(LINE_MAX, stream.write_all(&line)).await?
}

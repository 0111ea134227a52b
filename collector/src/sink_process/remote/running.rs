//! One life of the process of a sink.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use weir_sinks::{Cut, DeadLetters, Progress};

use super::super::listener::Listener;
use super::super::logs::Speaker;
use super::super::spawn::{Spawned, spawn};
use super::super::wire::{self, Failure, HEADER_BYTES, Kind, WRITE_BYTES};
use super::super::{END_WAIT, inbox::Inbox};
use super::Terms;
use crate::spool::frame::{Schemas, encode};

/// The buffer of messages is given back beyond this many bytes.
const BUFFER_BYTES_KEPT: usize = 16 << 20;

/// See the module.
pub struct Running {
    pid: u32,
    pidfd: Arc<OwnedFd>,
    socket: OwnedFd,
    /// What it has said.
    pub inbox: Arc<Inbox>,
    listener: Option<JoinHandle<()>>,
    schemas: Schemas,
    buffer: Vec<u8>,
    writes: u64,
    questions: u64,
    /// The flush that was asked for last, while nothing was written since.
    asked: Option<Progress>,
    /// Of the last error that the lane knows.
    epoch: u64,
    /// Why it is ended from here.
    reason: Option<String>,
    began: Instant,
}

impl Running {
    /// Starts a process.
    ///
    /// # Errors
    /// When the system has none.
    pub fn start(terms: &Terms, letters: Arc<Mutex<DeadLetters>>, speaker: Speaker) -> io::Result<Running> {
        let Spawned { child, socket } = spawn(&terms.program)?;
        let pid = child.id();
        let pidfd = Arc::new(pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?);
        let inbox = Arc::new(Inbox::default());
        let listener = Listener {
            pidfd: Arc::clone(&pidfd),
            child,
            inbox: Arc::clone(&inbox),
            letters,
            format: terms.format,
            speaker,
        };
        let heard = socket.try_clone()?;
        let thread = thread::Builder::new().name(format!("sink-{}", terms.name));
        let listener = thread.spawn(move || listener.run(heard))?;
        Ok(Running {
            pid,
            pidfd,
            socket,
            inbox,
            listener: Some(listener),
            schemas: Schemas::default(),
            buffer: Vec::new(),
            writes: 0,
            questions: 0,
            asked: None,
            epoch: 0,
            reason: None,
            began: Instant::now(),
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How long it has been there.
    pub fn lived(&self) -> Duration {
        self.began.elapsed()
    }

    /// Tells it which sink it is, and waits until it is; `None` if it ended instead, or says nothing.
    pub fn open(&mut self, opening: &[u8], wait: Duration) -> Option<Result<(), Failure>> {
        if !self.send(opening, wait) {
            return None;
        }
        let opened = self.inbox.wait(Instant::now() + wait, |known| match known.opened.clone() {
            Some(opened) => Some(Some(opened)),
            None => known.ended.is_some().then_some(None),
        });
        if opened.is_none() {
            self.is_silent(wait);
        }
        opened.flatten()
    }

    /// Number of the next question, whose answer is waited for from now on.
    pub fn question(&mut self) -> u64 {
        self.questions += 1;
        let id = self.questions;
        self.inbox.change(|known| {
            known.goes();
            (known.asked, known.answer) = (Some(id), None);
        });
        id
    }

    /// Whether this flush is asked for, and nothing was written since.
    pub fn is_asked(&self, progress: &Progress) -> bool {
        self.asked.as_ref() == Some(progress)
    }

    /// This flush is asked for.
    pub fn asks(&mut self, progress: &Progress) {
        self.asked = Some(progress.clone());
    }

    /// The flush is answered.
    pub fn answered(&mut self) {
        self.asked = None;
    }

    /// The lane knows now that the sink dropped everything.
    pub fn forget(&mut self, epoch: u64) {
        (self.asked, self.epoch) = (None, epoch);
    }

    /// Of the last error that the lane knows.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sends the rows of a cut; `false` if nobody takes them any more.
    ///
    /// # Errors
    /// When the cut is larger than a message can be.
    pub fn write(&mut self, cut: &Cut, rows: u64, wait: Duration) -> io::Result<bool> {
        let mut message = std::mem::take(&mut self.buffer);
        message.clear();
        message.resize(HEADER_BYTES, 0);
        message.extend_from_slice(&self.epoch.to_le_bytes());
        message.extend_from_slice(&(self.writes + 1).to_le_bytes());
        debug_assert_eq!(message.len(), HEADER_BYTES + WRITE_BYTES);
        encode(cut, &mut self.schemas, &mut message)?;
        wire::finish(&mut message, Kind::Write)?;
        self.writes += 1;
        self.asked = None;
        let bytes = message.len();
        self.inbox.change(|known| {
            known.goes();
            known.on_their_way.push_back(bytes);
            known.bytes += bytes;
            known.rows += rows;
        });
        let sent = self.send(&message, wait);
        if message.capacity() <= BUFFER_BYTES_KEPT {
            self.buffer = message;
        }
        Ok(sent)
    }

    /// Sends a whole message; `false` if nobody takes it, within the time that a sink may be silent.
    pub fn send(&mut self, mut message: &[u8], wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        while !message.is_empty() {
            match send(&self.socket, message, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => message = &message[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.wait_until_writable(deadline) => {}
                Err(Errno::AGAIN) => {
                    self.is_silent(wait);
                    return false;
                }
                Err(_) => return false,
            }
        }
        true
    }

    fn wait_until_writable(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let ready = poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], Timespec::try_from(left).ok().as_ref());
        matches!(ready, Ok(1..) | Err(Errno::INTR)) && !left.is_zero()
    }

    /// It has said nothing for too long.
    pub fn is_silent(&mut self, wait: Duration) {
        self.reason = Some(format!("the process of the sink said nothing for {} s and was ended", wait.as_secs()));
    }

    /// It said what cannot be.
    pub fn lies(&mut self, what: &str) {
        self.reason = Some(format!("the process of the sink said what no sink says ({what}) and was ended"));
    }

    /// Ends it, if it has not ended, and says how it ended.
    pub fn end(mut self) -> String {
        let _ = pidfd_send_signal(self.pidfd.as_fd(), Signal::KILL);
        self.join();
        let ended = self.inbox.lock().ended.clone();
        self.reason.take().or(ended).unwrap_or_else(|| "the process of the sink ended".to_owned())
    }

    fn join(&mut self) {
        if self.listener.take().is_some_and(|listener| listener.join().is_err()) {
            tracing::error!("a thread that listens to the process of a sink panicked");
        }
    }
}

impl Drop for Running {
    /// The end of the socket ends the process; what does not end by itself in time is killed. Nobody is left as a zombie.
    fn drop(&mut self) {
        if self.listener.is_none() {
            return;
        }
        let _ = shutdown(&self.socket, Shutdown::Write);
        if self.inbox.wait(Instant::now() + END_WAIT, |known| known.ended.is_some().then_some(())).is_none() {
            let _ = pidfd_send_signal(self.pidfd.as_fd(), Signal::KILL);
        }
        self.join();
    }
}

//! The process: becomes the sink that it is told to be, and does what it is asked, in order.

mod reader;
mod worker;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::getppid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use weir_sinks::{DeadLetters, Sink, SinkError};

use super::open::Opening;
use super::wire::{self, Ask, Failure, JSON_BYTES_MAX, Kind, Said, bad};
use super::{letters, logs, sandbox};
use crate::{logging, terminal};

/// All is done, or nobody is there any more.
const EXIT_DONE: u8 = 0;
/// It could not become a sink.
const EXIT_UNFIT: u8 = 1;

/// Sends whole messages to the collector, from any thread.
#[derive(Debug, Clone)]
pub struct Voice(Arc<Mutex<File>>);

impl Voice {
    /// Sends one. When nobody is there any more the process is about to end.
    pub fn send(&self, message: &[u8]) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(message);
    }

    /// Says something.
    pub fn say(&self, said: &Said) {
        match wire::json(said) {
            Ok(message) => self.send(&message),
            Err(error) => tracing::error!("an answer cannot be written: {error}"),
        }
    }
}

/// `weir sink`: standard input is the socket to the collector. Gives the exit status.
pub fn run() -> u8 {
    match serve() {
        Ok(()) => EXIT_DONE,
        Err(error) => {
            // To the pipe that the collector reads when the process has ended.
            terminal::say(&error.to_string());
            EXIT_UNFIT
        }
    }
}

fn serve() -> io::Result<()> {
    let _ = rustix::thread::set_name(c"weir-sink");
    close_all_but_standard()?;
    // The end of the socket ends it, in order; what ends the collector's group or service does not.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    // Last words must not wait for somebody to read them.
    let stderr = rustix::stdio::stderr();
    fcntl_setfl(stderr, fcntl_getfl(stderr)? | OFlags::NONBLOCK)?;
    let socket: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let mut stream = File::from(socket.try_clone()?);
    let opening = told(&mut stream)?;
    if getppid().is_none_or(|parent| parent.as_raw_nonzero().get().unsigned_abs() != opening.parent) {
        return Err(bad("`weir sink` is started by the collector, and is not for use by hand"));
    }
    sandbox::enter(opening.memory_max.saturating_add(opening.broker.queue_bytes()))?;
    let voice = Voice(Arc::new(Mutex::new(File::from(socket))));
    logging::start_sink(opening.level.into(), logs::ToCollector(voice.clone()));
    match open(opening, &voice) {
        Ok(sink) => {
            voice.say(&Said::Opened);
            worker::Worker::new(sink, voice).run(reader::start(stream)?);
        }
        Err(error) => voice.say(&Said::NotOpened(Failure::from(&error))),
    }
    Ok(())
}

fn open(opening: Opening, voice: &Voice) -> Result<Box<dyn Sink>, SinkError> {
    let letters = DeadLetters::carried(Box::new(letters::ToCollector(voice.clone())));
    opening.broker.open(&opening.host, letters)
}

/// The first message.
fn told(stream: &mut File) -> io::Result<Opening> {
    let Some((Kind::Json, len)) = wire::next(stream)? else {
        return Err(bad("`weir sink` is started by the collector, and is not for use by hand"));
    };
    match serde_json::from_slice(&wire::body(stream, len, JSON_BYTES_MAX)?)? {
        Ask::Open(opening) => Ok(*opening),
        _ => Err(bad("the first message is no opening")),
    }
}

/// Whatever the collector, or who started it, left open on exec is not the sink's.
fn close_all_but_standard() -> io::Result<()> {
    let standard = rustix::stdio::stderr().as_raw_fd();
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > standard)
        .collect();
    for fd in open {
        // The directory that was listed is among them, and closed.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

//! `weir reload`: a signal, and the answer to it.
//!
//! Who asks listens at an abstract address that has its process id in its name; the collector knows the sender of the signal,
//! and sends one datagram there. A signal from anybody else (kill, systemd) is not answered, and the log says it all.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// How often it is looked whether the process is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Begins an answer that is an error.
pub const ANSWER_ERROR: &str = "error: ";

/// Somebody asks for a reload.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Who; `None` if the signal does not say.
    pub pid: Option<i32>,
}

fn address(pid: u32) -> std::io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("weir-reload-{pid}"))
}

impl Asked {
    /// Tells who asked, if they listen.
    pub fn answer(&self, text: &str) {
        let Some(pid) = self.pid.and_then(|pid| u32::try_from(pid).ok()) else { return };
        let whole = text.len().min(ANSWER_BYTES_MAX);
        let send = || UnixDatagram::unbound()?.send_to_addr(&text.as_bytes()[..whole], &address(pid)?);
        if let Err(error) = send() {
            tracing::debug!(pid, "nobody waits for an answer: {error}");
        }
    }
}

/// Waits for an answer.
struct Answer(UnixDatagram);

impl Answer {
    /// Listens; `None` when this system has no such addresses.
    fn listen() -> Option<Answer> {
        UnixDatagram::bind_addr(&address(std::process::id()).ok()?).ok().map(Answer)
    }

    /// As long as the process is there.
    fn wait(&self, pid: u32, limit: Duration) -> Option<String> {
        let until = Instant::now() + limit;
        self.0.set_read_timeout(Some(LOOK_EVERY)).ok()?;
        let mut bytes = vec![0; ANSWER_BYTES_MAX];
        while Instant::now() < until && is_collector(pid) {
            if let Ok(len) = self.0.recv(&mut bytes) {
                return Some(String::from_utf8_lossy(&bytes[..len]).into_owned());
            }
        }
        None
    }
}

/// How long `weir reload` waits for the answer: as long as a sink may take for its last rows, and a little more.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// `weir reload`: asks a running weir, and returns its answer, or `None` if it gives none in time.
///
/// # Errors
/// When there is none, or more than one, or it cannot be asked.
pub fn ask(pid: Option<u32>) -> Result<(u32, Option<String>)> {
    let pid = match pid {
        Some(pid) => pid,
        None => the_running_one()?,
    };
    let answer = Answer::listen();
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let raw = raw.with_context(|| format!("{pid} is no id of a process"))?;
    kill_process(raw, Signal::HUP).with_context(|| format!("ask process {pid}"))?;
    Ok((pid, answer.and_then(|answer| answer.wait(pid, ANSWER_WAIT))))
}

fn the_running_one() -> Result<u32> {
    let pids: Vec<u32> = fs::read_dir("/proc")
        .context("list the processes")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id() && is_collector(*pid))
        .collect();
    match pids[..] {
        [pid] => Ok(pid),
        [] => bail!("no `weir run` is running here"),
        _ => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            Err(anyhow!("more than one `weir run` is running: name one of {}", pids.join(", ")))
        }
    }
}

fn is_collector(pid: u32) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut arguments = arguments.split(|byte| *byte == 0);
    let program = arguments.next().unwrap_or_default();
    let name = program.rsplit(|byte| *byte == b'/').next();
    name == Some(b"weir") && arguments.next() == Some(b"run")
}

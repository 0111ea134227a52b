//! A daemon: its process, and its log in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const POLL: Duration = Duration::from_millis(100);
const STOP_MAX: Duration = Duration::from_secs(20);
/// Bytes of the log's end that an error shows.
const LOG_SHOWN: usize = 2000;

/// Runs until it is stopped or dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    pub fn start(command: &mut Command, name: &str, dir: &Path) -> Result<Server> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Server { child, log })
    }

    /// Until `ready` succeeds.
    pub fn wait(&mut self, max: Duration, ready: impl Fn() -> Result<()>) -> Result<()> {
        let end = Instant::now() + max;
        loop {
            let Err(error) = ready() else { return Ok(()) };
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > end {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("{error:#}; ended: {ended:?}; its log: {}", end_of(&log, LOG_SHOWN));
            }
            sleep(POLL);
        }
    }

    /// Asks it to end, and ends it if it does not.
    pub fn stop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let end = Instant::now() + STOP_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            sleep(POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// At most so many bytes from the end of a text.
fn end_of(text: &str, bytes_max: usize) -> &str {
    let first = text.len().saturating_sub(bytes_max);
    let start = (first..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[start.unwrap_or(text.len())..]
}

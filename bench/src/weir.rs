//! The real program under measurement.

use std::env;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The release binary, built beside this one, or `WEIR_BIN`.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("WEIR_BIN") {
        return Ok(path.into());
    }
    let own = env::current_exe().context("find this program")?;
    let path = own.with_file_name("weir");
    ensure!(path.exists(), "no {}: build it with `cargo build --release -p weir-collector`", path.display());
    Ok(path)
}

/// The final ledger of a run.
pub struct Ledger(pub Value);

impl Ledger {
    /// Rows of a class that the first sink made durable.
    pub fn rows_of(&self, class: &str) -> u64 {
        self.0["sinks"][0]["classes"][class]["rows_delivered"].as_u64().unwrap_or(0)
    }
}

/// Runs weir to its end and returns the ledger.
pub fn run(args: &[&str]) -> Result<Ledger> {
    let dir = tempfile::tempdir()?;
    let report = dir.path().join("report.json");
    let at = args.iter().position(|a| *a == "--").unwrap_or(args.len());
    let output = Command::new(binary()?)
        .args(&args[..at])
        .arg("--report")
        .arg(&report)
        .args(&args[at..])
        .stdout(Stdio::null())
        .output()
        .context("run weir")?;
    let text = std::fs::read_to_string(&report)
        .with_context(|| format!("no ledger: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(Ledger(serde_json::from_str(&text)?))
}

/// Starts weir and leaves it running.
pub fn start(args: &[&str], stdout: Stdio) -> Result<Child> {
    Command::new(binary()?).args(args).stdout(stdout).stderr(Stdio::null()).spawn().context("start weir")
}

/// The program, to be given arguments.
pub fn command() -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// Starts what [`command`] gave.
pub fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().context("start weir")
}

/// An address of this machine that nobody listens at.
pub fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.to_string())
}

/// A running weir whose probes would outlive it.
pub struct Durable {
    child: Option<Child>,
    spool: PathBuf,
}

impl Durable {
    /// Starts `weir run` with these arguments and this spool.
    pub fn start(spool: &Path, command: &mut Command) -> Result<Durable> {
        // What it says of its brokers, and why if it does not start.
        command.stderr(Stdio::inherit());
        command.args(["--durability", "crash", "--spool"]).arg(spool);
        Ok(Durable { child: Some(spawn(command)?), spool: spool.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Asks it to stop, which detaches the probes, and waits for it.
    pub fn stop(mut self) -> Result<()> {
        self.child.take().map_or(Ok(()), stop)
    }
}

/// A measurement that failed leaves nothing attached.
impl Drop for Durable {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
        if let Ok(mut detach) = command() {
            let _ = detach.args(["detach", "--durability", "crash", "--spool"]).arg(&self.spool).status();
        }
    }
}

/// CPU time, user and system, of the children that were waited for, seconds.
pub fn children_cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    cpu_ticks(&stat, 13).map(in_seconds).context("no times in /proc/self/stat")
}

/// Asks a running weir to stop and waits for it.
pub fn stop(mut child: Child) -> Result<()> {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).context("stop weir")?;
    child.wait().context("wait for weir")?;
    Ok(())
}

/// A field of `/proc/PID/status`, in KiB.
pub fn status_kib(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// User and system time of a process, seconds.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    cpu_ticks(&stat, 11).map(in_seconds)
}

/// Two fields that follow each other, user and system time, counted from behind the name.
fn cpu_ticks(stat: &str, at: usize) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(at)?.parse::<f64>().ok()? + fields.get(at + 1)?.parse::<f64>().ok()?)
}

fn in_seconds(ticks: f64) -> f64 {
    ticks / rustix::param::clock_ticks_per_second() as f64
}

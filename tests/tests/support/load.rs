//! Loads that count their own calls (`load.c`), built by the system's compiler.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rustix::process::{Signal, kill_process_group};
use serde_json::Value;

use super::program::{Running, command, run, start};

/// More workers than any test starts.
const WORKERS_MAX: usize = 16;

/// The built load in a directory that it opens its files in.
pub struct Load {
    dir: PathBuf,
    result: PathBuf,
}

/// How much of what.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Processes that open and close files.
    pub openers: u32,
    /// Processes that fork and execute.
    pub stormers: u32,
    /// When it ends at the latest.
    pub seconds: f64,
    /// Calls of each process.
    pub calls: u64,
    /// Pause between calls.
    pub pause_us: u32,
}

/// What the load says that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    pub opens: u64,
    pub forks: u64,
    pub execs: u64,
    pub exits: u64,
}

/// A load in the background, which ends with its test.
pub struct Background(Option<Running>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(load) = self.0.take() {
            let _ = kill_process_group(load.pid(), Signal::KILL);
            let _ = load.wait();
        }
    }
}

/// Builds a C program that needs no loader.
pub fn cc_static(source: &Path, program: &Path) {
    run(command("cc").args(["-O2", "-Wall", "-static", "-o"]).arg(program).arg(source)).expect_code(0);
}

impl Load {
    /// Builds the load below `scratch`.
    pub fn build(scratch: &Path) -> Load {
        let dir = scratch.join("load");
        fs::create_dir(&dir).expect("a directory for the load");
        let source = scratch.join("load.c");
        fs::write(&source, include_str!("load.c")).expect("the load's source");
        cc_static(&source, &dir.join("load"));
        for n in 0..WORKERS_MAX {
            fs::write(dir.join(format!("there-{n}")), "").expect("a file to open");
        }
        Load { dir, result: scratch.join("load.json") }
    }

    /// The command line.
    pub fn command(&self, shape: Shape) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        vec![
            text(&self.dir.join("load")),
            text(&self.dir),
            text(&self.result),
            shape.openers.to_string(),
            shape.stormers.to_string(),
            shape.seconds.to_string(),
            shape.calls.to_string(),
            shape.pause_us.to_string(),
        ]
    }

    /// Starts it in the background.
    pub fn start(&self, shape: Shape) -> Background {
        let line = self.command(shape);
        Background(Some(start(command(&line[0]).args(&line[1..]).process_group(0))))
    }

    /// What it did, when it has ended.
    pub fn made(&self) -> Made {
        let text = fs::read(&self.result).expect("the load's counts");
        let counts: Value = serde_json::from_slice(&text).expect("the load's counts as JSON");
        let count = |name: &str| counts[name].as_u64().expect("a count");
        Made { opens: count("opens"), forks: count("forks"), execs: count("execs"), exits: count("exits") }
    }
}

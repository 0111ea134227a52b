//! A `weir run` that goes on while the test acts: rows are read as they come.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::capture::{Row, text, weir};

/// How long a row may take to come, with the start of `weir` in a slow machine before it.
const WAIT_MAX: Duration = crate::wait::LIMIT;
/// How often the rows that have come are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running `weir`.
pub struct Live {
    child: Child,
    rows: Arc<Mutex<Vec<Row>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Live {
    /// Starts `weir run --stdout json FLAGS`.
    pub fn start(flags: &[&str]) -> Live {
        let mut child = Command::new(weir())
            .args(["run", "--stdout", "json", "--status", "never"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("weir starts");
        let rows = Arc::new(Mutex::new(vec![]));
        let (lines, to) = (BufReader::new(child.stdout.take().expect("a pipe")), rows.clone());
        let reader = std::thread::spawn(move || {
            for line in lines.lines() {
                let row = serde_json::from_str(&line.expect("UTF-8")).expect("a JSON object");
                to.lock().expect("rows").push(row);
            }
        });
        Live { child, rows, reader: Some(reader) }
    }

    /// Process id.
    pub fn pid(&self) -> i64 {
        i64::from(self.child.id())
    }

    /// Waits until it sees what happens; it must record opens.
    pub fn until_it_sees(&mut self) {
        let path = "/no/such/begin";
        self.until(|| drop(std::fs::File::open(path)), |row| text(row, "path") == path);
    }

    /// Acts again and again until such a row has come.
    pub fn until(&mut self, mut act: impl FnMut(), is_it: impl Fn(&Row) -> bool) {
        let started = Instant::now();
        while !self.rows.lock().expect("rows").iter().any(&is_it) {
            assert!(started.elapsed() < WAIT_MAX, "no such row has come");
            assert!(self.child.try_wait().expect("a child").is_none(), "weir has ended");
            act();
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Stops it in order and returns all rows.
    pub fn stop(mut self) -> Vec<Row> {
        let signalled = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("kill");
        assert!(signalled.success(), "weir was there");
        assert!(self.child.wait().expect("a child").success(), "an ordered stop");
        self.reader.take().expect("stopped once").join().expect("every line was a row");
        std::mem::take(&mut self.rows.lock().expect("rows"))
    }
}

/// A test that failed leaves no collector behind.
impl Drop for Live {
    fn drop(&mut self) {
        if self.reader.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A program outside that acts when it is told to.
pub struct Obedient {
    child: Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Obedient {
    /// Starts it.
    pub fn start(program: &str) -> Obedient {
        let mut child = Command::new(program)
            .arg("obey")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the trigger starts");
        let answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Obedient { child, answers }
    }

    /// Process id.
    pub fn pid(&self) -> i64 {
        i64::from(self.child.id())
    }

    /// The label of its attempts: other tests have such programs at the same time.
    pub fn label(&self, what: &str) -> String {
        format!("{what}-{}", self.pid())
    }

    /// Tells it to make its attempts with [`Obedient::label`], and waits until it has.
    pub fn act(&mut self, what: &str) {
        let label = self.label(what);
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{label}").expect("it listens");
        assert_eq!(self.answers.next().expect("an answer").expect("UTF-8"), label);
    }
}

impl Drop for Obedient {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

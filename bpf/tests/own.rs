//! Which processes are the collector's own: this one stands for it. Needs root.

mod capture;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use capture::Capture;
use weir_bpf::Filters;

const OPEN: u16 = 0x0201;
/// Children that have a place at once.
const PLACES: usize = 15;

/// A shell that opens what it is told to.
struct Shell {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Shell {
    fn start() -> Shell {
        let mut child =
            Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("sh");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Shell { child, answers }
    }

    /// Runs this in the shell and waits until it is done.
    fn run(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "{line}; echo").expect("it listens");
        self.answers.read_line(&mut String::new()).expect("it answers");
    }

    fn open(&mut self, label: &str) {
        self.run(&format!("true < {}", path(label)));
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn path(label: &str) -> String {
    format!("/no/such/own/{}-{label}", std::process::id())
}

/// Which of these labels were opened by somebody who is recorded.
fn recorded(capture: &mut Capture, labels: &[&str]) -> Vec<String> {
    let paths: BTreeSet<String> = capture.drain().iter().map(|row| row.text("path_raw").to_owned()).collect();
    labels.iter().filter(|label| paths.contains(&path(label))).map(|label| (*label).to_owned()).collect()
}

fn collector() -> Capture {
    Capture::with(&[OPEN], Filters::default())
}

/// One test, because the process is one collector.
#[test]
fn the_collector_and_its_children_are_left_out_and_nobody_else() {
    let mut command = Shell::start();
    let mut capture = collector();
    let mut child = Shell::start();
    let _ = std::fs::File::open(path("self"));
    child.open("child");
    child.run(&format!("sh -c 'true < {}'", path("grandchild")));
    command.open("command");
    let labels = ["self", "child", "grandchild", "command"];
    assert_eq!(recorded(&mut capture, &labels), ["grandchild", "command"], "a command is older than the programs");

    capture.loaded().exclude_process(command.child.id()).expect("it is there");
    command.open("excluded");
    command.run(&format!("sh -c 'true < {}'", path("of-excluded")));
    child.open("child");
    assert_eq!(recorded(&mut capture, &["excluded", "of-excluded", "child"]), ["of-excluded"]);

    drop((command, child));
    for _ in 0..2 * PLACES {
        Shell::start().open("one-of-many");
    }
    assert!(recorded(&mut capture, &["one-of-many"]).is_empty(), "a place is free again when its child has ended");

    let mut children: Vec<Shell> = (0..PLACES).map(|_| Shell::start()).collect();
    let mut beyond = Shell::start();
    children.iter_mut().for_each(|child| child.open("in-the-table"));
    beyond.open("beyond");
    assert_eq!(recorded(&mut capture, &["in-the-table", "beyond"]), ["beyond"], "more than is hidden is told");
}

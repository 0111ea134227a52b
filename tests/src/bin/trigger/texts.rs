//! Processes that start themselves again and again, with an argument that is as long as an argument record is.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Bytes of the argument.
const BYTES: usize = 32_000;

/// What the argument is made of, by name.
const KINDS: &[(&str, &[u8])] =
    &[("letters", b"a"), ("invalid", b"\xff"), ("newlines", b"\n"), ("wide", "漢".as_bytes())];

fn again(left: usize, child: &str, argument: OsString) -> std::io::Error {
    let program = std::env::current_exe().expect("own path");
    Command::new(program).args(["again", &left.to_string(), child]).arg(argument).exec()
}

/// `texts KIND CHILDREN EXECS`: so many children, each of which executes so often.
pub fn run(kind: &str, children: usize, execs: usize) {
    let (_, piece) = KINDS.iter().find(|(name, _)| *name == kind).expect("a kind");
    let argument = OsString::from_vec(piece.repeat(BYTES / piece.len()));
    let program = std::env::current_exe().expect("own path");
    let start = |child: usize| {
        let mut command = Command::new(&program);
        command.args(["again", &(execs - 1).to_string(), &child.to_string()]).arg(&argument);
        command.spawn().expect("a child")
    };
    let children: Vec<_> = (0..children).map(start).collect();
    for mut child in children {
        assert!(child.wait().expect("the child's end").success());
    }
}

/// `again LEFT CHILD ARGUMENT`: the next one, unless it was the last.
pub fn go_on() {
    let mut arguments = std::env::args_os().skip(2);
    let mut next = || arguments.next().expect("an argument");
    let (left, child, argument) = (next(), next(), next());
    let left: usize = left.to_str().and_then(|left| left.parse().ok()).expect("a number");
    if left > 0 {
        let error = again(left - 1, child.to_str().expect("a number"), argument);
        panic!("execute again: {error}");
    }
}

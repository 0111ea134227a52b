//! Does what the kernel test asserts: `trigger WHAT` acts, and writes down what really happened.

mod call;
mod exec;
mod facts;
mod file;
mod flags;
mod kernel;
mod labels;
mod memory;
mod network;
mod open;
mod process;
mod rules;
mod storm;
mod syscall;
mod texts;
mod trapped;
mod words;

/// Everything that has a name.
const TRIGGERS: &[(&str, fn())] = &[
    ("process", process::run),
    ("file", file::run),
    ("network", network::run),
    ("memory", memory::run),
    ("kernel", kernel::run),
    ("syscall", syscall::run),
    ("unnamed", syscall::run_unnamed),
    ("rules", rules::run),
    ("flags", flags::run),
];

fn main() {
    let names: Vec<String> = std::env::args_os().skip(1).map(|name| name.to_string_lossy().into_owned()).collect();
    match names.first().map(String::as_str) {
        Some("nothing") => return,
        Some("fresh") => return rules::open_fresh(),
        Some("labels") => return labels::run(),
        Some("obey") => return labels::obey(),
        Some("again") => return texts::go_on(),
        Some("texts") => {
            let number = |text: &str| text.parse().expect("a number");
            return texts::run(&names[1], number(&names[2]), number(&names[3]));
        }
        Some("as") => return exec::as_user(names[1].parse().expect("a user's number"), &names[2..]),
        Some("storm") => return storm::run(names[1].parse().expect("a number of children")),
        _ => (),
    }
    facts::begin();
    for name in names {
        let found = TRIGGERS.iter().find(|(n, _)| *n == name);
        found.unwrap_or_else(|| panic!("no trigger {name}")).1();
    }
}

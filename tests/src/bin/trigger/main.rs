//! Does what the kernel test asserts: `trigger WHAT` acts, and writes down what really happened.

mod call;
mod facts;
mod file;
mod kernel;
mod memory;
mod network;
mod process;
mod syscall;

/// Everything that has a name.
const TRIGGERS: &[(&str, fn())] = &[
    ("process", process::run),
    ("file", file::run),
    ("network", network::run),
    ("memory", memory::run),
    ("kernel", kernel::run),
    ("syscall", syscall::run),
];

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.first().is_some_and(|n| n == "nothing") {
        return;
    }
    facts::begin();
    for name in names {
        let found = TRIGGERS.iter().find(|(n, _)| *n == name);
        found.unwrap_or_else(|| panic!("no trigger {name}")).1();
    }
}

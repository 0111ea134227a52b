//! What the threads of this process may do, as the kernel says it.

use std::collections::BTreeMap;
use std::fs;

use caps::Capability;
use serde_json::{Value, json};

/// Rights of one thread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadRights {
    /// Name of the thread.
    pub name: String,
    /// What it could use: permitted capabilities, by name without `CAP_`.
    pub capabilities: Vec<String>,
    /// It can gain nothing by an exec.
    pub no_new_privs: bool,
    /// A filter decides about its system calls.
    pub seccomp: bool,
}

/// Every thread of this process.
pub fn threads() -> Vec<ThreadRights> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok()).map(|text| parse(&text)).collect()
}

fn parse(status: &str) -> ThreadRights {
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    };
    ThreadRights {
        name: value("Name").to_owned(),
        capabilities: names(u64::from_str_radix(value("CapPrm"), 16).unwrap_or(0)),
        no_new_privs: value("NoNewPrivs") == "1",
        seccomp: value("Seccomp") == "2",
    }
}

/// Names of the capabilities of a set; numbers of those that this program does not know.
fn names(bits: u64) -> Vec<String> {
    let known = |bit: u8| caps::all().into_iter().find(|capability: &Capability| capability.index() == bit);
    let name =
        |bit: u8| known(bit).map_or_else(|| bit.to_string(), |c| c.to_string().trim_start_matches("CAP_").to_owned());
    (0..64).filter(|bit| bits >> bit & 1 == 1).map(name).collect()
}

/// For the status: threads of the same name and rights are one entry with their number.
pub fn threads_json() -> Value {
    let mut groups: BTreeMap<ThreadRights, usize> = BTreeMap::new();
    threads().into_iter().for_each(|thread| *groups.entry(thread).or_default() += 1);
    let entry = |(rights, count): (ThreadRights, usize)| {
        json!({
            "thread": rights.name, "count": count, "capabilities": rights.capabilities,
            "no_new_privs": rights.no_new_privs, "seccomp": rights.seccomp,
        })
    };
    groups.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_of_a_thread_are_read_from_the_kernels_text() {
        let text = "Name:\thttp\nUmask:\t0022\nCapInh:\t0\nCapPrm:\t0000008000000020\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let capabilities = vec!["KILL".to_owned(), "BPF".to_owned()];
        assert_eq!(parse(text), ThreadRights { name: "http".into(), capabilities, no_new_privs: true, seccomp: true });
        assert_eq!(names(1 << 63), ["63"]);
    }

    #[test]
    fn this_process_has_at_least_the_thread_that_asks() {
        let own = rustix::thread::name().expect("a name");
        assert!(threads().iter().any(|thread| own.to_str() == Ok(thread.name.as_str())));
    }
}

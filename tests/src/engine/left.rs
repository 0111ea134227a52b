//! What an engine may leave behind, recognised by its folder's name, which no other process has.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

const GROUP_TRIES: usize = 50;
const GROUP_PAUSE: Duration = Duration::from_millis(20);

/// Ends the shims that serve this folder's containerd, and what runs under them.
pub fn end_shims(dir: &Path) {
    let processes = processes();
    let address = dir.join("containerd.sock");
    let shims = processes.iter().filter(|process| process.serves(&address.to_string_lossy()));
    let mut ending: Vec<u32> = shims.map(|shim| shim.pid).collect();
    let mut next = 0;
    while let Some(parent) = ending.get(next).copied() {
        ending.extend(processes.iter().filter(|process| process.parent == parent).map(|process| process.pid));
        next += 1;
    }
    // First the shims, else they would report what they lose.
    for pid in ending {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
}

/// Unmounts whatever is mounted below a folder.
pub fn unmount(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let below: Vec<&Path> = points.filter(|point| point.starts_with(dir)).collect();
    for point in below.into_iter().rev() {
        let _ = Command::new("umount").arg("--lazy").arg(point).status();
    }
}

/// Ids of containers that containerd still has on its list.
pub fn containers(dir: &Path) -> Vec<OsString> {
    let tasks = dir.join("containerd/state/io.containerd.runtime.v2.task");
    let namespaces = folders(&tasks).into_iter();
    namespaces.flat_map(|namespace| folders(&namespace)).filter_map(|task| Some(task.file_name()?.to_owned())).collect()
}

/// Removes the control groups that are named after ended containers.
pub fn remove_groups(containers: &[OsString]) {
    let mut ways = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(group) = ways.pop() {
        if group.file_name().is_some_and(|name| containers.iter().any(|id| id == name)) {
            remove_group(&group);
        } else if !containers.is_empty() {
            ways.extend(folders(&group));
        }
    }
}

/// What was killed leaves its group a moment later.
fn remove_group(group: &Path) {
    for _ in 0..GROUP_TRIES {
        if fs::remove_dir(group).is_ok() {
            return;
        }
        sleep(GROUP_PAUSE);
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

struct Process {
    pid: u32,
    parent: u32,
    arguments: Vec<u8>,
}

impl Process {
    fn read(pid: u32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may have anything in it: the state, then the parent.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(Process { pid, parent, arguments })
    }

    fn serves(&self, address: &str) -> bool {
        let mut arguments = self.arguments.split(|byte| *byte == 0);
        let shim = arguments.next().is_some_and(|name| String::from_utf8_lossy(name).contains("containerd-shim"));
        shim && arguments.any(|argument| argument == address.as_bytes())
    }
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Process::read).collect()
}

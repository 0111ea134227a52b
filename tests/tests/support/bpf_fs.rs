//! The BPF file system, where programs outlive a collector.

use std::fs;

use super::program::{command, run};
use super::skip::skip;

/// Whether it is there; mounted if it is not.
pub fn has_bpf_fs(what: &str) -> bool {
    let is_there = || fs::read_to_string("/proc/mounts").is_ok_and(|m| m.contains(" /sys/fs/bpf bpf "));
    if !is_there() {
        run(command("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"]));
    }
    if !is_there() {
        skip(what, "no BPF file system can be mounted on /sys/fs/bpf");
    }
    is_there()
}

//! The machine's own name, also from inside a container.

use std::fs;

use super::{HostError, read_line};

/// Inode of the initial UTS namespace (`PROC_UTS_INIT_INO`).
const INITIAL_UTS: &str = "uts:[4026531838]";

/// How the name was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeSource {
    /// weir is in the machine's own UTS namespace.
    Own,
    /// From the files of process 1, which is in another UTS namespace.
    Init,
    /// weir is in a container and cannot see the machine's name: configure `host`.
    Container,
}

/// Name of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The name.
    pub name: String,
    /// How it was found.
    pub source: NodeSource,
}

pub(super) fn read() -> Result<Node, HostError> {
    let own = read_line("/proc/sys/kernel/hostname")?;
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/uts")).ok();
    let mine = namespace("self");
    if mine.as_ref().is_some_and(|link| link.as_os_str() == INITIAL_UTS) {
        return Ok(Node { name: own, source: NodeSource::Own });
    }
    let of_init = read_line("/proc/1/root/etc/hostname").ok().filter(|name| !name.is_empty());
    Ok(match of_init {
        Some(name) if namespace("1") != mine => Node { name, source: NodeSource::Init },
        _ => Node { name: own, source: NodeSource::Container },
    })
}

//! What this machine offers: facts only, read once at start. What follows from them is decided elsewhere
//! ([`crate::requirements`], and the plan of the probes).

pub mod clock;
mod cpus;
mod hierarchy;
mod kernel;
mod mounts;
mod node;
mod process;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use thiserror::Error;

pub use cpus::{Cpus, parse_cpu_list};
pub use hierarchy::{Hierarchy, Listed, cgroups_below};
pub use kernel::Release;
pub use mounts::Mounts;
pub use node::{Node, NodeSource};
pub use process::Caller;

/// The kernel's type information.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";

/// A fact that weir cannot do without could not be read.
#[derive(Debug, Error)]
pub enum HostError {
    /// A file of `/proc` or `/sys`.
    #[error("read {path}: {source}; is /proc mounted, and /sys?")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file has another form than the kernel gives it.
    #[error("{path} has `{text}`, which is not the form that Linux writes")]
    Form {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
}

/// The facts.
#[derive(Debug, Clone)]
pub struct Host {
    /// Release of the running kernel.
    pub kernel: Release,
    /// The kernel has type information at [`BTF`], and it can be read.
    pub btf: bool,
    /// Where tracefs, bpffs and cgroup v2 are mounted.
    pub mounts: Mounts,
    /// Where containers have their cgroups.
    pub containers: Hierarchy,
    /// CPUs that are online and possible.
    pub cpus: Cpus,
    /// Effective capabilities.
    pub capabilities: CapsHashSet,
    /// This boot (column `boot_id`).
    pub boot_id: String,
    /// The machine's own name (column `host`, if none is configured).
    pub node: Node,
    /// weir is in the initial pid namespace: the pids of the kernel are those that it sees.
    pub pid_namespace_is_initial: bool,
    /// What the time namespace adds to CLOCK_BOOTTIME, ns; the probes do not see it.
    pub boottime_offset_ns: i64,
    /// Mode of kernel lockdown (`none`, `integrity`, `confidentiality`), where the kernel has it.
    pub lockdown: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u8>,
    /// Limit of locked memory, bytes; `None` is no limit. Kernels from 5.11 charge maps to the cgroup instead.
    pub memlock_bytes_max: Option<u64>,
    /// Who called sudo.
    pub caller: Option<Caller>,
}

impl Host {
    /// Reads every fact.
    ///
    /// # Errors
    /// When `/proc` or `/sys` are not those of Linux; what a kernel can lack is a fact, not an error.
    pub fn read() -> Result<Host, HostError> {
        let release = read_line("/proc/sys/kernel/osrelease")?;
        let mounts = Mounts::parse(&read_line("/proc/self/mounts")?);
        Ok(Host {
            kernel: Release::parse(&release).ok_or_else(|| form("/proc/sys/kernel/osrelease", &release))?,
            btf: fs::File::open(BTF).is_ok(),
            containers: Hierarchy::read(&mounts),
            mounts,
            cpus: Cpus::read()?,
            capabilities: caps::read(None, CapSet::Effective).unwrap_or_default(),
            boot_id: read_line("/proc/sys/kernel/random/boot_id")?,
            node: node::read()?,
            pid_namespace_is_initial: process::pid_namespace_is_initial(),
            boottime_offset_ns: clock::namespace_offset_ns(),
            lockdown: process::lockdown(),
            unprivileged_bpf_disabled: optional("/proc/sys/kernel/unprivileged_bpf_disabled")
                .and_then(|text| text.parse().ok()),
            memlock_bytes_max: process::memlock_bytes_max(),
            caller: Caller::of_process(),
        })
    }

    /// Whether a capability is effective.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// The text of a small file without the line end.
fn read_line(path: impl AsRef<Path>) -> Result<String, HostError> {
    let path = path.as_ref();
    let text = fs::read(path).map_err(|source| HostError::Read { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

/// The same for what may be absent.
fn optional(path: &str) -> Option<String> {
    read_line(path).ok()
}

fn form(path: impl AsRef<Path>, text: &str) -> HostError {
    HostError::Form { path: path.as_ref().to_owned(), text: crate::terminal::escape(text).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_this_machine_can_be_read() {
        let host = Host::read().expect("a Linux machine");
        assert!(!host.cpus.online.is_empty());
        assert!(host.cpus.online.iter().all(|cpu| host.cpus.possible.contains(cpu)));
        assert_eq!(host.boot_id.len(), 36, "{}", host.boot_id);
        assert!(!host.node.name.is_empty());
    }
}

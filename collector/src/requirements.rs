//! What weir needs from a machine, and what it loses without: decisions from the facts of [`Host`], one finding each.

use caps::Capability::{self, CAP_BPF, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE};
use serde::Serialize;
use weir_bpf::ContainerHierarchy;

use crate::host::{BTF, Host, NodeSource};

/// Oldest kernel, by the features that every path needs.
pub const KERNEL_MIN: (u32, u32) = (5, 15);

/// CPUs that the probes have counters for.
pub const CPUS_MAX: usize = 1024;

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// weir runs, and something is missing.
    Lesser,
    /// weir cannot run.
    Refused,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// What it means.
    pub level: Level,
    /// What was found; with [`Level::Lesser`], what is lost.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn good(name: &'static str, found: impl Into<String>) -> Finding {
        Finding { name, level: Level::Good, found: found.into(), advice: None }
    }

    fn lesser(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { name, level: Level::Lesser, found: found.into(), advice: Some(advice.into()) }
    }

    fn refused(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { level: Level::Refused, ..Finding::lesser(name, found, advice) }
    }

    /// The finding as one line.
    pub fn line(&self) -> String {
        let advice = self.advice.as_ref().map_or_else(String::new, |advice| format!("; {advice}"));
        format!("{}: {}{advice}", self.name, self.found)
    }
}

/// Everything that was looked at, in the order of the report.
pub fn findings(host: &Host) -> Vec<Finding> {
    vec![
        kernel(host),
        architecture(std::env::consts::ARCH),
        btf(host),
        capabilities(host),
        sockets(host),
        processes(host),
        lockdown(host),
        time_namespace(host),
        pid_namespace(host),
        cgroups(host),
        containers(host),
        tracefs(host),
        bpffs(host),
        cpus(host),
        node(host),
    ]
}

/// Why weir cannot run here: one line for each reason, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Unfit(pub Vec<String>);

/// Whether weir can run here at all.
///
/// # Errors
/// Every reason why it cannot.
pub fn check(host: &Host) -> Result<(), Unfit> {
    let refused: Vec<String> =
        findings(host).iter().filter(|finding| finding.level == Level::Refused).map(Finding::line).collect();
    if refused.is_empty() { Ok(()) } else { Err(Unfit(refused)) }
}

fn kernel(host: &Host) -> Finding {
    let release = format!("Linux {}", host.kernel);
    if host.kernel.version >= KERNEL_MIN {
        return Finding::good("kernel", release);
    }
    let (major, minor) = KERNEL_MIN;
    Finding::refused(
        "kernel",
        format!("{release} is older than {major}.{minor}"),
        format!("boot {major}.{minor} or newer"),
    )
}

fn architecture(name: &str) -> Finding {
    match name {
        "x86_64" => Finding::good("architecture", name),
        "aarch64" => Finding::lesser("architecture", "aarch64 compiles and is unproven", "report what you see"),
        other => Finding::refused("architecture", format!("{other} has no tables"), "use x86_64 or aarch64"),
    }
}

fn btf(host: &Host) -> Finding {
    if host.btf {
        return Finding::good("type information", BTF);
    }
    let advice = "use a kernel with CONFIG_DEBUG_INFO_BTF=y; in a container, mount /sys/kernel/btf from the host";
    Finding::refused("type information", format!("{BTF} is missing or cannot be read"), advice)
}

fn short(capability: Capability) -> String {
    capability.to_string().trim_start_matches("CAP_").to_owned()
}

fn capabilities(host: &Host) -> Finding {
    let missing: Vec<Capability> = [CAP_BPF, CAP_PERFMON].into_iter().filter(|c| !host.can(*c)).collect();
    if missing.is_empty() {
        return Finding::good("capabilities", "CAP_BPF and CAP_PERFMON");
    }
    if host.can(CAP_SYS_ADMIN) {
        return Finding::good("capabilities", "CAP_SYS_ADMIN");
    }
    let names = missing.iter().map(Capability::to_string).collect::<Vec<_>>().join(" and ");
    Finding::refused("capabilities", format!("{names} missing"), grant())
}

/// How to grant everything that weir can use.
fn grant() -> String {
    let all = [CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH];
    let file = all.map(|c| c.to_string().to_lowercase()).join(",");
    let docker = all.map(|c| format!("--cap-add {}", short(c))).join(" ");
    format!(
        "run weir with sudo, or once `sudo setcap {file}+ep $(command -v weir)`, or `docker run --pid host {docker}`"
    )
}

fn sockets(host: &Host) -> Finding {
    if host.can(CAP_NET_ADMIN) || host.can(CAP_SYS_ADMIN) {
        return Finding::good("sockets", "CAP_NET_ADMIN");
    }
    Finding::lesser(
        "sockets",
        "without CAP_NET_ADMIN, closes of sockets that are not TCP are not seen",
        "grant CAP_NET_ADMIN",
    )
}

fn processes(host: &Host) -> Finding {
    let missing: Vec<String> = [CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH]
        .into_iter()
        .filter(|capability| !host.can(*capability))
        .map(|capability| capability.to_string())
        .collect();
    if missing.is_empty() {
        return Finding::good("processes", "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
    }
    let names = missing.join(" and ");
    let lost = format!("without {names}, programs of other users that run already may lack `exe` and `cmdline`");
    Finding::lesser("processes", lost, format!("grant {names}"))
}

fn lockdown(host: &Host) -> Finding {
    match host.lockdown.as_deref() {
        Some("confidentiality") => Finding::refused(
            "lockdown",
            "the kernel is locked down (confidentiality): probes may not read its memory",
            "boot with lockdown=integrity or none",
        ),
        Some(mode) => Finding::good("lockdown", mode),
        None => Finding::good("lockdown", "none"),
    }
}

fn time_namespace(host: &Host) -> Finding {
    if host.boottime_offset_ns == 0 {
        return Finding::good("time namespace", "no offset");
    }
    Finding::refused(
        "time namespace",
        format!(
            "CLOCK_BOOTTIME is {} ns off the kernel's own: events could not be put in order",
            host.boottime_offset_ns
        ),
        "run weir outside of the time namespace",
    )
}

fn pid_namespace(host: &Host) -> Finding {
    if host.pid_namespace_is_initial {
        return Finding::good("pid namespace", "the host's");
    }
    let found = "weir sees other process ids than the host: columns have the host's, and so must --follow";
    Finding::lesser("pid namespace", found, "run the container with --pid host")
}

fn cgroups(host: &Host) -> Finding {
    match &host.mounts.cgroup2 {
        Some(path) => Finding::good("cgroup v2", path.display().to_string()),
        None => Finding::lesser(
            "cgroup v2",
            "not mounted: closes of sockets that are not TCP are not seen, and there are no filters by cgroup",
            "mkdir -p /run/cgroup2 && mount -t cgroup2 none /run/cgroup2",
        ),
    }
}

fn containers(host: &Host) -> Finding {
    let kind = match host.containers.kind {
        ContainerHierarchy::V2 => "cgroup v2",
        ContainerHierarchy::Pids(_) => "cgroup v1, controller pids",
        ContainerHierarchy::Memory(_) => "cgroup v1, controller memory",
    };
    match &host.containers.root {
        Some(root) => Finding::good("containers", format!("known by {kind} at {}", root.display())),
        None => Finding::lesser(
            "containers",
            format!("{kind} is not mounted here: containers that run already have no id"),
            "mount it; in a container, mount /sys/fs/cgroup from the host",
        ),
    }
}

/// Names and arguments of system calls come from weir's own tables, so tracefs is not needed.
fn tracefs(host: &Host) -> Finding {
    let found = host.mounts.tracefs.as_ref().map(|path| path.display().to_string());
    Finding::good("tracefs", found.unwrap_or_else(|| "not mounted, and not needed".to_owned()))
}

fn bpffs(host: &Host) -> Finding {
    let found = host.mounts.bpffs.as_ref().map(|path| path.display().to_string());
    Finding::good("bpffs", found.unwrap_or_else(|| "not mounted, and not needed".to_owned()))
}

fn cpus(host: &Host) -> Finding {
    let found = format!("{} online, {} possible", host.cpus.online.len(), host.cpus.possible.len());
    if host.cpus.places() <= CPUS_MAX {
        return Finding::good("CPUs", found);
    }
    let lost = format!("{found}: events on CPUs from {CPUS_MAX} on are not seen");
    Finding::lesser("CPUs", lost, format!("boot with possible_cpus={CPUS_MAX}"))
}

fn node(host: &Host) -> Finding {
    let name = crate::terminal::escape(&host.node.name);
    match host.node.source {
        NodeSource::Own => Finding::good("host", name),
        NodeSource::Init => Finding::good("host", format!("{name}, from process 1")),
        NodeSource::Container => Finding::lesser(
            "host",
            format!("{name} may be the name of a container"),
            "name the machine with --host, or run the container with --pid host and --uts host",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Cpus, Mounts, Node, Release};

    fn good_host() -> Host {
        Host {
            containers: crate::host::Hierarchy { kind: ContainerHierarchy::V2, root: Some("/c".into()) },
            kernel: Release { version: (6, 1), text: "6.1.0".into() },
            btf: true,
            mounts: Mounts { tracefs: Some("/t".into()), cgroup2: Some("/c".into()), ..Mounts::default() },
            cpus: Cpus { online: vec![0, 1], possible: vec![0, 1] },
            capabilities: [CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH].into(),
            boot_id: String::new(),
            node: Node { name: "n".into(), source: NodeSource::Own },
            pid_namespace_is_initial: true,
            boottime_offset_ns: 0,
            lockdown: None,
            unprivileged_bpf_disabled: Some(2),
            memlock_bytes_max: Some(65_536),
            caller: None,
        }
    }

    /// What differs from a good machine, and the finding that has to change with it.
    type Case = (&'static str, fn(&mut Host), Level, &'static str);

    const CASES: &[Case] = &[
        ("kernel", |h| h.kernel.version = (5, 14), Level::Refused, "boot 5.15 or newer"),
        ("kernel", |h| h.kernel.version = (5, 15), Level::Good, ""),
        ("type information", |h| h.btf = false, Level::Refused, "CONFIG_DEBUG_INFO_BTF"),
        ("capabilities", |h| h.capabilities.clear(), Level::Refused, "CAP_BPF and CAP_PERFMON missing"),
        ("capabilities", |h| h.capabilities = [CAP_BPF].into(), Level::Refused, "capabilities: CAP_PERFMON missing"),
        ("capabilities", |h| h.capabilities.clear(), Level::Refused, "--cap-add BPF --cap-add PERFMON"),
        ("capabilities", |h| h.capabilities.clear(), Level::Refused, "setcap cap_bpf,cap_perfmon,"),
        ("capabilities", |h| h.capabilities = [CAP_SYS_ADMIN].into(), Level::Good, "CAP_SYS_ADMIN"),
        ("sockets", |h| h.capabilities = [CAP_SYS_ADMIN].into(), Level::Good, ""),
        ("sockets", |h| h.capabilities = [CAP_BPF].into(), Level::Lesser, "CAP_NET_ADMIN"),
        ("processes", |h| h.capabilities = [CAP_SYS_PTRACE].into(), Level::Lesser, "without CAP_DAC_READ_SEARCH"),
        ("lockdown", |h| h.lockdown = Some("confidentiality".into()), Level::Refused, "lockdown=integrity"),
        ("lockdown", |h| h.lockdown = Some("integrity".into()), Level::Good, ""),
        ("time namespace", |h| h.boottime_offset_ns = -5, Level::Refused, "-5 ns"),
        ("pid namespace", |h| h.pid_namespace_is_initial = false, Level::Lesser, "--pid host"),
        ("cgroup v2", |h| h.mounts.cgroup2 = None, Level::Lesser, "mount -t cgroup2"),
        ("CPUs", |h| h.cpus.possible.push(1024), Level::Lesser, "possible_cpus=1024"),
        ("host", |h| h.node.source = NodeSource::Container, Level::Lesser, "--host"),
        ("host", |h| h.node.name = "a\x1b[2J".into(), Level::Good, "a\\x1b[2J"),
    ];

    #[test]
    fn each_fact_has_its_consequence_and_what_to_do() {
        assert_eq!(check(&good_host()), Ok(()));
        for (name, change, level, text) in CASES {
            let mut host = good_host();
            change(&mut host);
            let all = findings(&host);
            let finding = all.iter().find(|finding| finding.name == *name).expect(name);
            assert_eq!(finding.level, *level, "{finding:?}");
            assert!(finding.line().contains(text), "{finding:?}");
            assert_eq!(finding.advice.is_some(), *level != Level::Good, "{finding:?}");
            assert!(!finding.line().contains('\n'));
            assert_eq!(check(&host).is_ok(), all.iter().all(|f| f.level != Level::Refused));
        }
    }
}

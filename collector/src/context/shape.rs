//! Which cgroups are containers: the paths that runtimes give them.
//!
//! A container's id stands in one component of its path, alone or with the runtime's word before it. Several can stand in one
//! path where containers run in containers: the innermost counts.

/// What a component that ends in an id says of the runtime: the word before the id, and the runtime.
const PREFIXES: &[(&str, &str)] = &[
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
    ("libpod", "podman"),
    ("podman", "podman"),
    ("buildkit", "buildkit"),
];

/// A component above an id that stands alone, and the runtime.
const PARENTS: &[(&str, &str)] = &[
    ("docker", "docker"),
    ("actions_job", "docker"),
    ("libpod_parent", "podman"),
    ("buildkit", "buildkit"),
    ("ecs", "docker"),
    ("kubepods", "kubernetes"),
    ("besteffort", "kubernetes"),
    ("burstable", "kubernetes"),
    ("default", "containerd"),
    ("k8s.io", "containerd"),
    ("moby", "docker"),
];

/// Monitors of containers, which stand beside them.
const NOT_CONTAINERS: &[&str] = &["crio-conmon", "libpod-conmon", "conmon"];

/// What libvirt puts before the name of a virtual machine, which is no container.
const VIRTUAL_MACHINE: &str = "qemu\\x2d";

/// Hexadecimal digits of an id of the OCI runtimes.
const ID_CHARS: usize = 64;

/// Id and runtime of the container that a cgroup of this path belongs to; the innermost one.
pub fn container_of(path: &str) -> Option<(String, &'static str)> {
    let components = components(path);
    let found = (0..components.len()).rev().find_map(|i| of_component(&components[..=i]));
    found.map(|(id, runtime)| (unescape(id), runtime))
}

/// Whether the cgroup is the container's own, and not one below it.
pub fn is_own(path: &str) -> bool {
    of_component(&components(path)).is_some()
}

fn components(path: &str) -> Vec<&str> {
    path.split('/').filter(|c| !c.is_empty()).collect()
}

/// systemd writes what may not stand in a unit's name as `\xNN`.
fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = name_byte(rest);
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[4..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn name_byte(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"\\x")?.get(..2)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The container of the last component.
fn of_component<'a>(components: &[&'a str]) -> Option<(&'a str, &'static str)> {
    let (last, above) = components.split_last()?;
    machine(last, above).or_else(|| oci(last, above))
}

/// Whether it is an id of the OCI runtimes: others are names of machines.
pub fn is_oci_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `docker-<id>.scope`, `kubepods-...slice:cri-containerd:<id>`, `<id>`.
fn oci<'a>(last: &'a str, above: &[&str]) -> Option<(&'a str, &'static str)> {
    let last = last.strip_suffix(".scope").unwrap_or(last);
    let start = last.len().checked_sub(ID_CHARS)?;
    if !last.is_char_boundary(start) {
        return None;
    }
    let (before, id) = last.split_at(start);
    if !is_oci_id(id) {
        return None;
    }
    let word = before.trim_end_matches(['-', ':', '_']);
    if before.len() == word.len() && !word.is_empty() {
        return None;
    }
    let word = word.rsplit(':').next().unwrap_or(word);
    if NOT_CONTAINERS.contains(&word) {
        return None;
    }
    Some((id, runtime(word, above)))
}

fn runtime(word: &str, above: &[&str]) -> &'static str {
    let by_word = PREFIXES.iter().find(|(prefix, _)| *prefix == word);
    let by_parent = || above.iter().rev().find_map(|parent| PARENTS.iter().find(|(name, _)| parent_is(parent, name)));
    by_word.or_else(by_parent).map_or("unknown", |(_, runtime)| runtime)
}

/// `kubepods`, `kubepods.slice`, `pod<uid>` under it.
fn parent_is(component: &str, name: &str) -> bool {
    let component = component.strip_suffix(".slice").unwrap_or(component);
    component == name || (name == "kubepods" && component.starts_with("kubepods-"))
}

/// systemd-nspawn and LXC name their cgroups after the machine.
fn machine<'a>(last: &'a str, above: &[&str]) -> Option<(&'a str, &'static str)> {
    let named = |name: &'a str, runtime| (!name.is_empty()).then_some((name, runtime));
    if let Some(name) = last.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service")) {
        return named(name, "systemd-nspawn");
    }
    let in_machines = above.last().is_some_and(|parent| *parent == "machine.slice");
    if let Some(name) = last.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope"))
        && in_machines
        && !name.starts_with(VIRTUAL_MACHINE)
    {
        return named(name, "systemd-nspawn");
    }
    if let Some(name) = last.strip_prefix("lxc.payload.") {
        return named(name, "lxc");
    }
    let in_lxc = above.last().is_some_and(|parent| *parent == "lxc");
    (in_lxc && above.len() == 1).then(|| named(last, "lxc")).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    /// Paths with `ID` and `OTHER` in them, and what they are.
    const SHAPES: &[(&str, Option<(&str, &str)>)] = &[
        // Docker: cgroupfs and systemd drivers, v1 and v2, with a cgroup of its own inside
        ("/docker/ID", Some((ID, "docker"))),
        ("/system.slice/docker-ID.scope", Some((ID, "docker"))),
        ("/system.slice/docker-ID.scope/init.scope", Some((ID, "docker"))),
        ("/docker/ID/docker/OTHER", Some((OTHER, "docker"))),
        ("/actions_job/ID", Some((ID, "docker"))),
        ("/ecs/0123456789abcdef0123456789abcdef/ID", Some((ID, "docker"))),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", Some((ID, "docker"))),
        // Kubernetes: with both drivers and runtimes
        ("/kubepods/besteffort/pod0c4a1c2e-7d35-4b5c-9f0e-1a2b3c4d5e6f/ID", Some((ID, "kubernetes"))),
        ("/kubepods/pod0c4a1c2e-7d35-4b5c-9f0e-1a2b3c4d5e6f/ID", Some((ID, "kubernetes"))),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0c4a1c2e_7d35_4b5c_9f0e_1a2b3c4d5e6f.slice/cri-containerd-ID.scope",
            Some((ID, "containerd")),
        ),
        ("/kubepods.slice/kubepods-pod0c4a1c2e_7d35.slice/crio-ID.scope", Some((ID, "cri-o"))),
        ("/kubepods.slice/kubepods-pod0c4a1c2e_7d35.slice/crio-ID.scope/container", Some((ID, "cri-o"))),
        ("/kubepods.slice/kubepods-pod0c4a1c2e_7d35.slice/crio-conmon-ID.scope", None),
        ("/kubepods.slice/kubepods-pod0c4a1c2e_7d35.slice/docker-ID.scope", Some((ID, "docker"))),
        (
            "/system.slice/containerd.service/kubepods-burstable-pod0c4a1c2e.slice:cri-containerd:ID",
            Some((ID, "containerd")),
        ),
        ("/docker/ID/kubelet/kubepods/besteffort/pod0c4a1c2e/OTHER", Some((OTHER, "kubernetes"))),
        ("/kubepods.slice/kubepods-besteffort.slice", None),
        // containerd alone
        ("/default/ID", Some((ID, "containerd"))),
        ("/system.slice/nerdctl-ID.scope", Some((ID, "containerd"))),
        ("/k8s.io/ID", Some((ID, "containerd"))),
        // podman: rootful and rootless, with its own cgroup inside
        ("/machine.slice/libpod-ID.scope", Some((ID, "podman"))),
        ("/machine.slice/libpod-ID.scope/container", Some((ID, "podman"))),
        ("/machine.slice/libpod-conmon-ID.scope", None),
        ("/libpod_parent/libpod-ID", Some((ID, "podman"))),
        ("/libpod_parent/libpod-ID/ctr", Some((ID, "podman"))),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", Some((ID, "podman"))),
        // machines
        ("/machine.slice/systemd-nspawn@web.service", Some(("web", "systemd-nspawn"))),
        ("/machine.slice/systemd-nspawn@web.service/payload", Some(("web", "systemd-nspawn"))),
        ("/machine.slice/machine-web.scope/payload/system.slice", Some(("web", "systemd-nspawn"))),
        (r"/machine.slice/machine-my\x2dweb.scope", Some(("my-web", "systemd-nspawn"))),
        (r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt", None),
        ("/lxc/web", Some(("web", "lxc"))),
        ("/lxc.payload.web/system.slice/ssh.service", Some(("web", "lxc"))),
        ("/lxc.monitor.web", None),
        // none
        ("/", None),
        ("", None),
        ("/user.slice/user-1000.slice/session-2.scope", None),
        ("/system.slice/ssh.service", None),
        ("/system.slice/docker.service", None),
        ("/docker", None),
        ("/x0123ID", None),
        ("/docker/0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", None),
        ("/\u{e9}89abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456", None),
    ];

    #[test]
    fn the_shapes_of_all_runtimes_are_known() {
        for (path, expected) in SHAPES {
            let path = path.replace("ID", ID).replace("OTHER", OTHER);
            let found = container_of(&path);
            assert_eq!(found.as_ref().map(|(id, runtime)| (id.as_str(), *runtime)), *expected, "{path}");
        }
    }

    #[test]
    fn a_cgroup_below_a_container_is_not_its_own() {
        let own = format!("/docker/{ID}");
        assert!(is_own(&own));
        assert!(!is_own(&format!("{own}/init.scope")));
        assert!(is_own("/lxc.payload.web") && !is_own("/lxc.payload.web/system.slice/web.service"));
    }
}

//! Which cgroups are containers: the paths that runtimes give them.
//!
//! A container's id stands in one component of its path, alone or with the runtime's word before it. Several can stand in one
//! path where containers run in containers. Anybody who may make cgroups can choose such a name, so each shape says as well
//! whether it is in a place that belongs to its runtime: those are root's.

/// What a component that ends in an id says of the runtime: the word before the id, and the runtime.
const PREFIXES: &[(&str, &str)] = &[
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
    ("libpod", "podman"),
    ("libpod-payload", "podman"),
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

/// Where runtimes that root runs have their containers: the components above, from the root of the hierarchy or from the
/// container that is around it. `*` is any part of one component; the empty place is the root itself.
const PLACES: &[(&str, &[&str])] = &[
    ("docker", &["docker", "system.slice", "actions_job", "ecs/*", "ecstasks.slice/*", "moby"]),
    ("containerd", &["default", "k8s.io", "system.slice", "system.slice/*.service"]),
    ("cri-o", &["system.slice", "machine.slice", "crio"]),
    (
        "podman",
        &[
            "machine.slice",
            "machine.slice/machine-*.slice",
            "libpod_parent",
            "libpod_parent/*",
            "system.slice/*.service",
        ],
    ),
    ("buildkit", &["buildkit", "docker/buildkit", "system.slice"]),
    ("systemd-nspawn", &["machine.slice"]),
    ("lxc", &["", "lxc"]),
];

/// Places of pods, whose runtimes are these.
const POD_RUNTIMES: &[&str] = &["kubernetes", "containerd", "cri-o", "docker"];
const POD_PLACES: &[&str] = &[
    "kubepods",
    "kubepods/*",
    "kubepods/*/*",
    "kubepods.slice",
    "kubepods.slice/kubepods-*.slice",
    "kubepods.slice/kubepods-*.slice/kubepods-*.slice",
    "kubelet-kubepods.slice",
    "kubelet-kubepods.slice/kubelet-kubepods-*.slice",
    "kubelet-kubepods.slice/kubelet-kubepods-*.slice/kubelet-kubepods-*.slice",
];

/// Cgroups between a container and the containers that run in it.
const BETWEEN: &[&str] = &["ns", "container", "payload", "ctr", "init.scope", "kubelet", "kubelet.slice"];

/// Monitors of containers, which stand beside them.
const NOT_CONTAINERS: &[&str] = &["crio-conmon", "libpod-conmon", "conmon"];

/// What libvirt puts before the name of a virtual machine, which is no container.
const VIRTUAL_MACHINE: &str = "qemu\\x2d";

/// Hexadecimal digits of an id of the OCI runtimes.
const ID_CHARS: usize = 64;

/// A container that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape<'a> {
    /// Its id, or a machine's name.
    pub id: String,
    /// Who runs it.
    pub runtime: &'static str,
    /// Path of its own cgroup.
    pub own: &'a str,
    /// It is where this runtime has its containers when root runs it.
    pub is_in_place: bool,
}

/// Id and runtime of the innermost container that a cgroup of this path belongs to.
pub fn container_of(path: &str) -> Option<(String, &'static str)> {
    shapes(path).next().map(|shape| (shape.id, shape.runtime))
}

/// The containers that a cgroup of this path belongs to by its names, innermost first.
pub fn shapes(path: &str) -> impl Iterator<Item = Shape<'_>> {
    let components = components(path);
    let mut outer = 0;
    let mut found: Vec<Shape<'_>> = vec![];
    for i in 0..components.len() {
        let Some((id, runtime)) = of_component(&components[..=i]) else { continue };
        let own = &path[..end_of(path, components[i])];
        let is_in_place = is_in_place(runtime, &components[outer..i], outer > 0);
        found.push(Shape { id: unescape(id), runtime, own, is_in_place });
        outer = i + 1;
    }
    found.into_iter().rev()
}

/// Where a component of this path ends in it.
fn end_of(path: &str, component: &str) -> usize {
    component.as_ptr() as usize + component.len() - path.as_ptr() as usize
}

fn is_in_place(runtime: &str, above: &[&str], is_nested: bool) -> bool {
    let skipped = if is_nested { above.iter().take_while(|name| BETWEEN.contains(name)).count() } else { 0 };
    let kubelet =
        usize::from(!is_nested && above.first().is_some_and(|name| ["kubelet", "kubelet.slice"].contains(name)));
    let above = &above[skipped.max(kubelet)..];
    let own = PLACES.iter().filter(|(name, _)| *name == runtime).flat_map(|(_, places)| *places);
    let pods = POD_PLACES.iter().filter(|_| POD_RUNTIMES.contains(&runtime));
    own.chain(pods).any(|place| is_place(place, above))
}

fn is_place(place: &str, above: &[&str]) -> bool {
    let names: Vec<&str> = components(place);
    names.len() == above.len() && names.iter().zip(above).all(|(pattern, name)| matches(pattern, name))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, behind)) => {
            name.len() >= before.len() + behind.len() && name.starts_with(before) && name.ends_with(behind)
        }
        None => pattern == name,
    }
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
    // A word that no runtime puts there makes it something else, the monitors among it.
    if NOT_CONTAINERS.contains(&word) || !(word.is_empty() || PREFIXES.iter().any(|(prefix, _)| *prefix == word)) {
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
        // quadlets, whose service's cgroup is split
        ("/system.slice/web.service/libpod-payload-ID", Some((ID, "podman"))),
        ("/machine.slice/machine-libpod_pod_OTHER.slice/libpod-ID.scope", Some((ID, "podman"))),
        // with a parent of one's own
        ("/shop.slice/docker-ID.scope", Some((ID, "docker"))),
        ("/shop/ID", Some((ID, "unknown"))),
        // none
        ("/lookalike-ID", None),
        ("/system.slice/lookalike-ID.scope", None),
        ("/user.slice/user-2001.slice/lookalike-ID", None),
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

    /// Right names in places where anybody could make them, or where no runtime does.
    const OUT_OF_PLACE: &[&str] = &[
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
        "/user.slice/user-2001.slice/user@2001.service/app.slice/docker-ID.scope",
        "/user.slice/user-2001.slice/user@2001.service/lxc.payload.shop",
        "/user.slice/user-2001.slice/user@2001.service/machine.slice/machine-web.scope",
        "/user.slice/user-2001.slice/user@2001.service/docker/ID",
        "/delegated/docker-ID.scope",
        "/delegated/lxc.payload.shop",
        "/delegated/system.slice/docker-ID.scope",
        "/delegated/kubepods/besteffort/pod0c4a1c2e/ID",
        "/system.slice/web.service/docker-ID.scope",
        "/system.slice/systemd-nspawn@web.service",
        "/shop.slice/docker-ID.scope",
        "/shop/ID",
        "/kubepods/besteffort/pod0c4a1c2e/deeper/ID",
        "/docker/ID/user.slice/docker-OTHER.scope",
    ];

    fn innermost(path: &str) -> Option<bool> {
        let path = path.replace("ID", ID).replace("OTHER", OTHER);
        shapes(&path).next().map(|shape| shape.is_in_place)
    }

    #[test]
    fn a_runtime_of_root_has_places_of_its_own_and_other_places_are_nobodys() {
        for path in OUT_OF_PLACE {
            assert_eq!(innermost(path), Some(false), "{path}");
        }
        for (path, found) in SHAPES.iter().filter(|(path, _)| !OUT_OF_PLACE.contains(path)) {
            assert_eq!(innermost(path), found.map(|_| true), "{path}");
        }
    }

    #[test]
    fn every_container_of_a_path_is_found_with_its_own_cgroup() {
        let path = format!("/lxc.payload.web/system.slice/docker-{ID}.scope/init.scope");
        let found: Vec<(String, &str, bool)> =
            shapes(&path).map(|shape| (shape.id, shape.own, shape.is_in_place)).collect();
        let docker = path.strip_suffix("/init.scope").expect("it ends so");
        assert_eq!(found, [(ID.into(), docker, true), ("web".into(), "/lxc.payload.web", true)]);
    }

    #[test]
    fn a_cgroup_below_a_container_is_not_its_own() {
        let is_own = |path: &str| shapes(path).any(|shape| shape.own == path);
        let own = format!("/docker/{ID}");
        assert!(is_own(&own));
        assert!(!is_own(&format!("{own}/init.scope")));
        assert!(is_own("/lxc.payload.web") && !is_own("/lxc.payload.web/system.slice/web.service"));
    }
}

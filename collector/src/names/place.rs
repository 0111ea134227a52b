//! Where a runtime has a container: the cgroups of its first process.

use std::fs;

/// Bytes of the file that are looked at.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Paths of the cgroups of a process in all hierarchies; none if it is gone.
pub(super) fn cgroups_of(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    if text.len() > TEXT_BYTES_MAX { Vec::new() } else { paths(&text) }
}

/// Lines are `NUMBER:CONTROLLERS:PATH`.
fn paths(text: &str) -> Vec<String> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    // The root is around everything, and says nothing.
    paths.filter(|path| path.len() > 1).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hierarchy_has_a_path_and_the_root_is_none() {
        let text = "4:memory:/docker/ab:cd\n1:name=systemd:/\n0::/system.slice/docker-ab.scope\n";
        assert_eq!(paths(text), ["/docker/ab:cd", "/system.slice/docker-ab.scope"]);
        assert!(paths("").is_empty() && cgroups_of(0).is_empty());
    }
}

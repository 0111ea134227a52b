//! Where runtimes listen.

use std::fs;
use std::path::{Path, PathBuf};

/// Docker's interface, podman's included.
const DOCKER: [&str; 3] = ["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"];
/// CRI.
const CRI: [&str; 3] =
    ["/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/k3s/containerd/containerd.sock"];

/// Sockets to ask at, in this order: those of Docker's interface, then those of CRI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sockets {
    /// Docker's interface: Docker, podman.
    pub docker: Vec<PathBuf>,
    /// CRI: containerd, CRI-O and others.
    pub cri: Vec<PathBuf>,
}

impl Sockets {
    /// Those of the usual places that exist now.
    pub fn find() -> Sockets {
        Sockets { docker: existing(&DOCKER), cri: existing(&CRI) }
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.docker.is_empty() && self.cri.is_empty()
    }
}

/// Each file once, though several paths lead to it (`/var/run` is `/run`).
fn existing(places: &[impl AsRef<Path>]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut found = Vec::new();
    for place in places.iter().map(AsRef::as_ref) {
        let Ok(file) = fs::canonicalize(place) else { continue };
        if !files.contains(&file) {
            files.push(file);
            found.push(place.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_once_and_a_missing_one_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let [one, link, missing] = ["one", "link", "missing"].map(|name| dir.path().join(name));
        fs::write(&one, "").unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        assert_eq!(existing(&[&missing, &one, &link]), [one]);
    }
}

//! What a look-up gives.

use std::collections::BTreeMap;
use std::fmt;

/// Which runtime answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// Docker's engine.
    Docker,
    /// Podman, over Docker's interface.
    Podman,
    /// One that speaks CRI, by the name that it gives itself: `containerd`, `cri-o`.
    Cri(String),
}

impl Runtime {
    /// Its name, as column `runtime` has it.
    pub fn name(&self) -> &str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Cri(name) => name,
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runtime::Docker => to.write_str("docker"),
            Runtime::Podman => to.write_str("podman"),
            Runtime::Cri(name) => write!(to, "cri({name})"),
        }
    }
}

/// What a runtime says of one container. The texts are the runtime's: they may have control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The id that was asked for.
    pub id: String,
    /// Who answered.
    pub runtime: Runtime,
    /// Its name, without Docker's leading slash. A pod's sandbox has none over CRI.
    pub name: Option<String>,
    /// The image as its user named it.
    pub image: Option<String>,
    /// What the image is: `name@sha256:..` where the runtime knows a repository's digest, else the image's own id.
    pub image_digest: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Something was longer than [`Limits::answer_bytes_max`](super::Limits::answer_bytes_max) allows, and was left out:
    /// whole labels, or a whole text.
    pub labels_cut: bool,
    /// Kubernetes: the pod's name.
    pub pod: Option<String>,
    /// Kubernetes: the pod's namespace.
    pub namespace: Option<String>,
    /// Kubernetes: the pod's unique id.
    pub pod_uid: Option<String>,
    /// Cgroups of its first process, where the runtime tells it: what only claims to be the container is elsewhere.
    pub cgroups: Vec<String>,
}

/// The end of one look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A runtime knows it.
    Found(Metadata),
    /// No runtime knows it, or none could be asked.
    Unknown {
        /// The id that was asked for.
        id: String,
        /// Why there is no name, for people. It may quote a runtime.
        why: String,
    },
}

impl Answer {
    /// The id that was asked for.
    pub fn id(&self) -> &str {
        match self {
            Answer::Found(metadata) => &metadata.id,
            Answer::Unknown { id, .. } => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_have_names() {
        let names = [Runtime::Docker, Runtime::Podman, Runtime::Cri("cri-o".into())].map(|r| r.to_string());
        assert_eq!(names, ["docker", "podman", "cri(cri-o)"]);
    }
}

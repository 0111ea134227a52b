//! What says that a cgroup is a container.

/// How far the name of a cgroup is believed, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Only its name, which anybody can choose who may make cgroups.
    Claimed,
    /// Root made it, in the place where its runtime has its containers.
    Cgroup,
    /// The runtime itself says so.
    Confirmed,
}

impl Evidence {
    /// As column `container_evidence` has it.
    pub fn name(self) -> &'static str {
        match self {
            Evidence::Claimed => "claimed",
            Evidence::Cgroup => "cgroup",
            Evidence::Confirmed => "confirmed",
        }
    }

    /// Whether a filter that leaves out may go by it.
    pub fn is_proof(self) -> bool {
        self > Evidence::Claimed
    }
}

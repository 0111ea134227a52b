//! What the running kernel offers, by its own type information.

use libbpf_rs::btf::{Btf, types};

use crate::Error;

/// The kernel's type information.
pub struct Kernel {
    btf: Btf<'static>,
}

impl Kernel {
    /// Reads `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// When the kernel has no BTF.
    pub fn load() -> Result<Kernel, Error> {
        let btf = Btf::from_vmlinux().map_err(|e| Error::NoBtf(e.to_string()))?;
        Ok(Kernel { btf })
    }

    /// Whether programs of type `tp_btf` can attach to this tracepoint.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.btf.type_by_name::<types::Typedef<'_>>(&format!("btf_trace_{name}")).is_some()
    }

    /// Whether the kernel has this function for programs.
    pub fn has_kfunc(&self, name: &str) -> bool {
        self.btf.type_by_name::<types::Func<'_>>(name).is_some()
    }
}

//! What can go wrong between the collector and the kernel.

use thiserror::Error;

/// A failure to load, attach or read.
#[derive(Debug, Error)]
pub enum Error {
    /// The kernel has no type information.
    #[error("the kernel has no BTF at /sys/kernel/btf/vmlinux ({0}): it needs CONFIG_DEBUG_INFO_BTF=y")]
    NoBtf(String),
    /// libbpf could not open, load or attach something.
    #[error("{what}: {why}")]
    Libbpf {
        /// What was attempted on what.
        what: String,
        /// libbpf's words.
        why: String,
    },
    /// The verifier refused every program that is needed.
    #[error("the kernel's verifier refused program {program}, which weir cannot do without:\n{log}")]
    Refused {
        /// Name of the program.
        program: String,
        /// Last lines of the verifier's log.
        log: String,
    },
    /// A system call of the reader failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted on what.
        what: String,
        /// The kernel's error.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn libbpf(what: impl Into<String>) -> impl FnOnce(libbpf_rs::Error) -> Error {
        let what = what.into();
        move |e| Error::Libbpf { what, why: format!("{e:#}") }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

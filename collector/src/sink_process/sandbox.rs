//! What the process of a sink may do: talk to brokers by TCP and UDP, and read files that its user may read. It has no
//! capability, cannot get one, starts no program, writes no file, and reaches no other process.
//!
//! It stays the user that the collector is. Files of TLS and tokens are mostly root's own and are read by the client
//! libraries themselves, some of them anew while the sink works; another user could not. Root without capabilities is an
//! ordinary user who owns root's files: so nothing is opened for writing, not even those.
//!
//! The filter names what is allowed. A call that it does not know fails as one that is not permitted: client libraries go on
//! without most of them, and a process that ended for a harmless question would cost a sink. Local sockets are not among the
//! allowed ones, since container engines and service managers obey root there.

mod calls;

use std::io;

use caps::CapSet;
use nix::unistd::{getegid, geteuid, setresgid, setresuid};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};

/// Descriptors: some for every broker of a large cluster.
const FILES_MAX: u64 = 1024;

/// Gives up everything that no sink needs, for good. Memory is bounded by its private data: address space alone costs nothing.
///
/// # Errors
/// When the kernel refuses; then the process must not go on.
pub fn enter(memory_max: u64) -> io::Result<()> {
    let limit = |resource, most| {
        let both = Some(most);
        setrlimit(resource, Rlimit { current: both, maximum: both })
    };
    rustix::thread::clear_ambient_capability_set()?;
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    let (uid, gid) = (geteuid(), getegid());
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    rustix::thread::set_no_new_privs(true)?;
    // Behind all changes of rights, which can clear it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nofile, FILES_MAX)?;
    limit(Resource::Data, memory_max)?;
    calls::filter().map_err(|error| {
        io::Error::other(format!(
            "the kernel takes no filter of system calls ({error}): `sink_process = false` keeps the sink in the collector"
        ))
    })
}

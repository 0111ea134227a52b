//! CPUs that come online later get a ring of their own.
//!
//! The kernel says so in a message (`online@/devices/system/cpu/cpu1`), so nothing is polled.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use weir_bpf::Loaded;

use crate::order::{Sequencer, Source};
use crate::rings::{CpuRing, Waiter};

/// The kernel's own group of messages about devices.
const KERNEL_EVENTS: u32 = 1;

/// `online@/devices/system/cpu/cpu1`, and details behind a zero byte.
fn came_online(message: &[u8]) -> Option<usize> {
    let cpu = message.split(|byte| *byte == 0).next()?.strip_prefix(b"online@/devices/system/cpu/cpu")?;
    std::str::from_utf8(cpu).ok()?.parse().ok()
}

/// Listens for CPUs.
pub struct Hotplug {
    socket: OwnedFd,
}

impl Hotplug {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the kernel has no such messages here (some containers): CPUs that come online are then counted, not read.
    pub fn listen(waiter: &Waiter) -> Result<Hotplug> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::KOBJECT_UEVENT))
            .context("open a socket for the kernel's device events")?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_EVENTS)).context("listen for device events")?;
        waiter.add(&socket)?;
        Ok(Hotplug { socket })
    }

    /// The CPUs that came online since the last look; `None` if the kernel could not keep all of its messages.
    fn heard(&self) -> Option<Vec<usize>> {
        let mut online = vec![];
        let mut message = [0u8; 4096];
        loop {
            match recv(&self.socket, &mut message[..], RecvFlags::DONTWAIT) {
                Ok((len, _)) => online.extend(came_online(&message[..len.min(message.len())])),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => return None,
                Err(_) => return Some(online),
            }
        }
    }

    /// Gives every online CPU that has none a ring: known to the reader first, then to the programs.
    ///
    /// # Errors
    /// No memory or capability for another ring.
    pub fn look(&mut self, loaded: &Loaded, sequencer: &mut Sequencer<CpuRing>, waiter: &Waiter) -> Result<()> {
        let heard = self.heard();
        for source in sequencer.sources_mut() {
            let cpu = source.number();
            // The list of CPUs is a file, which the reader does not open: whoever gave out a number is online.
            let is_online = heard.as_ref().map_or_else(|| source.produced() > 0, |heard| heard.contains(&cpu));
            if source.ring().is_none() && is_online {
                source.set_ring(loaded.create_ring(cpu)?);
                if let Some(ring) = source.ring() {
                    waiter.add(ring.fd())?;
                    loaded.install_ring(cpu, ring)?;
                    tracing::info!(cpu, "a CPU came online: it has a ring now");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::came_online;

    #[test]
    fn only_a_cpu_that_comes_online_is_heard() {
        let message = |text: &str| came_online(text.as_bytes());
        assert_eq!(message("online@/devices/system/cpu/cpu12\0ACTION=online\0SUBSYSTEM=cpu\0"), Some(12));
        for other in ["offline@/devices/system/cpu/cpu1\0", "online@/devices/system/memory/memory3\0", "", "add@/x\0"] {
            assert_eq!(message(other), None, "{other}");
        }
    }
}

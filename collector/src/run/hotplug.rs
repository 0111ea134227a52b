//! CPUs that come online later get a ring of their own.
//!
//! The kernel says so in a message (`online@/devices/system/cpu/cpu1`), so nothing is polled.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use weir_bpf::Loaded;

use crate::host::Cpus;
use crate::order::Sequencer;
use crate::rings::{CpuRing, Waiter};

/// The kernel's own group of messages about devices.
const KERNEL_EVENTS: u32 = 1;

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

    /// Whether any message was about a CPU.
    fn heard(&self) -> bool {
        let mut heard = false;
        let mut message = [0u8; 4096];
        while let Ok((len, _)) = recv(&self.socket, &mut message[..], RecvFlags::DONTWAIT) {
            let text = &message[..len.min(message.len())];
            heard |= memchr::memmem::find(text, b"/devices/system/cpu/cpu").is_some();
        }
        heard
    }

    /// Gives every online CPU that has none a ring: known to the reader first, then to the programs.
    ///
    /// # Errors
    /// No memory or capability for another ring.
    pub fn look(&mut self, loaded: &Loaded, sequencer: &mut Sequencer<CpuRing>, waiter: &Waiter) -> Result<()> {
        if !self.heard() {
            return Ok(());
        }
        let online = Cpus::read()?.online;
        for source in sequencer.sources_mut() {
            let cpu = source.number();
            if source.ring().is_none() && online.contains(&cpu) {
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

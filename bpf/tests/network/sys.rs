//! Socket calls that the standard library does not make.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn result(ret: i32) -> Result<i32, i32> {
    if ret < 0 { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(ret) }
}

pub fn socket(family: i32, kind: i32) -> OwnedFd {
    // SAFETY: no pointers; the descriptor is new and nobody else's.
    unsafe { OwnedFd::from_raw_fd(result(libc::socket(family, kind, 0)).expect("socket")) }
}

pub fn connect(socket: &dyn AsRawFd, to: SocketAddr) -> Result<i32, i32> {
    let (bytes, len) = match to {
        SocketAddr::V4(v4) => {
            let mut bytes = [0u8; 28];
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[2..4].copy_from_slice(&v4.port().to_be_bytes());
            bytes[4..8].copy_from_slice(&v4.ip().octets());
            (bytes, 16)
        }
        SocketAddr::V6(v6) => {
            let mut bytes = [0u8; 28];
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes[2..4].copy_from_slice(&v6.port().to_be_bytes());
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            (bytes, 28)
        }
    };
    // SAFETY: `bytes` is longer than `len` and lives through the call.
    result(unsafe { libc::connect(socket.as_raw_fd(), bytes.as_ptr().cast(), len) })
}

/// A Unix address whose path fills it, without a NUL: bound to, or connected to.
pub fn full_unix_address(socket: &dyn AsRawFd, path: &[u8; 108], bind: bool) -> Result<i32, i32> {
    let mut bytes = [0u8; 110];
    bytes[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    bytes[2..].copy_from_slice(path);
    let call = if bind { libc::bind } else { libc::connect };
    // SAFETY: `bytes` lives through the call.
    result(unsafe { call(socket.as_raw_fd(), bytes.as_ptr().cast(), 110) })
}

/// Sends on a connected socket by the call `sendto`.
pub fn send(socket: &dyn AsRawFd, bytes: &[u8]) -> Result<i32, i32> {
    // SAFETY: `bytes` is valid for reads of its length.
    result(unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) } as i32)
}

pub fn listen(fd: RawFd, backlog: i32) -> Result<i32, i32> {
    // SAFETY: no pointers.
    result(unsafe { libc::listen(fd, backlog) })
}

/// The kernel's name of the socket.
pub fn cookie(fd: RawFd) -> i64 {
    let mut cookie = 0i64;
    let mut len = size_of::<i64>() as libc::socklen_t;
    let to = (&raw mut cookie).cast();
    // SAFETY: `cookie` and `len` are valid for writes, and `len` is the size of `cookie`.
    result(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_COOKIE, to, &raw mut len) }).expect("cookie");
    cookie
}

/// Makes the close of a connection a reset.
pub fn reset_on_close(socket: &dyn AsRawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = size_of::<libc::linger>() as libc::socklen_t;
    let from = (&raw const linger).cast();
    // SAFETY: `linger` is valid for reads of `len` bytes.
    result(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, from, len) })
        .expect("linger");
}

/// Puts another file in the place of a descriptor.
pub fn replace(target: &dyn AsRawFd, by: &dyn AsRawFd) {
    // SAFETY: no pointers; both descriptors stay open and owned.
    result(unsafe { libc::dup2(by.as_raw_fd(), target.as_raw_fd()) }).expect("dup2");
}

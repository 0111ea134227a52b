//! Calls that fail: their error, and what was asked for.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::harness::{Row, harness, until};
use crate::{ARGUMENT, address, sys, unix_path};

#[test]
fn bind_listen_and_accept_that_fail_have_their_error_and_what_was_asked_for() {
    let mut harness = harness();
    let listener = TcpListener::bind(address("127.0.0.1:0")).expect("bind");
    listener.set_nonblocking(true).expect("set");
    let taken = listener.local_addr().expect("name");
    let (udp, rows) = harness.rows(until("accept", 1), || {
        let udp = UdpSocket::bind(address("127.0.0.1:0")).expect("bind");
        assert!(TcpListener::bind(taken).is_err());
        assert_eq!(sys::listen(udp.as_raw_fd(), 77), Err(libc::EOPNOTSUPP));
        assert_eq!(sys::listen(9999, 1), Err(libc::EBADF));
        assert!(listener.accept().is_err());
        udp
    });
    let failed = |action| {
        let found: Vec<_> = rows.of(action).into_iter().filter(|r| r.get("ret") < 0).collect();
        found.into_iter().map(Row::is_ours).collect::<Vec<_>>()
    };
    let bind = failed("bind");
    assert_eq!((bind.len(), bind[0].get("ret")), (1, -i64::from(libc::EADDRINUSE)));
    assert_eq!((bind[0].local(), bind[0].get("address_source")), (Some(taken), ARGUMENT));
    let listen = failed("listen");
    assert_eq!((listen[0].get("ret"), listen[0].get("backlog")), (-i64::from(libc::EOPNOTSUPP), 77));
    assert_eq!(listen[0].local(), udp.local_addr().ok());
    assert_eq!(
        (listen[1].get("ret"), listen[1].get("family"), listen[1].get("fd")),
        (-i64::from(libc::EBADF), 0, 9999)
    );
    let accept = rows.one("accept");
    assert_eq!((accept.get("ret"), accept.get("fd")), (-i64::from(libc::EAGAIN), -1));
    assert_eq!((accept.local(), accept.remote()), (Some(taken), None));
}

#[test]
fn transfers_that_fail_have_the_address_and_the_error() {
    let mut harness = harness();
    let remote = address("127.0.0.1:9");
    let (_, rows) = harness.rows(until("recvfrom", 1), || {
        let udp = UdpSocket::bind(address("127.0.0.1:0")).expect("bind");
        udp.set_nonblocking(true).expect("set");
        assert!(udp.send_to(&[0; 70_000], remote).is_err());
        assert!(udp.recv_from(&mut [0; 9]).is_err());
    });
    let sendto = rows.one("sendto");
    assert_eq!((sendto.get("ret"), sendto.get("length")), (-i64::from(libc::EMSGSIZE), 70_000));
    assert_eq!((sendto.remote(), sendto.get("address_source")), (Some(remote), ARGUMENT));
    let recvfrom = rows.one("recvfrom");
    assert_eq!((recvfrom.get("ret"), recvfrom.remote()), (-i64::from(libc::EAGAIN), None));
}

#[test]
fn calls_on_what_is_no_socket_have_the_address_and_no_kind() {
    let mut harness = harness();
    let remote = address("127.0.0.1:80");
    let (_, rows) = harness.rows(until("connect", 1), || {
        let file = std::fs::File::open("/dev/null").expect("open");
        assert_eq!(sys::connect(&file, remote), Err(libc::ENOTSOCK));
    });
    let connect = rows.one("connect");
    assert_eq!((connect.get("ret"), connect.get("type")), (-i64::from(libc::ENOTSOCK), 0));
    assert_eq!((connect.remote(), connect.get("address_source")), (Some(remote), ARGUMENT));
}

#[test]
fn unix_calls_that_fail_have_the_name_that_was_asked_for() {
    let mut harness = harness();
    let path = unix_path("absent");
    let (_, rows) = harness.rows(until("bind", 1), || {
        assert!(UnixStream::connect(&path).is_err());
        assert!(UnixListener::bind("/nonexistent-directory/socket").is_err());
    });
    let connect = rows.one("connect");
    assert_eq!((connect.get("ret"), connect.get("address_source")), (-i64::from(libc::ENOENT), ARGUMENT));
    assert_eq!(connect.unix_path, path.to_str().expect("UTF-8").as_bytes());
    let bind = rows.one("bind");
    assert_eq!(
        (bind.get("ret"), &bind.unix_path[..]),
        (-i64::from(libc::ENOENT), &b"/nonexistent-directory/socket"[..])
    );
}

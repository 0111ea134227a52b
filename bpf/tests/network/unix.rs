//! Unix sockets: names, peers and bytes.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};

use crate::harness::{Row, harness, until};
use crate::{ARGUMENT, KERNEL, NONE, bytes, sys, unix_path};

#[test]
fn a_unix_stream_shows_its_names_its_peer_and_its_bytes() {
    let mut harness = harness();
    let counts = harness.counts();
    let path = unix_path("stream");
    let (fds, rows) = harness.rows(until("close", 3), || {
        let listener = UnixListener::bind(&path).expect("bind");
        let mut client = UnixStream::connect(&path).expect("connect");
        let (mut server, _) = listener.accept().expect("accept");
        client.write_all(&[1; 300]).expect("write");
        server.read_exact(&mut [0; 300]).expect("read");
        server.write_all(&[1; 20]).expect("write");
        client.read_exact(&mut [0; 20]).expect("read");
        [listener.as_raw_fd(), client.as_raw_fd(), server.as_raw_fd()].map(i64::from)
    });
    std::fs::remove_file(&path).expect("remove");
    let path = path.to_str().expect("UTF-8").as_bytes();
    let names = |row: &Row| (row.unix_path.clone(), row.unix_peer_path.clone());
    let us = i64::from(std::process::id());
    let (connect, accept) = (rows.one("connect"), rows.one("accept"));
    assert_eq!((names(connect), connect.get("peer_pid")), ((path.to_vec(), vec![]), us));
    assert_eq!((names(accept), accept.get("peer_pid"), accept.get("fd")), ((path.to_vec(), vec![]), us, fds[2]));
    assert_eq!((names(rows.one("bind")).0, names(rows.one("listen")).0), (path.to_vec(), path.to_vec()));
    for row in [connect, accept, rows.one("bind"), rows.one("listen")] {
        assert_eq!((row.get("family"), row.get("type"), row.get("address_source")), (1, 1, KERNEL));
        assert_eq!((row.local(), row.get("local_port"), row.get("protocol")), (None, NONE, 0));
    }
    for (fd, expected_names, expected) in [
        (fds[0], (path.to_vec(), vec![]), (0, 0)),
        (fds[1], (vec![], path.to_vec()), (300, 20)),
        (fds[2], (path.to_vec(), vec![]), (20, 300)),
    ] {
        let close = rows.of("close").into_iter().find(|r| r.get("fd") == fd).expect("a row").is_ours();
        assert_eq!(names(close), expected_names);
        assert_eq!(bytes(close), if counts { expected } else { (NONE, NONE) });
    }
}

#[test]
fn abstract_names_begin_with_an_at_sign() {
    let mut harness = harness();
    let name = format!("weir\0{}", std::process::id());
    let shown = format!("@{name}").into_bytes();
    let (_, rows) = harness.rows(until("close", 2), || {
        let address = UnixAddr::from_abstract_name(&name).expect("a name");
        let server = UnixDatagram::bind_addr(&address).expect("bind");
        let client = UnixDatagram::unbound().expect("socket");
        client.send_to_addr(b"first", &address).expect("send");
        client.connect_addr(&address).expect("connect");
        sys::send(&client, b"second").expect("send");
        server.recv_from(&mut [0; 9]).expect("receive");
    });
    assert_eq!(rows.one("bind").unix_path, shown);
    assert_eq!((&rows.one("connect").unix_path, rows.one("connect").get("address_source")), (&shown, KERNEL));
    assert_eq!((&rows.of("sendto")[0].unix_peer_path, rows.of("sendto")[0].get("address_source")), (&shown, ARGUMENT));
    assert_eq!((&rows.of("sendto")[1].unix_peer_path, rows.of("sendto")[1].get("address_source")), (&shown, KERNEL));
    assert_eq!(rows.one("recvfrom").unix_path, shown);
    assert!(rows.of("close").iter().any(|r| r.unix_path == shown));
    assert!(rows.of("close").iter().any(|r| r.unix_peer_path == shown));
}

#[test]
fn a_path_that_fills_its_address_is_whole_in_every_row() {
    let mut harness = harness();
    let path = unix_path("full");
    let path = path.to_str().expect("UTF-8");
    let path: [u8; 108] = format!("{path:x<108}").into_bytes().try_into().expect("a short directory");
    let (_, rows) = harness.rows(until("close", 3), || {
        let (server, client) =
            (sys::socket(libc::AF_UNIX, libc::SOCK_STREAM), sys::socket(libc::AF_UNIX, libc::SOCK_STREAM));
        sys::full_unix_address(&server, &path, true).expect("bind");
        sys::listen(server.as_raw_fd(), 1).expect("listen");
        sys::full_unix_address(&client, &path, false).expect("connect");
        UnixListener::from(server).accept().expect("accept");
    });
    std::fs::remove_file(std::str::from_utf8(&path).expect("UTF-8")).expect("remove");
    for action in ["bind", "listen", "connect", "accept"] {
        let row = rows.one(action);
        assert_eq!((row.unix_path.as_slice(), row.get("address_source")), (&path[..], KERNEL), "{action}");
    }
    assert_eq!(rows.of("close").iter().filter(|r| r.unix_path == path).count(), 2, "who listened and who accepted");
    assert_eq!(rows.of("close").iter().filter(|r| r.unix_peer_path == path).count(), 1, "who connected");
}

//! When a socket is closed: once, by whoever lets go of it last.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;

use crate::harness::{harness, until};
use crate::{address, bytes, sys};

#[test]
fn a_socket_is_closed_once_when_its_last_descriptor_goes() {
    let mut harness = harness();
    let (_, rows) = harness.rows(until("close", 3), || {
        let udp = UdpSocket::bind(address("127.0.0.1:0")).expect("bind");
        drop(udp.try_clone().expect("dup"));
        let listener = TcpListener::bind(address("127.0.0.1:0")).expect("bind");
        drop(listener.try_clone().expect("dup"));
        let unix = UnixDatagram::unbound().expect("socket");
        drop(unix.try_clone().expect("dup"));
    });
    let mut kinds: Vec<_> = rows.of("close").iter().map(|r| (r.get("family"), r.get("type"))).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [(1, 2), (2, 1), (2, 2)]);
}

#[test]
fn an_inet_socket_that_another_descriptor_replaces_is_closed_too() {
    let mut harness = harness();
    let (local, rows) = harness.rows(until("close", 1), || {
        let udp = UdpSocket::bind(address("127.0.0.1:0")).expect("bind");
        let local = udp.local_addr().expect("name");
        sys::replace(&udp, &std::fs::File::open("/dev/null").expect("open"));
        local
    });
    assert_eq!(rows.one("close").local(), Some(local));
}

/// A child that holds a socket as its standard input, and is the last that does; it stays until it is killed.
fn child_with(socket: std::os::fd::OwnedFd, script: &str) -> std::process::Child {
    let script = format!("{script}; exec sleep 1000");
    std::process::Command::new("sh").args(["-c", &script]).stdin(socket).spawn().expect("spawn")
}

fn end(mut child: std::process::Child) -> i64 {
    child.kill().expect("kill");
    child.wait().expect("wait");
    i64::from(child.id())
}

/// A child leaves the followed subtree before it closes: only a kernel that tells the first use of a socket knows whose it was.
#[test]
fn the_used_sockets_of_a_child_that_exits_are_closed_by_it() {
    let mut harness = harness();
    let counts = harness.counts();
    let (pid, rows) = harness.rows(until("close", if counts { 2 } else { 1 }), || {
        let udp = UdpSocket::bind(address("127.0.0.1:0")).expect("bind");
        udp.send_to(b"used", udp.local_addr().expect("name")).expect("send");
        let pid = end(child_with(udp.into(), "true"));
        UdpSocket::bind(address("127.0.0.1:0")).expect("bind");
        pid
    });
    let us = i64::from(std::process::id());
    let close = rows.of("close");
    let pids: Vec<_> = close.iter().map(|r| r.get("pid")).collect();
    assert_eq!(pids, if counts { vec![pid, us] } else { vec![us] }, "{rows:#?}");
    if counts {
        assert_eq!((close[0].get("ppid"), close[0].get("bytes_sent")), (us, 4));
    }
}

#[test]
fn the_connection_of_a_child_that_exits_is_closed_by_the_process_that_connected() {
    let mut harness = harness();
    let listener = TcpListener::bind(address("127.0.0.1:0")).expect("bind");
    let remote = listener.local_addr().expect("name");
    let (_, rows) = harness.rows(until("close", 2), || {
        let client = TcpStream::connect(remote).expect("connect");
        let child = child_with(client.into(), "echo bytes >&0");
        let (mut server, _) = listener.accept().expect("accept");
        server.read_exact(&mut [0; 6]).expect("read");
        end(child);
    });
    let client = rows.of("close").into_iter().find(|r| r.remote() == Some(remote)).expect("a row").is_ours();
    assert_eq!(bytes(client), (6, 0));
    let server = rows.of("close").into_iter().find(|r| r.local() == Some(remote)).expect("a row").is_ours();
    assert_eq!(bytes(server), (0, 6));
}

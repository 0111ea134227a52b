//! TCP: connections that come to be, fail and end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use crate::harness::{Row, harness, until};
use crate::{ARGUMENT, KERNEL, NONE, address, bytes, sys};

/// A port of the loopback address that nobody listens on.
fn closed_port(ip: &str) -> SocketAddr {
    TcpListener::bind(address(ip)).and_then(|l| l.local_addr()).expect("a port")
}

fn tcp_life(ip: &str, family: i32) {
    let mut harness = harness();
    let ((listening, client, server, cookies, fds), rows) = harness.rows(until("close", 3), || {
        let listener = TcpListener::bind(address(ip)).expect("bind");
        let mut client = TcpStream::connect(listener.local_addr().expect("name")).expect("connect");
        let (mut server, _) = listener.accept().expect("accept");
        client.write_all(&[1; 5000]).expect("write");
        server.read_exact(&mut [0; 5000]).expect("read");
        server.write_all(b"seven b").expect("write");
        client.read_exact(&mut [0; 7]).expect("read");
        let names = (listener.local_addr(), client.local_addr(), client.peer_addr());
        let fds = [&listener as &dyn AsRawFd, &client, &server].map(|s| s.as_raw_fd());
        let cookies = fds.map(sys::cookie);
        drop(client);
        assert_eq!(server.read(&mut [0; 8]).expect("end of stream"), 0);
        drop(server);
        (names.0.expect("name"), names.1.expect("name"), names.2.expect("name"), cookies, fds.map(i64::from))
    });
    let check = |row: &Row, cookie: i64, local, remote| {
        assert_eq!(row.get("family"), i64::from(family));
        assert_eq!(row.get("type"), i64::from(libc::SOCK_STREAM));
        assert_eq!(row.get("protocol"), i64::from(libc::IPPROTO_TCP));
        assert_eq!(row.get("socket_cookie"), cookie, "{row:#?}");
        assert_eq!((row.local(), row.remote()), (Some(local), remote), "{row:#?}");
        assert_eq!(row.get("address_source"), KERNEL);
    };
    assert_eq!(listening, server);
    let bind = rows.one("bind");
    assert_eq!((bind.local(), bind.remote(), bind.get("ret")), (Some(listening), None, 0));
    let listen = rows.one("listen");
    check(listen, cookies[0], listening, None);
    assert!(listen.get("backlog") > 0 && listen.get("fd") == fds[0]);
    let connect = rows.one("connect");
    check(connect, cookies[1], client, Some(server));
    assert_eq!((connect.get("ret"), connect.get("fd"), bytes(connect)), (0, fds[1], (NONE, NONE)));
    check(rows.one("established"), cookies[1], client, Some(server));
    let accept = rows.one("accept");
    check(accept, cookies[2], server, Some(client));
    assert_eq!((accept.get("ret"), accept.get("fd")), (fds[2], fds[2]));
    let close = |cookie| {
        let mut found = rows.of("close").into_iter().filter(|r| r.get("socket_cookie") == cookie);
        found.next().unwrap_or_else(|| panic!("{cookie} in {rows:#?}")).is_ours()
    };
    check(close(cookies[0]), cookies[0], listening, None);
    check(close(cookies[1]), cookies[1], client, Some(server));
    check(close(cookies[2]), cookies[2], server, Some(client));
    assert_eq!(bytes(close(cookies[0])), (0, 0));
    assert_eq!(bytes(close(cookies[1])), (5000, 7));
    assert_eq!(bytes(close(cookies[2])), (7, 5000));
    assert_eq!(rows.of("close").len(), 3);
}

#[test]
fn a_tcp_connection_over_ipv4_shows_every_step_with_both_ends_and_the_bytes_of_both_sides() {
    tcp_life("127.0.0.1:0", libc::AF_INET);
}

#[test]
fn a_tcp_connection_over_ipv6_shows_every_step_with_both_ends_and_the_bytes_of_both_sides() {
    tcp_life("[::1]:0", libc::AF_INET6);
}

#[test]
fn ipv4_on_an_ipv6_socket_keeps_the_family_of_the_socket() {
    let mut harness = harness();
    let (_, rows) = harness.rows(until("connect", 1), || {
        let listener = TcpListener::bind(address("[::]:0")).expect("bind");
        let port = listener.local_addr().expect("name").port();
        let socket = sys::socket(libc::AF_INET6, libc::SOCK_STREAM);
        sys::connect(&socket, SocketAddr::new(address("[::ffff:127.0.0.1]:0").ip(), port)).expect("connect");
    });
    let connect = rows.one("connect");
    assert_eq!(connect.get("family"), i64::from(libc::AF_INET6));
    assert!(connect.remote().expect("remote").to_string().starts_with("[::ffff:127.0.0.1]:"));
    assert!(connect.local().expect("local").to_string().starts_with("[::ffff:127.0.0.1]:"));
    assert!(rows.one("bind").local().expect("local").to_string().starts_with("[::]:"));
}

fn refused(ip: &str) {
    let mut harness = harness();
    let remote = closed_port(ip);
    let (error, rows) =
        harness.rows(until("close", 1), || TcpStream::connect(remote).expect_err("nobody listens").raw_os_error());
    assert_eq!(error, Some(libc::ECONNREFUSED));
    let connect = rows.one("connect");
    assert_eq!(connect.get("ret"), -i64::from(libc::ECONNREFUSED));
    assert_eq!((connect.remote(), connect.get("address_source")), (Some(remote), ARGUMENT));
    let refused = rows.one("refused");
    assert_eq!((refused.remote(), refused.get("address_source")), (Some(remote), KERNEL));
    assert_eq!(refused.get("socket_cookie"), connect.get("socket_cookie"));
    assert!(refused.local().is_some_and(|l| l.port() != 0));
    assert!(rows.of("established").is_empty());
    assert_eq!(bytes(rows.one("close")), (0, 0));
}

#[test]
fn a_refused_connection_has_the_address_asked_for_and_a_row_of_the_refusal() {
    refused("127.0.0.1:0");
    refused("[::1]:0");
}

#[test]
fn a_connect_that_does_not_wait_is_followed_by_established() {
    let mut harness = harness();
    let listener = TcpListener::bind(address("127.0.0.1:0")).expect("bind");
    let remote = listener.local_addr().expect("name");
    let (socket, rows) = harness.rows(
        |rows| rows.of("connect").len() + rows.of("established").len() == 2,
        || {
            let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
            assert_eq!(sys::connect(&socket, remote), Err(libc::EINPROGRESS));
            socket
        },
    );
    let (connect, established) = (rows.one("connect"), rows.one("established"));
    assert_eq!(connect.get("ret"), -i64::from(libc::EINPROGRESS));
    assert_eq!((connect.remote(), connect.get("address_source")), (Some(remote), KERNEL));
    assert_eq!((established.local(), established.remote()), (connect.local(), Some(remote)));
    assert_eq!(established.get("socket_cookie"), sys::cookie(socket.as_raw_fd()));
}

#[test]
fn a_connect_that_does_not_wait_is_followed_by_refused() {
    let mut harness = harness();
    let remote = closed_port("127.0.0.1:0");
    let (socket, rows) = harness.rows(until("refused", 1), || {
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
        assert_eq!(sys::connect(&socket, remote), Err(libc::EINPROGRESS));
        socket
    });
    let refused = rows.one("refused");
    assert_eq!(refused.remote(), Some(remote));
    assert_eq!(refused.get("socket_cookie"), sys::cookie(socket.as_raw_fd()));
    assert!(rows.of("close").is_empty());
}

#[test]
fn a_reset_closes_the_other_side_in_an_interrupt_and_names_the_process_that_accepted() {
    let mut harness = harness();
    let listener = TcpListener::bind(address("127.0.0.1:0")).expect("bind");
    let remote = listener.local_addr().expect("name");
    let (server, rows) = harness.rows(until("close", 2), || {
        let client = TcpStream::connect(remote).expect("connect");
        let (server, _) = listener.accept().expect("accept");
        (&server).write_all(b"twelve bytes").expect("write");
        sys::reset_on_close(&client);
        drop(client);
        server
    });
    let cookie = sys::cookie(server.as_raw_fd());
    let close: Vec<_> = rows.of("close").into_iter().filter(|r| r.get("socket_cookie") == cookie).collect();
    assert_eq!(close.len(), 1, "{rows:#?}");
    assert_eq!(bytes(close[0].is_ours()), (12, 0));
    let (_, after) = harness.rows(until("close", 1), || {
        drop(server);
        drop(listener);
    });
    assert_eq!(after.one("close").local(), Some(remote), "one row per connection: only the listener's is left");
}

//! Rows of class network, by real sockets on the real kernel (as root): every action, what succeeds and what fails.

mod harness;
mod sys;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};

use harness::{Row, Rows, harness, until};

const KERNEL: i64 = 1;
const ARGUMENT: i64 = 2;
const NONE: i64 = -1;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A port of the loopback address that nobody listens on.
fn closed_port(ip: &str) -> SocketAddr {
    TcpListener::bind(address(ip)).and_then(|l| l.local_addr()).expect("a port")
}

fn bytes(row: &Row) -> (i64, i64) {
    (row.get("bytes_sent"), row.get("bytes_received"))
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
    assert_eq!((listen[1].get("ret"), listen[1].get("family"), listen[1].get("fd")), (-i64::from(libc::EBADF), 0, 9999));
    let accept = rows.one("accept");
    assert_eq!((accept.get("ret"), accept.get("fd")), (-i64::from(libc::EAGAIN), -1));
    assert_eq!((accept.local(), accept.remote()), (Some(taken), None));
}

fn udp_life(ip: &str) {
    let mut harness = harness();
    let counts = harness.counts();
    let ((a, b, cookies), rows) = harness.rows(until("close", 2), || {
        let (a, b) = (UdpSocket::bind(address(ip)).expect("bind"), UdpSocket::bind(address(ip)).expect("bind"));
        let names = (a.local_addr().expect("name"), b.local_addr().expect("name"));
        a.connect(names.1).expect("connect");
        a.send(&[0; 100]).expect("send");
        b.peek_from(&mut [0; 200]).expect("peek");
        b.recv_from(&mut [0; 200]).expect("receive");
        b.send_to(&[0; 30], names.0).expect("send");
        a.recv(&mut [0; 50]).expect("receive");
        (names.0, names.1, [&a, &b].map(|s| sys::cookie(s.as_raw_fd())))
    });
    let connect = rows.one("connect");
    assert_eq!((connect.local(), connect.remote(), connect.get("address_source")), (Some(a), Some(b), KERNEL));
    assert_eq!(connect.get("protocol"), i64::from(libc::IPPROTO_UDP));
    let row = |action, nth: usize| rows.of(action)[nth].is_ours();
    let ends = |row: &Row| (row.local(), row.remote(), row.get("ret"), row.get("length"), row.get("address_source"));
    assert_eq!(ends(row("sendto", 0)), (Some(a), Some(b), 100, 100, KERNEL));
    assert!(!counts || row("sendto", 0).get("socket_cookie") == cookies[0]);
    assert_eq!(ends(row("recvfrom", 0)), (Some(b), Some(a), 100, 200, ARGUMENT));
    assert_eq!(ends(row("sendto", 1)), (Some(b), Some(a), 30, 30, ARGUMENT));
    assert_eq!(ends(row("recvfrom", 2)), (Some(a), Some(b), 30, 50, KERNEL));
    for (cookie, local, remote, expected) in [(cookies[0], a, Some(b), (100, 30)), (cookies[1], b, None, (30, 100))] {
        let close = rows.of("close").into_iter().find(|r| r.get("socket_cookie") == cookie).expect("a row").is_ours();
        assert_eq!((close.local(), close.remote()), (Some(local), remote));
        assert_eq!(bytes(close), if counts { expected } else { (NONE, NONE) });
    }
}

#[test]
fn udp_shows_its_ends_and_at_the_close_its_bytes() {
    udp_life("127.0.0.1:0");
    udp_life("[::1]:0");
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

/// A path that is only this test's.
fn unix_path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("weir-network-{}-{name}", std::process::id()))
}

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
    assert_eq!((bind.get("ret"), &bind.unix_path[..]), (-i64::from(libc::ENOENT), &b"/nonexistent-directory/socket"[..]));
}

#[test]
fn calls_on_what_is_no_socket_have_the_address_and_no_kind() {
    let mut harness = harness();
    let remote = address("127.0.0.1:80");
    let (_, rows): (_, Rows) = harness.rows(until("connect", 1), || {
        let file = std::fs::File::open("/dev/null").expect("open");
        assert_eq!(sys::connect(&file, remote), Err(libc::ENOTSOCK));
    });
    let connect = rows.one("connect");
    assert_eq!((connect.get("ret"), connect.get("type")), (-i64::from(libc::ENOTSOCK), 0));
    assert_eq!((connect.remote(), connect.get("address_source")), (Some(remote), ARGUMENT));
}

/// Runs a child that holds a socket as its standard input and is the last that does, until it exits.
fn child_with(socket: std::os::fd::OwnedFd, script: &str) -> i64 {
    let mut child = std::process::Command::new("sh").args(["-c", script]).stdin(socket).spawn().expect("spawn");
    child.wait().expect("wait");
    i64::from(child.id())
}

#[test]
fn the_sockets_of_a_child_that_exits_are_closed_by_it() {
    let mut harness = harness();
    if !harness.counts() {
        println!("skipped: this kernel does not tell the first use of a socket");
        return;
    }
    let (pid, rows) = harness.rows(until("close", 1), || {
        let udp = UdpSocket::bind(address("127.0.0.1:0")).expect("bind");
        udp.send_to(b"used", udp.local_addr().expect("name")).expect("send");
        child_with(udp.into(), "exit 3")
    });
    let close = rows.of("close");
    assert_eq!((close.len(), close[0].get("pid")), (1, pid), "{rows:#?}");
    assert_eq!(close[0].get("ppid"), i64::from(std::process::id()));
    assert_eq!(close[0].get("bytes_sent"), 4);
}

#[test]
fn the_connection_of_a_child_that_exits_is_closed_by_the_process_that_connected() {
    let mut harness = harness();
    let listener = TcpListener::bind(address("127.0.0.1:0")).expect("bind");
    let remote = listener.local_addr().expect("name");
    let (_, rows) = harness.rows(until("close", 2), || {
        let client = TcpStream::connect(remote).expect("connect");
        child_with(client.into(), "echo bytes >&0");
        drop(listener.accept().expect("accept"));
    });
    let client = rows.of("close").into_iter().find(|r| r.remote() == Some(remote)).expect("a row").is_ours();
    assert_eq!(bytes(client), (6, 0));
    let server = rows.of("close").into_iter().find(|r| r.local() == Some(remote)).expect("a row").is_ours();
    assert_eq!(bytes(server), (0, 6));
}

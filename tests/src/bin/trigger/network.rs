//! Class network.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::*;
use crate::facts::{any, step, who};

const NO_FD: usize = 777;
/// How long interrupts may take to end a connection.
const SETTLE: Duration = Duration::from_millis(50);

fn socket(family: i32, kind: i32) -> usize {
    must(libc::SYS_socket, &[family as usize, kind as usize, 0]) as usize
}

/// A struct sockaddr of the family, and its length.
fn address(to: SocketAddr) -> (Vec<u8>, usize) {
    let mut bytes = vec![0u8; 28];
    bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
    match to {
        SocketAddr::V4(v4) => {
            bytes[0] = libc::AF_INET as u8;
            bytes[4..8].copy_from_slice(&v4.ip().octets());
            (bytes, 16)
        }
        SocketAddr::V6(v6) => {
            bytes[0] = libc::AF_INET6 as u8;
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            (bytes, 28)
        }
    }
}

fn unix_address(name: &str) -> (Vec<u8>, usize) {
    let mut bytes = vec![libc::AF_UNIX as u8, 0];
    bytes.extend_from_slice(name.replace('@', "\0").as_bytes());
    let abstract_name = name.starts_with('@');
    if !abstract_name {
        bytes.push(0);
    }
    let length = bytes.len();
    (bytes, length)
}

/// This end, as getsockname has it.
fn local(fd: usize) -> (String, u16) {
    let mut bytes = [0u8; 28];
    let mut length = 28u32;
    must(
        libc::SYS_getsockname,
        &[fd, std::ptr::from_mut(&mut bytes) as usize, std::ptr::from_mut(&mut length) as usize],
    );
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    if bytes[0] == libc::AF_INET as u8 {
        let ip: [u8; 4] = bytes[4..8].try_into().expect("four bytes");
        return (std::net::Ipv4Addr::from(ip).to_string(), port);
    }
    let ip: [u8; 16] = bytes[8..24].try_into().expect("sixteen bytes");
    (std::net::Ipv6Addr::from(ip).to_string(), port)
}

fn local_address(fd: usize) -> SocketAddr {
    let (ip, port) = local(fd);
    SocketAddr::new(ip.parse().expect("an address"), port)
}

fn cookie(fd: usize) -> i64 {
    let (mut cookie, mut length) = (0i64, 8u32);
    must(
        libc::SYS_getsockopt,
        &[
            fd,
            libc::SOL_SOCKET as usize,
            libc::SO_COOKIE as usize,
            std::ptr::from_mut(&mut cookie) as usize,
            std::ptr::from_mut(&mut length) as usize,
        ],
    );
    cookie
}

fn merged(parts: &[Value]) -> Value {
    let mut all = json!({});
    for part in parts {
        for (name, value) in part.as_object().expect("an object") {
            all[name] = value.clone();
        }
    }
    all
}

fn kind(v6: bool, stream: bool) -> Value {
    json!({"family": if v6 { "AF_INET6" } else { "AF_INET" }, "type": if stream { "SOCK_STREAM" } else { "SOCK_DGRAM" },
        "protocol": if stream { "tcp" } else { "udp" }})
}

fn this_end(fd: usize) -> Value {
    let (ip, port) = local(fd);
    json!({"local_ip": ip, "local_port": port})
}

fn other_end(to: SocketAddr) -> Value {
    json!({"remote_ip": to.ip().to_string(), "remote_port": to.port()})
}

fn source(name: &str) -> Value {
    json!({"address_source": name})
}

/// Columns that hang on when the socket got its name: what a socket's first bytes or states give it.
fn maybe(fd: usize) -> Value {
    json!({"socket_cookie": {"one_of": [null, cookie(fd)]}})
}

fn named(fd: usize) -> Value {
    json!({"socket_cookie": cookie(fd)})
}

/// Bind and listen by hand, so that each is a step; returns the socket and where it listens.
fn listening(v6: bool) -> (usize, SocketAddr) {
    let fd = socket(if v6 { libc::AF_INET6 } else { libc::AF_INET }, libc::SOCK_STREAM);
    let any_port: SocketAddr = if v6 { "[::1]:0" } else { "127.0.0.1:0" }.parse().expect("an address");
    let (bytes, length) = address(any_port);
    let name = if v6 { "IPv6" } else { "IPv4" };
    step("network.bind", "bind", name).sys(libc::SYS_bind, &[fd, at(&bytes[..]), length], |_| {
        merged(&[kind(v6, true), this_end(fd), source("kernel"), json!({"fd": fd}), maybe(fd)])
    });
    step("network.listen", "listen", name).sys(libc::SYS_listen, &[fd, 5], |_| {
        merged(&[kind(v6, true), this_end(fd), source("kernel"), json!({"fd": fd, "backlog": 5}), named(fd)])
    });
    (fd, local_address(fd))
}

/// One connection from the first call to the last close, with bytes both ways.
fn connection(v6: bool, non_blocking: bool, accept: &'static str) {
    let name =
        format!("{} {}", if v6 { "IPv6" } else { "IPv4" }, if non_blocking { "without waiting" } else { "waiting" });
    let (listener, to) = listening_quietly(v6);
    let extra = if non_blocking { libc::SOCK_NONBLOCK } else { 0 };
    let client = socket(if v6 { libc::AF_INET6 } else { libc::AF_INET }, libc::SOCK_STREAM | extra);
    let (bytes, length) = address(to);
    let (before, from) = (who(), now());
    // Loopback may have established it before the call returns; the call itself still says EINPROGRESS.
    step("network.connect", "connect", &name).sys(libc::SYS_connect, &[client, at(&bytes[..]), length], |_| {
        merged(&[
            kind(v6, true),
            this_end(client),
            other_end(to),
            source("kernel"),
            json!({"fd": client}),
            named(client),
        ])
    });
    let number = if accept == "accept" { libc::SYS_accept } else { libc::SYS_accept4 };
    let back = local_address(client);
    let server = step("network.accept", accept, &name).sys(number, &[listener, 0, 0, 0], |fd| {
        merged(&[
            kind(v6, true),
            json!({"local_ip": to.ip().to_string(), "local_port": to.port(), "fd": fd}),
            other_end(back),
            source("kernel"),
            named(fd as usize),
        ])
    }) as usize;
    std::thread::sleep(SETTLE);
    let ends = merged(&[kind(v6, true), this_end(client), other_end(to), source("kernel"), named(client)]);
    step("network.established", "", &name).note(&Value::Object(before.clone()), from, now(), None, &ends);

    must(libc::SYS_write, &[client, at("12345"), 5]);
    let mut buffer = [0u8; 16];
    must(libc::SYS_read, &[server, std::ptr::from_mut(&mut buffer) as usize, 16]);
    must(libc::SYS_write, &[server, at("123"), 3]);
    must(libc::SYS_read, &[client, std::ptr::from_mut(&mut buffer) as usize, 16]);
    let server_ends = merged(&[kind(v6, true), this_end(server), other_end(back), source("kernel"), named(server)]);
    let from = now();
    close(client as i64);
    close(server as i64);
    std::thread::sleep(SETTLE);
    let to_time = now();
    let closed = |what: &str, ends: &Value, sent: i64, received: i64| {
        let columns = merged(&[ends.clone(), json!({"bytes_sent": sent, "bytes_received": received})]);
        let step = step("network.close", "", &format!("{name}, {what}"));
        step.note_of_socket(&Value::Object(before.clone()), from, to_time, &columns);
    };
    closed("the end that asked", &ends, 5, 3);
    closed("the end that answered", &server_ends, 3, 5);
    close(listener as i64);
}

fn listening_quietly(v6: bool) -> (usize, SocketAddr) {
    let listener = TcpListener::bind(if v6 { "[::1]:0" } else { "127.0.0.1:0" }).expect("a listener");
    let to = listener.local_addr().expect("an address");
    (std::os::fd::IntoRawFd::into_raw_fd(listener) as usize, to)
}

/// A port where nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("an address")
}

fn refused(non_blocking: bool) {
    let name = if non_blocking { "refused later" } else { "refused at once" };
    let to = closed_port();
    std::thread::sleep(SETTLE);
    let client = socket(libc::AF_INET, libc::SOCK_STREAM | if non_blocking { libc::SOCK_NONBLOCK } else { 0 });
    let (bytes, length) = address(to);
    let (before, from) = (who(), now());
    step("network.connect", "connect", name).sys(libc::SYS_connect, &[client, at(&bytes[..]), length], |_| {
        // The attempt may be over by then; whoever names the other end, it is the one asked for.
        merged(&[
            kind(false, true),
            json!({"local_ip": any(), "local_port": any(), "address_source": any()}),
            other_end(to),
            json!({"fd": client}),
            named(client),
        ])
    });
    std::thread::sleep(SETTLE);
    let ends = merged(&[
        kind(false, true),
        json!({"local_ip": "127.0.0.1", "local_port": any()}),
        other_end(to),
        source("kernel"),
        named(client),
    ]);
    step("network.refused", "", name).note(&Value::Object(before), from, now(), None, &ends);
    close(client as i64);
}

fn failures() {
    let (bytes, length) = address("127.0.0.1:1".parse().expect("an address"));
    step("network.connect", "connect", "of no socket").sys(libc::SYS_connect, &[NO_FD, at(&bytes[..]), length], |_| {
        // Without a socket only the family of the program's address is known.
        json!({"family": "AF_INET", "fd": NO_FD, "remote_ip": any_or_null("127.0.0.1"),
            "remote_port": {"one_of": [null, 1]}, "address_source": any_or_null("argument")})
    });
    let taken = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let to = taken.local_addr().expect("an address");
    let (bytes, length) = address(to);
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM);
    step("network.bind", "bind", "of a taken port").sys(libc::SYS_bind, &[fd, at(&bytes[..]), length], |_| {
        merged(&[
            kind(false, true),
            json!({"local_ip": to.ip().to_string(), "local_port": to.port(), "fd": fd}),
            source("argument"),
            maybe(fd),
        ])
    });
    close(fd as i64);
    let udp = socket(libc::AF_INET, libc::SOCK_DGRAM);
    step("network.listen", "listen", "of datagrams").sys(libc::SYS_listen, &[udp, 5], |_| {
        merged(&[
            kind(false, false),
            json!({"local_ip": any_or_null("0.0.0.0"), "local_port": {"one_of": [null, 0]}, "fd": udp, "backlog": 5}),
            source("kernel"),
            maybe(udp),
        ])
    });
    close(udp as i64);
    let quiet = socket(libc::AF_INET, libc::SOCK_STREAM);
    for (call_name, number) in [("accept", libc::SYS_accept), ("accept4", libc::SYS_accept4)] {
        step("network.accept", call_name, "of a socket that does not listen").sys(number, &[quiet, 0, 0, 0], |_| {
            merged(&[
                kind(false, true),
                json!({"local_ip": any_or_null("0.0.0.0"), "local_port": {"one_of": [null, 0]}}),
                source("kernel"),
                maybe(quiet),
            ])
        });
    }
    close(quiet as i64);
}

fn any_or_null(value: &str) -> Value {
    json!({"one_of": [null, value]})
}

/// Unix sockets: a named listener, a client, bytes, both closes.
fn unix() {
    let kind = json!({"family": "AF_UNIX", "type": "SOCK_STREAM"});
    let name = format!("@weir-test-{}", std::process::id());
    let (bytes, length) = unix_address(&name);
    let pid = std::process::id();
    let kernel = source("kernel");
    let listener = socket(libc::AF_UNIX, libc::SOCK_STREAM);
    let path = json!({"unix_path": name});
    step("network.bind", "bind", "Unix").sys(libc::SYS_bind, &[listener, at(&bytes[..]), length], |_| {
        merged(&[kind.clone(), path.clone(), kernel.clone(), json!({"fd": listener})])
    });
    step("network.listen", "listen", "Unix").sys(libc::SYS_listen, &[listener, 5], |_| {
        merged(&[kind.clone(), path.clone(), kernel.clone(), json!({"fd": listener, "backlog": 5})])
    });
    let client = socket(libc::AF_UNIX, libc::SOCK_STREAM);
    step("network.connect", "connect", "Unix").sys(libc::SYS_connect, &[client, at(&bytes[..]), length], |_| {
        merged(&[kind.clone(), path.clone(), kernel.clone(), json!({"fd": client, "peer_pid": pid})])
    });
    let (nothing, nothing_length) = unix_address("/no/such/socket");
    let lost = socket(libc::AF_UNIX, libc::SOCK_STREAM);
    step("network.connect", "connect", "Unix, of nothing").sys(
        libc::SYS_connect,
        &[lost, at(&nothing[..]), nothing_length],
        |_| merged(&[kind.clone(), json!({"unix_path": "/no/such/socket"}), source("argument"), json!({"fd": lost})]),
    );
    close(lost as i64);
    let server = step("network.accept", "accept4", "Unix").sys(libc::SYS_accept4, &[listener, 0, 0, 0], |fd| {
        merged(&[kind.clone(), path.clone(), kernel.clone(), json!({"fd": fd, "peer_pid": pid})])
    }) as usize;
    must(libc::SYS_write, &[client, at("1234567"), 7]);
    let mut buffer = [0u8; 16];
    must(libc::SYS_read, &[server, std::ptr::from_mut(&mut buffer) as usize, 16]);
    let counts = crate::facts::kernel_at_least(6, 3);
    let count = |n: i64| if counts { json!(n) } else { Value::Null };
    let me = Value::Object(who());
    let from = now();
    close(server as i64);
    let server_columns = merged(&[
        kind.clone(),
        path,
        kernel.clone(),
        json!({"fd": server, "peer_pid": pid, "bytes_sent": count(0), "bytes_received": count(7), "socket_cookie": cookie_rule(counts)}),
    ]);
    step("network.close", "", "Unix, the end that answered").note(&me, from, now(), None, &server_columns);
    let from = now();
    close(client as i64);
    let columns = merged(&[
        kind,
        kernel,
        json!({"fd": client, "peer_pid": pid, "unix_peer_path": any_or_null(&name), "bytes_sent": count(7), "bytes_received": count(0), "socket_cookie": cookie_rule(counts)}),
    ]);
    step("network.close", "", "Unix, the end that asked").note(&me, from, now(), None, &columns);
    close(listener as i64);
}

/// Unix sockets have a name once bytes are counted.
fn cookie_rule(counts: bool) -> Value {
    if counts { any() } else { json!({"one_of": [null, {"any": true}]}) }
}

/// Datagrams and the calls that are only recorded on request.
fn datagrams() {
    let (here, there) =
        (UdpSocket::bind("127.0.0.1:0").expect("a socket"), UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let fd = |socket: &UdpSocket| -> RawFd { socket.as_raw_fd() };
    let (a, b) = (fd(&here) as usize, fd(&there) as usize);
    let to = there.local_addr().expect("an address");
    let from_address = here.local_addr().expect("an address");
    let (bytes, length) = address(to);
    let counted = crate::facts::kernel_at_least(6, 3);
    let (me, started) = (Value::Object(who()), now());
    step("network.sendto", "sendto", "of a datagram").sys(
        libc::SYS_sendto,
        &[a, at("12345"), 5, 0, at(&bytes[..]), length],
        |_| {
            merged(&[
                kind(false, false),
                this_end(a),
                other_end(to),
                json!({"address_source": any(), "length": 5, "fd": a}),
                maybe(a),
            ])
        },
    );
    let mut buffer = [0u8; 64];
    let mut sender = [0u8; 28];
    let mut sender_length = 28u32;
    let arguments = [
        b,
        std::ptr::from_mut(&mut buffer) as usize,
        64,
        0,
        std::ptr::from_mut(&mut sender) as usize,
        std::ptr::from_mut(&mut sender_length) as usize,
    ];
    step("network.recvfrom", "recvfrom", "of a datagram").sys(libc::SYS_recvfrom, &arguments, |_| {
        merged(&[
            kind(false, false),
            this_end(b),
            other_end(from_address),
            json!({"address_source": any(), "length": 64, "fd": b}),
            maybe(b),
        ])
    });
    let unconnected =
        merged(&[kind(false, false), this_end(b), source("kernel"), json!({"length": 64, "fd": b}), maybe(b)]);
    step("network.recvfrom", "recvfrom", "of nothing").sys(
        libc::SYS_recvfrom,
        &[b, std::ptr::from_mut(&mut buffer) as usize, 64, libc::MSG_DONTWAIT as usize, 0, 0],
        |_| unconnected,
    );
    step("network.sendto", "sendto", "to nowhere").sys(libc::SYS_sendto, &[a, at("12345"), 5, 0, 0, 0], |_| {
        merged(&[kind(false, false), this_end(a), source("kernel"), json!({"length": 5, "fd": a}), maybe(a)])
    });
    let mut columns = merged(&[
        kind(false, false),
        this_end(a),
        source("kernel"),
        json!({"bytes_sent": 5, "bytes_received": 0}),
        maybe(a),
    ]);
    if !counted {
        columns["bytes_sent"] = Value::Null;
        columns["bytes_received"] = Value::Null;
    }
    drop(here);
    step("network.close", "", "datagrams").note_of_socket(&me, started, now(), &columns);
}

/// All of it.
pub fn run() {
    for v6 in [false, true] {
        let (listener, _) = listening(v6);
        close(listener as i64);
        connection(v6, false, "accept4");
        connection(v6, true, "accept");
    }
    refused(false);
    refused(true);
    failures();
    unix();
    datagrams();
}

//! UDP: ends and bytes.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use crate::harness::{Row, harness, until};
use crate::{ARGUMENT, KERNEL, NONE, address, bytes, sys};

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

//! Class `network`: sockets.

use super::file::PATH_SOURCES;
use crate::class::{Action, Class, ClassId};
use crate::column::{ColumnType::*, ERROR, RET, Source, TEXT_ESCAPED, column, optional};
use crate::wire::{Wire, field};

/// Families by the kernel's own names.
pub static FAMILIES: &[(u64, &str)] = &[
    (1, "AF_UNIX"),
    (2, "AF_INET"),
    (10, "AF_INET6"),
    (16, "AF_NETLINK"),
    (17, "AF_PACKET"),
    (29, "AF_CAN"),
    (31, "AF_BLUETOOTH"),
    (38, "AF_ALG"),
    (40, "AF_VSOCK"),
    (44, "AF_XDP"),
];

/// Types of sockets.
pub static SOCKET_TYPES: &[(u64, &str)] =
    &[(1, "SOCK_STREAM"), (2, "SOCK_DGRAM"), (3, "SOCK_RAW"), (5, "SOCK_SEQPACKET")];

/// Protocols over IP by their names of old.
pub static PROTOCOLS: &[(u64, &str)] = &[
    (1, "icmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (58, "ipv6-icmp"),
    (132, "sctp"),
    (136, "udplite"),
    (255, "raw"),
    (262, "mptcp"),
];

/// Bytes that are not known.
pub const NO_BYTES: i64 = -1;

pub(super) static NETWORK: Class = Class {
    id: ClassId::Network,
    name: "network",
    doc: "Sockets: IPv4, IPv6 and Unix, with both ends.",
    default: true,
    fields: &[
        field("ret", Wire::I64, "return value of the call"),
        field("socket_cookie", Wire::U64, "the kernel's name of the socket"),
        field("bytes_sent", Wire::I64, "bytes sent, or -1"),
        field("bytes_received", Wire::I64, "bytes received, or -1"),
        field("length", Wire::I64, "bytes asked for, or -1"),
        field("local_ip", Wire::Bytes(16), "IPv4 in the first four bytes"),
        field("remote_ip", Wire::Bytes(16), "IPv4 in the first four bytes"),
        field("fd", Wire::I32, "file descriptor, or -1"),
        field("backlog", Wire::I32, "listen: backlog asked for"),
        field("peer_pid", Wire::I32, "Unix: tgid of the other end, or 0"),
        field("local_port", Wire::I32, "host byte order, or -1"),
        field("remote_port", Wire::I32, "host byte order, or -1"),
        field("family", Wire::U16, "AF_*"),
        field("type", Wire::U16, "SOCK_*"),
        field("protocol", Wire::U16, "IPPROTO_*"),
        field("address_source", Wire::U8, "1 kernel, 2 argument"),
        field("ends", Wire::U8, "bit 0: the local address is known, bit 1: the remote one"),
    ],
    tails: &["unix_path", "unix_peer_path"],
    columns: &[
        RET,
        ERROR,
        column(
            "family",
            Text,
            Source::Names { field: "family", names: FAMILIES },
            "`AF_INET`, `AF_INET6`, `AF_UNIX`; others without ends",
        ),
        column("type", Text, Source::Names { field: "type", names: SOCKET_TYPES }, "`SOCK_STREAM`, `SOCK_DGRAM`, ..."),
        column(
            "protocol",
            Text,
            Source::Names { field: "protocol", names: PROTOCOLS },
            "`tcp`, `udp`, ...; null for other families",
        ),
        column("local_ip", Text, Source::Address { field: "local_ip" }, "address of this end"),
        optional("local_port", Int32, -1, "port of this end"),
        column("remote_ip", Text, Source::Address { field: "remote_ip" }, "address of the other end"),
        optional("remote_port", Int32, -1, "port of the other end"),
        column(
            "unix_path",
            Text,
            Source::Text { tail: "unix_path" },
            "Unix: the address that the action is about (connect: the other end's, else this end's); `@` starts an abstract one",
        ),
        column(
            "unix_peer_path",
            Text,
            Source::Text { tail: "unix_peer_path" },
            "Unix: the opposite end's address, null if unnamed",
        ),
        optional("peer_pid", Int32, 0, "Unix: process id of the other end when it connected or listened"),
        column(
            "address_source",
            Text,
            Source::Names { field: "address_source", names: PATH_SOURCES },
            "`kernel`: read from the kernel's own socket; `argument`: the end that the call names is the program's bytes",
        ),
        optional(
            "bytes_sent",
            Int64,
            NO_BYTES,
            "close: data bytes sent in the socket's life, each once; null where the kernel does not tell",
        ),
        optional(
            "bytes_received",
            Int64,
            NO_BYTES,
            "close: data bytes received in the socket's life; UDP and Unix: from Linux 6.3 on, counted since weir started",
        ),
        optional("length", Int64, NO_BYTES, "sendto, recvfrom: bytes asked for"),
        optional("backlog", Int32, -1, "listen: backlog asked for"),
        optional("fd", Int32, -1, "file descriptor: of the call, or the new one of accept; null where there is none"),
        optional(
            "socket_cookie",
            Int64,
            0,
            "the kernel's name of the socket: joins the rows of one socket; null until TCP connects or listens, or the first bytes pass",
        ),
        TEXT_ESCAPED,
    ],
    actions: &[
        Action::new(0x0301, "connect", "a connection was asked for").calls(&["connect"]).sets(CALL_ENDS),
        Action::new(0x0302, "established", "a TCP connection that this host asked for came to be").sets(SOCKET_ENDS),
        Action::new(0x0303, "refused", "a TCP connection that this host asked for failed").sets(SOCKET_ENDS),
        Action::new(0x0304, "accept", "a connection was taken").calls(&["accept", "accept4"]).sets(CALL_ENDS),
        Action::new(0x0305, "bind", "a local address was chosen").calls(&["bind"]).sets(CALL_ENDS),
        Action::new(0x0306, "listen", "a socket waits for connections").calls(&["listen"]).sets(LISTEN),
        Action::new(0x0307, "close", "the last reference to a socket is gone").sets(CLOSE),
        Action::new(0x0308, "sendto", "bytes were sent to an address").calls(&["sendto"]).sets(TRANSFER).on_request(),
        Action::new(0x0309, "recvfrom", "bytes were received").calls(&["recvfrom"]).sets(TRANSFER).on_request(),
    ],
};

const CALL_ENDS: &[&str] = &[
    "ret",
    "error",
    "family",
    "type",
    "protocol",
    "local_ip",
    "local_port",
    "remote_ip",
    "remote_port",
    "unix_path",
    "unix_peer_path",
    "peer_pid",
    "address_source",
    "fd",
    "socket_cookie",
];

const LISTEN: &[&str] = &[
    "ret",
    "error",
    "family",
    "type",
    "protocol",
    "local_ip",
    "local_port",
    "unix_path",
    "address_source",
    "backlog",
    "fd",
    "socket_cookie",
];

const TRANSFER: &[&str] = &[
    "ret",
    "error",
    "family",
    "type",
    "protocol",
    "local_ip",
    "local_port",
    "remote_ip",
    "remote_port",
    "unix_path",
    "unix_peer_path",
    "address_source",
    "length",
    "fd",
    "socket_cookie",
];

const SOCKET_ENDS: &[&str] = &[
    "family",
    "type",
    "protocol",
    "local_ip",
    "local_port",
    "remote_ip",
    "remote_port",
    "address_source",
    "socket_cookie",
];

const CLOSE: &[&str] = &[
    "family",
    "type",
    "protocol",
    "local_ip",
    "local_port",
    "remote_ip",
    "remote_port",
    "unix_path",
    "unix_peer_path",
    "peer_pid",
    "address_source",
    "bytes_sent",
    "bytes_received",
    "fd",
    "socket_cookie",
];

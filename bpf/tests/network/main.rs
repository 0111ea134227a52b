//! Rows of class network, by real sockets on the real kernel (as root): every action, what succeeds and what fails.

mod calls;
mod closes;
mod harness;
mod sys;
mod tcp;
mod udp;
mod unix;

use std::net::SocketAddr;
use std::path::PathBuf;

use harness::Row;

/// Values of `address_source`.
const KERNEL: i64 = 1;
const ARGUMENT: i64 = 2;
/// What stands for no number.
const NONE: i64 = -1;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn bytes(row: &Row) -> (i64, i64) {
    (row.get("bytes_sent"), row.get("bytes_received"))
}

/// A path that is only this test's.
fn unix_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("weir-network-{}-{name}", std::process::id()))
}

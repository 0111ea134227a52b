//! A request to weir's own endpoints: HTTP/1.1 by hand, one answer a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use weir_tests::wait::LIMIT;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: String,
}

/// `GET path`.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("connect to {address}: {e}"));
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n").expect("ask");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap_or_else(|e| panic!("the answer to {path}: {e}"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an answer: {text}"));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no code: {head}"));
    Answer { code, head: head.to_lowercase(), body: body.to_owned() }
}

/// The port that weir was given stands in its message.
pub fn address_in(stderr: &str) -> SocketAddr {
    let line = stderr.lines().find(|line| line.contains("listening")).unwrap_or_else(|| panic!("{stderr}"));
    let (_, rest) = line.split_once("address=").unwrap_or_else(|| panic!("{line}"));
    rest.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

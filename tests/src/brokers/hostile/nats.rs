//! The protocol of NATS, as far as a client gets.

use std::io;

use super::{Chance, Peer};

const INFO: &[u8] =
    b"INFO {\"server_id\":\"X\",\"server_name\":\"x\",\"version\":\"2.10.0\",\"go\":\"go\",\"host\":\"127.0.0.1\",\
\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"proto\":1,\"jetstream\":true,\"client_id\":1}\r\n";
/// A piece of what is poured.
static PIECE: [u8; 65_536] = [b'x'; 65_536];

/// Greets, answers the first ping, and announces a message that is larger than any memory.
pub fn length(peer: &mut Peer<'_>) -> io::Result<()> {
    peer.write_all(INFO)?;
    wait_for_ping(peer)?;
    peer.write_all(b"PONG\r\nMSG _INBOX.a 1 100000000000\r\n")?;
    peer.pour(&PIECE)
}

/// Greets without an end.
pub fn endless_line(peer: &mut Peer<'_>) -> io::Result<()> {
    peer.write_all(b"INFO {\"server_id\":\"")?;
    peer.pour(&PIECE)
}

/// Says what comes to its mind.
pub fn nonsense(peer: &mut Peer<'_>, chance: &mut Chance) -> io::Result<()> {
    let mut info = INFO.to_vec();
    if chance.below(3) == 0 {
        chance.spoil(&mut info);
    }
    peer.write_all(&info)?;
    if chance.below(4) > 0 {
        wait_for_ping(peer)?;
        peer.write_all(b"PONG\r\n")?;
    }
    for _ in 0..200 {
        let mut line: Vec<u8> = match chance.below(7) {
            0 => b"MSG a 1 4\r\nabcd\r\n".to_vec(),
            1 => b"HMSG a 1 b 12 999999999999\r\nNATS/1.0\r\n\r\n\r\n".to_vec(),
            2 => b"-ERR 'Unknown'\r\n".to_vec(),
            3 => b"PING\r\n".to_vec(),
            4 => format!("MSG a {} {}\r\n", chance.next(), chance.next()).into_bytes(),
            5 => INFO.to_vec(),
            _ => chance.bytes(64),
        };
        if chance.below(2) == 0 {
            chance.spoil(&mut line);
        }
        peer.write_all(&line)?;
    }
    Ok(())
}

fn wait_for_ping(peer: &mut Peer<'_>) -> io::Result<()> {
    let mut last = [0; 4];
    let mut byte = [0];
    while last != *b"PING" {
        peer.read_exact(&mut byte)?;
        last.rotate_left(1);
        last[3] = byte[0];
    }
    Ok(())
}

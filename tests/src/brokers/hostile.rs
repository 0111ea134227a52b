//! False brokers: they take a port before the true one does, and answer what no broker answers.
//!
//! All choices are those of a seed. Connections, bytes and time are bounded: the end of a server ends its threads.

mod kafka;
mod nats;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How a server lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Kafka: the answer to ApiVersions is a null array, 16 bytes in all.
    KafkaNullArray,
    /// Kafka: answers as a broker does, with nonsense in some of them, chosen by this seed.
    KafkaNonsense(u64),
    /// NATS: a message that is said to have 100,000,000,000 bytes, and begins to come.
    NatsLength,
    /// NATS: a line that never ends.
    NatsEndlessLine,
    /// NATS: nonsense, chosen by this seed.
    NatsNonsense(u64),
}

/// Pause between two looks for a connection.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a read or a write may take.
const PATIENCE: Duration = Duration::from_millis(200);
/// Bytes that are poured into one connection.
const POUR_BYTES_MAX: u64 = 4 << 30;

/// A server on a port of this machine; ends when dropped.
#[derive(Debug)]
pub struct Liar {
    over: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    /// Takes the port.
    pub fn start(port: u16, lie: Lie) -> Liar {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_over, count) = (Arc::clone(&over), Arc::clone(&served));
        let thread = thread::spawn(move || accept(&listener, lie, &is_over, &count));
        Liar { over, served, thread: Some(thread) }
    }

    /// Connections that were lied to.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, lie: Lie, over: &AtomicBool, served: &AtomicU64) {
    thread::scope(|scope| {
        while !over.load(Ordering::Relaxed) {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(LOOK_EVERY);
                continue;
            };
            let nth = served.fetch_add(1, Ordering::Relaxed);
            scope.spawn(move || {
                let mut peer = Peer { stream, over };
                // A peer that leaves is what is wanted.
                let _ = peer.lie(lie, nth);
            });
        }
    });
}

/// Whom a server lies to.
struct Peer<'a> {
    stream: TcpStream,
    over: &'a AtomicBool,
}

impl Peer<'_> {
    fn lie(&mut self, lie: Lie, nth: u64) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.set_write_timeout(Some(PATIENCE))?;
        match lie {
            Lie::KafkaNullArray => kafka::null_array(self),
            Lie::KafkaNonsense(seed) => kafka::nonsense(self, &mut Chance(seed ^ nth.wrapping_mul(0x9e37_79b9))),
            Lie::NatsLength => nats::length(self),
            Lie::NatsEndlessLine => nats::endless_line(self),
            Lie::NatsNonsense(seed) => nats::nonsense(self, &mut Chance(seed ^ nth.wrapping_mul(0x9e37_79b9))),
        }
    }

    fn is_over(&self) -> io::Result<()> {
        if self.over.load(Ordering::Relaxed) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn read_exact(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.is_over()?;
            match self.stream.read(bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => bytes = &mut bytes[read..],
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.is_over()?;
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The same piece again and again, until nobody takes it.
    fn pour(&mut self, piece: &[u8]) -> io::Result<()> {
        for _ in 0..POUR_BYTES_MAX / piece.len() as u64 {
            self.write_all(piece)?;
        }
        Ok(())
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Spoils what was right.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(5) {
            0 => (0..=self.below(8)).for_each(|_| {
                let at = self.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.next() as u8;
                }
            }),
            1 => {
                let lengths = [-1, i32::MAX, i32::MIN, -2, 0x00ff_ffff, 0];
                let length = lengths[self.below(lengths.len())].to_be_bytes();
                bytes.iter_mut().skip(at).zip(length).for_each(|(byte, new)| *byte = new);
            }
            2 => bytes.truncate(at),
            3 => {
                let more = self.below(2_000);
                bytes.extend(self.bytes(more));
            }
            _ => *bytes = self.bytes(at),
        }
    }
}

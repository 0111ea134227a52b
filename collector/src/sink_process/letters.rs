//! Messages that a destination refused for ever: carried to the collector, which may write files.

use serde::{Deserialize, Serialize};
use weir_schema::class_by_name;
use weir_sinks::payload::RowIdentity;
use weir_sinks::{Carrier, DeadLetters, Letter, PayloadFormat};

use super::child::Voice;
use super::wire;
use crate::escape::whole_characters;
use crate::terminal::escape;

/// Longest text of a letter that is kept, bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// A letter without its payload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LetterHead {
    class: String,
    host: String,
    boot_id: String,
    epoch: i64,
    cpu: i32,
    seq: i64,
    /// How many rows it holds.
    pub rows: usize,
    destination: String,
    reason: String,
}

/// Sends letters to the collector.
#[derive(Debug)]
pub struct ToCollector(pub Voice);

impl Carrier for ToCollector {
    fn carry(&mut self, letter: &Letter<'_>) {
        let RowIdentity { host, boot_id, epoch, cpu, seq } = letter.first;
        let (host, boot_id) = (host.to_owned(), boot_id.to_owned());
        let (destination, reason) = (letter.destination.to_owned(), letter.reason.to_owned());
        let (class, rows) = (letter.class.to_owned(), letter.rows);
        let head = LetterHead { class, host, boot_id, epoch, cpu, seq, rows, destination, reason };
        // What is too long for a letter has its reason at least.
        let payload = if letter.bytes.len() <= wire::LETTER_BYTES_MAX { letter.bytes } else { &[] };
        if let Ok(message) = wire::letter(&head, payload) {
            self.0.send(&message);
        }
    }
}

impl LetterHead {
    /// Keeps it in the files of its sink. Whoever sent it chooses none of their names: they are made of what is checked here.
    /// `None`: no row of weir's can be meant.
    pub fn keep(&self, payload: &[u8], format: PayloadFormat, letters: &mut DeadLetters) -> Option<()> {
        let class = class_by_name(&self.class)?;
        let (host, boot_id) = (short(&self.host), short(&self.boot_id));
        let (destination, reason) = (short(&self.destination), short(&self.reason));
        letters.put(&Letter {
            class: class.name,
            first: RowIdentity { host: &host, boot_id: &boot_id, epoch: self.epoch, cpu: self.cpu, seq: self.seq },
            rows: self.rows,
            format,
            bytes: payload,
            destination: &destination,
            reason: &reason,
        });
        Some(())
    }
}

/// The text made harmless, and not longer than it needs to be.
pub fn short(text: &str) -> String {
    escape(whole_characters(text, TEXT_BYTES_MAX)).into_owned()
}

//! Which rows are in a message that came back: read from the message itself, so that nothing is kept of those that arrive.

use arrow_ipc::reader::StreamReader;
use serde::Deserialize;
use weir_schema::{Class, class_by_name};

use crate::payload::{PayloadFormat, RowIdentity, identity_of, tallies};
use crate::{Batch, Tally};

/// What a refused message held.
#[derive(Debug)]
pub(super) struct Rows {
    pub class: &'static Class,
    pub host: String,
    pub boot_id: String,
    pub epoch: i64,
    pub cpu: i32,
    pub seq: i64,
    pub rows: usize,
    pub tallies: Vec<Tally>,
}

impl Rows {
    /// Of some rows of a batch.
    pub fn of(batch: &Batch, first_row: usize, rows: usize) -> Rows {
        let RowIdentity { host, boot_id, epoch, cpu, seq } = identity_of(batch, first_row);
        let (host, boot_id) = (host.to_owned(), boot_id.to_owned());
        let tallies = tallies(batch, first_row, rows);
        Rows { class: batch.class, host, boot_id, epoch, cpu, seq, rows, tallies }
    }

    /// The first row.
    pub fn first(&self) -> RowIdentity<'_> {
        RowIdentity { host: &self.host, boot_id: &self.boot_id, epoch: self.epoch, cpu: self.cpu, seq: self.seq }
    }

    /// Of a payload as it was sent; `None` if it is none of ours.
    pub fn read(payload: &[u8], format: PayloadFormat) -> Option<Rows> {
        match format {
            PayloadFormat::Json | PayloadFormat::JsonLines => Rows::of_lines(payload),
            PayloadFormat::Arrow => Rows::of_stream(payload),
        }
    }

    fn of_lines(payload: &[u8]) -> Option<Rows> {
        let lines: Vec<Line> =
            serde_json::Deserializer::from_slice(payload).into_iter().collect::<Result<_, _>>().ok()?;
        let first = lines.first()?;
        let class = class_by_name(&first.class)?;
        let mut found: Vec<Tally> = Vec::new();
        for line in &lines {
            let action = class.actions.iter().find(|a| a.name == line.action).map_or(0, |a| a.id);
            let seq = line.seq;
            Tally { cpu: line.cpu, action, first_seq: seq, last_seq: seq, count: 1 }.add_to(&mut found);
        }
        let Line { host, boot_id, epoch, cpu, seq, .. } = first;
        let (host, boot_id) = (host.clone(), boot_id.clone());
        Some(Rows { class, host, boot_id, epoch: *epoch, cpu: *cpu, seq: *seq, rows: lines.len(), tallies: found })
    }

    fn of_stream(payload: &[u8]) -> Option<Rows> {
        let mut stream = StreamReader::try_new(payload, None).ok()?;
        let class = class_by_name(stream.schema().metadata().get("weir.class")?)?;
        let rows = stream.next()?.ok()?;
        let count = rows.num_rows();
        (count > 0).then(|| Rows::of(&Batch { class, rows }, 0, count))
    }
}

/// What is read of a line.
#[derive(Debug, Deserialize)]
struct Line {
    class: String,
    host: String,
    boot_id: String,
    epoch: i64,
    cpu: i32,
    seq: i64,
    action: String,
}

//! The schemas of one segment: each stands in it once, in front of the first batch that has it.

use std::collections::HashMap;
use std::io;
use std::sync::OnceLock;

use arrow_buffer::Buffer;
use arrow_schema::SchemaRef;
use weir_schema::arrow::NEVER_NULL;
use weir_schema::{CLASSES, Class, ClassId};

use super::ipc::schema_of;
use super::{Kind, SCHEMAS_MAX, bad, begin, end, pad, u32_at};

/// A schema that a segment has.
pub(super) struct Known {
    pub class: &'static Class,
    pub columns: Vec<u32>,
    /// As Arrow IPC.
    message: Buffer,
    /// What the message says, once somebody asked.
    schema: OnceLock<SchemaRef>,
}

impl Known {
    fn new(class: &'static Class, columns: Vec<u32>, message: &[u8]) -> Known {
        Known { class, columns, message: Buffer::from(message), schema: OnceLock::new() }
    }

    pub fn schema(&self) -> io::Result<&SchemaRef> {
        if let Some(known) = self.schema.get() {
            return Ok(known);
        }
        let full = weir_schema::arrow::schema(self.class.id);
        let schema = schema_of(&self.message, &full, &self.columns)?;
        Ok(self.schema.get_or_init(|| schema))
    }
}

/// The schemas of one segment by their numbers; one that damage took is missing.
#[derive(Default)]
pub struct Schemas {
    known: Vec<Option<Known>>,
    /// By class and columns.
    numbers: HashMap<(ClassId, Vec<u32>), u32>,
}

impl Schemas {
    /// Number of the schema with these columns; a new one is written in front.
    pub(super) fn number(
        &mut self,
        class: &'static Class,
        columns: &[u32],
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<u32> {
        let key = (class.id, columns.to_vec());
        if let Some(number) = self.numbers.get(&key) {
            return Ok(*number);
        }
        let number = self.known.len() as u32;
        let start = begin(Kind::Schema, u64::from(number), out);
        out.extend_from_slice(&(class.id as u32).to_le_bytes());
        out.extend_from_slice(&(columns.len() as u32).to_le_bytes());
        columns.iter().for_each(|column| out.extend_from_slice(&column.to_le_bytes()));
        pad(out);
        out.extend_from_slice(message);
        end(start, out)?;
        self.known.push(Some(Known::new(class, columns.to_vec(), message)));
        self.numbers.insert(key, number);
        Ok(number)
    }

    /// The schema with this number.
    pub(super) fn get(&self, number: u32) -> Option<&Known> {
        self.known.get(number as usize)?.as_ref()
    }

    /// Takes in the body of a frame of kind schema.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(&mut self, number: u64, body: &[u8]) -> io::Result<()> {
        let part = || {
            let class = CLASSES.iter().find(|class| class.id as u32 == u32_at(body, 0).unwrap_or(u32::MAX))?;
            let count = u32_at(body, 4)? as usize;
            let columns: Option<Vec<u32>> = (0..count).map(|i| u32_at(body, 8 + 4 * i)).collect();
            let columns = columns.filter(|columns| are_columns(class, columns))?;
            let message = body.get((8 + 4 * count).next_multiple_of(8)..)?;
            Some(Known::new(class, columns, message))
        };
        let known = part().ok_or_else(|| bad("a schema of a segment is not what was written"))?;
        let at = usize::try_from(number).ok().filter(|at| *at < SCHEMAS_MAX);
        let at = at.ok_or_else(|| bad("a segment has more schemas than there can be"))?;
        if self.known.len() <= at {
            // Those between are lost by damage.
            self.known.resize_with(at + 1, || None);
        }
        self.numbers.entry((known.class.id, known.columns.clone())).or_insert(at as u32);
        self.known[at].get_or_insert(known);
        Ok(())
    }
}

/// Whether these can be the columns that have values: each once, in their order, and with those that always have one. So a
/// batch has at least as many bytes as its null columns take.
fn are_columns(class: &Class, columns: &[u32]) -> bool {
    let names: Vec<&str> = class.all_columns().map(|column| column.name).collect();
    let has = |name: &&str| columns.iter().any(|column| names.get(*column as usize) == Some(name));
    columns.is_sorted_by(|a, b| a < b)
        && columns.last().is_none_or(|last| (*last as usize) < names.len())
        && NEVER_NULL.iter().filter(|name| names.contains(name)).all(has)
}

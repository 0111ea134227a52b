//! The schemas of one segment: each stands in it once, in front of the first batch that has it.

use std::io;
use std::sync::{Arc, OnceLock};

use arrow_buffer::Buffer;
use arrow_ipc::convert::try_schema_from_ipc_buffer;
use arrow_schema::SchemaRef;
use weir_schema::{CLASSES, Class};

use super::{Kind, SCHEMAS_MAX, arrow, bad, begin, end, pad, u32_at};

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
        let schema = try_schema_from_ipc_buffer(&self.message).map_err(arrow)?;
        Ok(self.schema.get_or_init(|| Arc::new(schema)))
    }
}

/// The schemas of one segment by their numbers; one that damage took is missing.
#[derive(Default)]
pub struct Schemas(Vec<Option<Known>>);

impl Schemas {
    /// Number of the schema with these columns; a new one is written in front.
    pub(super) fn number(
        &mut self,
        class: &'static Class,
        columns: &[u32],
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<u32> {
        let is_it = |known: &Known| known.class.id == class.id && known.columns == columns;
        if let Some(at) = self.0.iter().position(|known| known.as_ref().is_some_and(is_it)) {
            return Ok(at as u32);
        }
        let start = begin(Kind::Schema, self.0.len() as u64, out);
        out.extend_from_slice(&(class.id as u32).to_le_bytes());
        out.extend_from_slice(&(columns.len() as u32).to_le_bytes());
        columns.iter().for_each(|column| out.extend_from_slice(&column.to_le_bytes()));
        pad(out);
        out.extend_from_slice(message);
        end(start, out)?;
        self.0.push(Some(Known::new(class, columns.to_vec(), message)));
        Ok(self.0.len() as u32 - 1)
    }

    /// The schema with this number.
    pub(super) fn get(&self, number: u32) -> Option<&Known> {
        self.0.get(number as usize)?.as_ref()
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
            let columns = columns.filter(|c| c.iter().all(|c| (*c as usize) < class.all_columns().count()))?;
            let message = body.get((8 + 4 * count).next_multiple_of(8)..)?;
            Some(Known::new(class, columns, message))
        };
        let known = part().ok_or_else(|| bad("a schema of a segment is not what was written"))?;
        let at = usize::try_from(number).ok().filter(|at| *at < SCHEMAS_MAX);
        let at = at.ok_or_else(|| bad("a segment has more schemas than there can be"))?;
        if self.0.len() <= at {
            // Those between are lost by damage.
            self.0.resize_with(at + 1, || None);
        }
        self.0[at].get_or_insert(known);
        Ok(())
    }
}

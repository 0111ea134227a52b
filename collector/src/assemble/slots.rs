//! Where the texts of a row come from, decided once per class and action.

use weir_schema::record::Record;
use weir_schema::wire::{HEADER_SIZE, offset_of};
use weir_schema::{Action, Class, Column, ColumnType, Source};

use super::block::Block;
use super::rows::Row;
use super::syscall;
use crate::escape::push_bytes;
use crate::paths::{self, Argument, Ends};
use crate::texts::{Making, TextId, Texts};

/// How one or more text slots of a row get their texts.
#[derive(Debug, Clone, Copy)]
enum Taken {
    Plain {
        tail: usize,
    },
    Walk {
        tail: usize,
    },
    /// The text, what was passed and its directory; a walk goes before the text.
    Path {
        walk: Option<usize>,
        raw: usize,
        dir: usize,
        raw_slot: Option<usize>,
        dir_slot: Option<usize>,
        /// Byte that says where `..` ends.
        state: usize,
    },
    /// The target of a symbolic link.
    Target {
        raw: usize,
        link_raw: usize,
        link_dir: usize,
        state: usize,
    },
    Address {
        field: usize,
        family: usize,
        ends: usize,
        bit: u8,
    },
    Arguments,
}

/// The texts of rows of one class.
pub struct Slots {
    /// Columns that are filled from texts; their order is the slots'.
    columns: Vec<&'static Column>,
    by_action: Vec<Vec<(usize, Taken)>>,
}

fn is_text(column: &Column) -> bool {
    let by_name = column.name == "args_text";
    let by_source = matches!(
        column.source,
        Source::Text { .. } | Source::Walk { .. } | Source::Path { .. } | Source::Address { .. }
    );
    column.ty == ColumnType::Text && (by_name || by_source)
}

fn tail(class: &Class, name: &str) -> usize {
    class.tail(name).expect("the definition's tests look up every tail")
}

fn field_at(class: &Class, name: &str) -> usize {
    HEADER_SIZE + offset_of(class.fields, name)
}

impl Slots {
    /// The slots of a class.
    pub fn new(class: &'static Class) -> Slots {
        let columns: Vec<_> = class.all_columns().filter(|c| is_text(c)).collect();
        let mut slots = Slots { columns, by_action: vec![] };
        slots.by_action = class.actions.iter().map(|action| slots.of_action(class, action)).collect();
        slots
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// The slot of a column.
    pub fn of(&self, column: &Column) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column.name)
    }

    fn of_action(&self, class: &Class, action: &Action) -> Vec<(usize, Taken)> {
        let mut taken: Vec<(usize, Taken)> = vec![];
        let mut with_a_path: Vec<usize> = vec![];
        for (slot, column) in self.columns.iter().enumerate() {
            if class.owns(column.name) && !action.has(column.name) {
                continue;
            }
            let how = self.taken(class, action, column);
            if let Taken::Path { raw_slot, dir_slot, .. } = how {
                with_a_path.extend(raw_slot.into_iter().chain(dir_slot));
            }
            taken.push((slot, how));
        }
        taken.retain(|(slot, _)| !with_a_path.contains(slot));
        taken
    }

    fn slot_of_tail(&self, action: &Action, tail: &str) -> Option<usize> {
        self.columns.iter().position(|c| {
            matches!(c.source, Source::Text { tail: t } | Source::Walk { tail: t } if t == tail) && action.has(c.name)
        })
    }

    fn taken(&self, class: &Class, action: &Action, column: &Column) -> Taken {
        match (column.name, column.source) {
            ("args_text", _) => Taken::Arguments,
            ("path", Source::Path { raw, .. }) if action.name == "symlink" => Taken::Target {
                raw: tail(class, raw),
                link_raw: tail(class, "new_path_raw"),
                link_dir: tail(class, "new_path_dir"),
                state: field_at(class, "path_state"),
            },
            (_, Source::Path { walk, raw, dir }) => Taken::Path {
                walk: walk.map(|walk| tail(class, walk)),
                raw: tail(class, raw),
                dir: tail(class, dir),
                raw_slot: self.slot_of_tail(action, raw),
                dir_slot: self.slot_of_tail(action, dir),
                state: field_at(class, "path_state"),
            },
            (_, Source::Address { field }) => Taken::Address {
                field: field_at(class, field),
                family: field_at(class, "family"),
                ends: field_at(class, "ends"),
                bit: if field == "local_ip" { 1 } else { 2 },
            },
            (_, Source::Walk { tail: t }) => Taken::Walk { tail: tail(class, t) },
            (_, Source::Text { tail: t }) => Taken::Plain { tail: tail(class, t) },
            (name, source) => unreachable!("{name} is no text: {source:?}"),
        }
    }

    /// Puts the texts of a row into the block, which has begun it.
    #[inline]
    pub fn take(&self, row: &Row<'_>, block: &mut Block, texts: &mut Texts) {
        let record = row.record;
        for &(slot, taken) in &self.by_action[record.action.index()] {
            let id = match taken {
                Taken::Plain { tail } => texts.plain(record.tail(tail)),
                Taken::Walk { tail } => paths::walked(texts, record.tail(tail)),
                Taken::Path { walk, raw, dir, raw_slot, dir_slot, state } => {
                    let walk = walk.map_or(&[][..], |walk| record.tail(walk));
                    let (raw, dir) = (record.tail(raw), record.tail(dir));
                    let argument = if walk.is_empty() {
                        paths::argument(texts, dir, raw, Ends::of(record.fixed[state]))
                    } else {
                        let path = paths::walked(texts, walk);
                        Argument { path, raw: texts.plain(raw), dir: paths::walked(texts, dir) }
                    };
                    raw_slot.into_iter().for_each(|slot| block.text(slot, argument.raw));
                    dir_slot.into_iter().for_each(|slot| block.text(slot, argument.dir));
                    argument.path
                }
                Taken::Target { raw, link_raw, link_dir, state } => {
                    let link = [record.tail(link_dir), record.tail(link_raw)];
                    paths::link_target(texts, link, record.tail(raw), Ends::of(record.fixed[state]))
                }
                Taken::Address { ends, bit, .. } if record.fixed[ends] & bit == 0 => TextId::NONE,
                Taken::Address { field, family, .. } => address(record, field, family, texts),
                Taken::Arguments => syscall::args_text(record, block, texts),
            };
            block.text(slot, id);
        }
    }
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

fn address(record: &Record<'_>, field: usize, family: usize, texts: &mut Texts) -> TextId {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let bytes = match u16::from_le_bytes([record.fixed[family], record.fixed[family + 1]]) {
        AF_INET => &record.fixed[field..field + 4],
        AF_INET6 => &record.fixed[field..field + 16],
        _ => return TextId::NONE,
    };
    texts.intern(Making::Address, [bytes, &[]], |[bytes, _], out| {
        let text = match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
            (Ok(bytes), _) => Ipv4Addr::from(bytes).to_string(),
            (_, Ok(bytes)) => Ipv6Addr::from(bytes).to_string(),
            _ => String::new(),
        };
        push_bytes(text.as_bytes(), out)
    })
}

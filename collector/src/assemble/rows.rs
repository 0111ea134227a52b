//! The open rows of one class.

use weir_schema::wire::{HEADER_SIZE, offset_of};
use weir_schema::{Class, ClassId, ColumnType, Source};
use weir_sinks::{Batch, Identity};

use super::dictionary::TextColumn;
use super::lists::ListColumn;
use super::{columns, syscall};
use crate::context::Process;
use crate::paths;
use crate::texts::{Making, TextId, Texts};
use weir_schema::record::{Record, at};

/// A record with what is known of its process.
pub struct Row<'a> {
    /// The record.
    pub record: &'a Record<'a>,
    /// Its process.
    pub process: Process,
    /// Its thread's name.
    pub comm: TextId,
}

/// Where a text column's text comes from, when its row is appended.
#[derive(Debug, Clone, Copy)]
enum Taken {
    Comm,
    Exe,
    Cmdline,
    Plain(usize),
    Walk(usize),
    Path { walk: Option<usize>, raw: usize, dir: usize },
    Address { field: usize, family: usize, ends: usize, bit: u8 },
    Arguments,
}

pub(super) struct TextSlot {
    /// Position among the class's columns.
    pub column: usize,
    taken: Taken,
    pub texts: TextColumn,
}

pub(super) struct ListSlot {
    pub column: usize,
    tail: usize,
    pub lists: ListColumn,
}

/// The open rows of one class.
pub struct ClassRows {
    pub(super) class: &'static Class,
    /// Fixed parts of the records, one behind the other.
    pub(super) fixed: Vec<u8>,
    /// Texts of every row, `texts.len()` each.
    pub(super) ids: Vec<TextId>,
    pub(super) texts: Vec<TextSlot>,
    pub(super) lists: Vec<ListSlot>,
    /// Whether any text of the row was escaped.
    pub(super) escaped: Vec<bool>,
    /// Bit per text column of which any row has a text.
    pub(super) with_text: u32,
    /// Bit per action that has come.
    pub(super) actions: u32,
    pub(super) all_in_task: bool,
}

fn field_at(class: &Class, name: &str) -> usize {
    HEADER_SIZE + offset_of(class.fields, name)
}

fn taken(class: &'static Class, name: &str, source: Source) -> Option<Taken> {
    let tail = |name: &str| class.tail(name).expect("the definition's tests look up every tail");
    Some(match (name, source) {
        ("comm", _) => Taken::Comm,
        ("exe", _) => Taken::Exe,
        ("cmdline", _) => Taken::Cmdline,
        ("args_text", _) => Taken::Arguments,
        (_, Source::Text { tail: t }) => Taken::Plain(tail(t)),
        (_, Source::Walk { tail: t }) => Taken::Walk(tail(t)),
        (_, Source::Path { walk, raw, dir }) => Taken::Path { walk: walk.map(tail), raw: tail(raw), dir: tail(dir) },
        (_, Source::Address { field }) => Taken::Address {
            field: field_at(class, field),
            family: field_at(class, "family"),
            ends: field_at(class, "ends"),
            bit: if field == "local_ip" { 1 } else { 2 },
        },
        _ => return None,
    })
}

fn address(bytes: &[u8], family: u16, texts: &mut Texts) -> TextId {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let text = match family {
        2 => <[u8; 4]>::try_from(&bytes[..4]).ok().map(|b| Ipv4Addr::from(b).to_string()),
        10 => <[u8; 16]>::try_from(bytes).ok().map(|b| Ipv6Addr::from(b).to_string()),
        _ => None,
    };
    let Some(text) = text else { return TextId::NONE };
    texts.intern(Making::Address, [text.as_bytes(), &[]], |[bytes, _], out| crate::texts::push_bytes(bytes, out))
}

impl ClassRows {
    /// No rows of this class.
    pub fn new(class: &'static Class) -> ClassRows {
        let columns = || class.all_columns().enumerate();
        let texts = columns()
            .filter(|(_, c)| c.ty == ColumnType::Text)
            .filter_map(|(i, c)| Some((i, taken(class, c.name, c.source)?)))
            .map(|(column, taken)| TextSlot { column, taken, texts: TextColumn::default() })
            .collect();
        let lists = columns()
            .filter_map(|(column, c)| match c.source {
                Source::List { tail } => {
                    Some(ListSlot { column, tail: class.tail(tail)?, lists: ListColumn::default() })
                }
                _ => None,
            })
            .collect();
        ClassRows {
            class,
            fixed: vec![],
            ids: vec![],
            texts,
            lists,
            escaped: vec![],
            with_text: 0,
            actions: 0,
            all_in_task: true,
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.escaped.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.escaped.is_empty()
    }

    /// Bytes of the rows.
    pub fn bytes(&self) -> usize {
        self.fixed.len() + self.lists.iter().map(|l| l.lists.bytes()).sum::<usize>()
    }

    /// Bytes of one row's fixed part.
    pub(super) fn stride(&self) -> usize {
        self.class.layout().fixed
    }

    /// Appends a row.
    pub fn append(&mut self, row: &Row<'_>, texts: &mut Texts) {
        let record = row.record;
        let start = self.fixed.len();
        self.fixed.extend_from_slice(record.fixed);
        if row.process.parent_key != 0 {
            // The creator, where the record has whoever is the parent now.
            self.fixed[start + at::PARENT_KEY..][..8].copy_from_slice(&row.process.parent_key.to_le_bytes());
        }
        self.actions |= 1 << record.action.index();
        self.all_in_task &= record.in_task();
        let mut escaped = false;
        for (i, slot) in self.texts.iter().enumerate() {
            let id = take(slot.taken, row, self.class, texts);
            escaped |= id.is_escaped();
            self.with_text |= u32::from(!id.is_none()) << i;
            self.ids.push(id);
        }
        for slot in &mut self.lists {
            let tail = record.tail(slot.tail);
            let has = !tail.is_empty();
            escaped |= has && std::str::from_utf8(tail).is_err();
            slot.lists.push(has.then_some(tail));
        }
        self.escaped.push(escaped);
    }

    /// The rows as columns; empty afterwards.
    pub fn close(&mut self, identity: &Identity, clock_offset_ns: i64, texts: &Texts) -> Batch {
        let batch = columns::close(self, identity, clock_offset_ns, texts);
        self.fixed.clear();
        self.ids.clear();
        self.escaped.clear();
        self.with_text = 0;
        self.actions = 0;
        self.all_in_task = true;
        batch
    }
}

#[inline]
fn take(taken: Taken, row: &Row<'_>, class: &Class, texts: &mut Texts) -> TextId {
    let record = row.record;
    match taken {
        Taken::Comm if record.in_task() => row.comm,
        Taken::Comm => TextId::NONE,
        Taken::Exe => row.process.exe,
        Taken::Cmdline => row.process.cmdline,
        Taken::Plain(tail) => texts.plain(record.tail(tail)),
        Taken::Walk(tail) => paths::walked(texts, record.tail(tail)),
        Taken::Path { walk, raw, dir } => match walk.map_or(&[][..], |w| record.tail(w)) {
            [] if record.action.name == "symlink" && walk.is_some() => link_target(record, class, texts),
            [] => paths::joined(texts, record.tail(dir), record.tail(raw)),
            bytes => paths::walked(texts, bytes),
        },
        Taken::Address { field, family, ends, bit } => {
            if record.fixed[ends] & bit == 0 {
                return TextId::NONE;
            }
            let family = u16::from_le_bytes([record.fixed[family], record.fixed[family + 1]]);
            address(&record.fixed[field..field + 16], family, texts)
        }
        Taken::Arguments => syscall::args_text(record, texts),
    }
}

/// The target of a symbolic link is relative to the link, not to the caller's directory.
fn link_target(record: &Record<'_>, class: &Class, texts: &mut Texts) -> TextId {
    let tail = |name| class.tail(name).unwrap_or_default();
    let (raw, link_raw, link_dir) = (tail("path_raw"), tail("new_path_raw"), tail("new_path_dir"));
    let link = paths::joined(texts, record.tail(link_dir), record.tail(link_raw));
    paths::link_target(texts, link, record.tail(raw))
}

/// Whether the class is `syscall`, whose columns need its tables.
pub(super) fn is_syscall(class: &Class) -> bool {
    class.id == ClassId::Syscall
}

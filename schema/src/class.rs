//! Classes and actions: a class is one Arrow schema and one table, an action is what happened in it.

use crate::column::{COMMON, CONTEXT, Column};
use crate::wire::{Field, Layout};

/// Number of a class on the wire, the high byte of an action's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ClassId {
    /// lifecycle, credentials, signals
    Process = 1,
    /// paths and files
    File = 2,
    /// sockets
    Network = 3,
    /// executable and foreign memory
    Memory = 4,
    /// changes to the kernel itself
    Kernel = 5,
    /// any system call by name
    Syscall = 6,
    /// what was not seen
    Loss = 7,
    /// containers
    Container = 8,
}

impl ClassId {
    /// Position in [`crate::CLASSES`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }
}

/// One class.
#[derive(Debug)]
pub struct Class {
    /// Number on the wire.
    pub id: ClassId,
    /// Name in the outputs.
    pub name: &'static str,
    /// One line for the docs.
    pub doc: &'static str,
    /// Selected when the user does not say which.
    pub default: bool,
    /// Fixed fields behind the header.
    pub fields: &'static [Field],
    /// Variable tails, in the order they stand in the record.
    pub tails: &'static [&'static str],
    /// The class's own columns, between [`COMMON`] and [`CONTEXT`].
    pub columns: &'static [Column],
    /// Its actions.
    pub actions: &'static [Action],
}

/// Where the tests can trigger an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// On any machine, by an ordinary program as root.
    Anywhere,
    /// Only in the virtual machine, with the reason.
    Machine(&'static str),
    /// The collector makes the row itself.
    Collector,
}

/// One action.
#[derive(Debug)]
pub struct Action {
    /// Number on the wire: `class << 8 | n`.
    pub id: u16,
    /// Name in column `action`.
    pub name: &'static str,
    /// One line for the docs.
    pub doc: &'static str,
    /// System calls (by their 64-bit name) whose exit makes this action; empty where a tracepoint or iterator does.
    pub calls: &'static [&'static str],
    /// The class's own columns that this action can set; the others are null in its rows.
    pub sets: &'static [&'static str],
    /// More of them, which several actions share.
    pub also: &'static [&'static str],
    /// Symbol set of each [`crate::Source::Symbols`] column.
    pub symbols: &'static [(&'static str, &'static str)],
    /// Only when asked for by name (`network.sendto`), because it is frequent.
    pub on_request: bool,
    /// Where the tests trigger it.
    pub trigger: Trigger,
}

impl Action {
    /// An action of the first set with these defaults: every machine, no symbols, not on request.
    pub const fn new(id: u16, name: &'static str, doc: &'static str) -> Action {
        Action {
            id,
            name,
            doc,
            calls: &[],
            sets: &[],
            also: &[],
            symbols: &[],
            on_request: false,
            trigger: Trigger::Anywhere,
        }
    }

    /// Sets [`Action::calls`].
    pub const fn calls(mut self, calls: &'static [&'static str]) -> Action {
        self.calls = calls;
        self
    }

    /// Sets [`Action::sets`].
    pub const fn sets(mut self, columns: &'static [&'static str]) -> Action {
        self.sets = columns;
        self
    }

    /// Sets [`Action::also`].
    pub const fn also(mut self, columns: &'static [&'static str]) -> Action {
        self.also = columns;
        self
    }

    /// Sets [`Action::symbols`].
    pub const fn symbols(mut self, symbols: &'static [(&'static str, &'static str)]) -> Action {
        self.symbols = symbols;
        self
    }

    /// Sets [`Action::on_request`].
    pub const fn on_request(mut self) -> Action {
        self.on_request = true;
        self
    }

    /// Sets [`Action::trigger`].
    pub const fn trigger(mut self, trigger: Trigger) -> Action {
        self.trigger = trigger;
        self
    }

    /// Position of the action in its class.
    pub fn index(&self) -> usize {
        usize::from(self.id & 0xff) - 1
    }

    /// Whether rows of this action can have a value in the class's own column.
    pub fn has(&self, column: &str) -> bool {
        self.sets.contains(&column) || self.also.contains(&column) || column == "text_escaped"
    }
}

impl Class {
    /// Layout of the record.
    pub fn layout(&self) -> Layout {
        crate::classes::LAYOUTS[self.id.index()]
    }

    /// All columns in order: the common ones, the class's own, then the context.
    pub fn all_columns(&self) -> impl Iterator<Item = &'static Column> {
        COMMON.iter().chain(self.columns).chain(CONTEXT)
    }

    /// Whether the column is one of the class's own.
    pub fn owns(&self, column: &str) -> bool {
        self.columns.iter().any(|c| c.name == column)
    }

    /// Position of a tail.
    pub fn tail(&self, name: &str) -> Option<usize> {
        self.tails.iter().position(|t| *t == name)
    }

    /// The action with this id.
    pub fn action(&self, id: u16) -> Option<&'static Action> {
        let index = usize::from(id & 0xff).checked_sub(1)?;
        self.actions.get(index).filter(|a| a.id == id)
    }

    /// Whether the probes write records of this class; loss rows are made by the collector alone.
    pub fn has_record(&self) -> bool {
        !self.fields.is_empty()
    }
}

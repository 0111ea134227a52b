//! The table: every class with its record, columns and actions.

mod container;
mod file;
mod kernel;
mod loss;
mod memory;
mod network;
mod process;
mod syscall;

use crate::class::{Action, Class};
use crate::wire::Layout;

/// All classes, in the order of their numbers.
pub static CLASSES: [&Class; 8] = [
    &process::PROCESS,
    &file::FILE,
    &network::NETWORK,
    &memory::MEMORY,
    &kernel::KERNEL,
    &syscall::SYSCALL,
    &loss::LOSS,
    &container::CONTAINER,
];

/// Layouts of the records, computed once: the decoder asks for every record.
pub(crate) static LAYOUTS: [Layout; CLASSES.len()] = {
    let mut layouts = [Layout { tail_lengths: 0, fixed: 0 }; CLASSES.len()];
    let mut i = 0;
    while i < layouts.len() {
        layouts[i] = Layout::of(CLASSES[i].fields, CLASSES[i].tails.len());
        i += 1;
    }
    layouts
};

/// The class with this name.
pub fn class_by_name(name: &str) -> Option<&'static Class> {
    CLASSES.iter().copied().find(|c| c.name == name)
}

/// Class and action of an id on the wire.
pub fn action_by_id(id: u16) -> Option<(&'static Class, &'static Action)> {
    let class = *CLASSES.get(usize::from(id >> 8).checked_sub(1)?)?;
    Some((class, class.action(id)?))
}

#[cfg(test)]
mod tests;

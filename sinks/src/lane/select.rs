//! Which classes a sink gets.

use weir_schema::{CLASSES, ClassId};

/// A set of classes; class `loss` is always in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassSet(u32);

const fn bit(class: ClassId) -> u32 {
    1 << class.index()
}

impl ClassSet {
    /// Every class.
    pub fn all() -> ClassSet {
        ClassSet::of(CLASSES.iter().map(|c| c.id))
    }

    /// These classes and `loss`.
    pub fn of(classes: impl IntoIterator<Item = ClassId>) -> ClassSet {
        ClassSet(classes.into_iter().fold(bit(ClassId::Loss), |set, class| set | bit(class)))
    }

    /// Whether the sink gets rows of this class.
    pub fn contains(self, class: ClassId) -> bool {
        self.0 & bit(class) != 0
    }

    /// Whether the sink gets rows of this action (`class << 8 | action`); never of action 0.
    pub fn has_action(self, action: u16) -> bool {
        let index = usize::from(action >> 8).checked_sub(1);
        index.and_then(|i| CLASSES.get(i)).is_some_and(|class| self.contains(class.id))
    }
}

impl Default for ClassSet {
    fn default() -> ClassSet {
        ClassSet::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_in_every_set_and_action_zero_in_none() {
        let none = ClassSet::of([]);
        assert!(none.contains(ClassId::Loss) && none.has_action(0x0701));
        assert!(!none.contains(ClassId::File) && !none.has_action(0x0201));
        assert!(ClassSet::all().has_action(0x0201) && !ClassSet::all().has_action(0));
        assert!(!ClassSet::all().has_action(0xff01));
    }
}

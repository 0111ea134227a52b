//! The filter by containers: all, none, or some by id and name.

use serde::{Deserialize, Serialize};

use super::Container;

/// Characters of an id that are enough to name a container.
pub const ID_PREFIX_MIN: usize = 12;

/// Which containers are recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    inside: Option<bool>,
    only: Vec<String>,
    except: Vec<String>,
}

impl Rule {
    /// `inside`: only containers, or only the host; `only` and `except`: ids, their first 12 characters or more, or names.
    pub fn new(inside: Option<bool>, only: &[String], except: &[String]) -> Rule {
        Rule { inside, only: only.to_vec(), except: except.to_vec() }
    }

    /// Whether it keeps everything.
    pub fn is_open(&self) -> bool {
        self.inside.is_none() && self.only.is_empty() && self.except.is_empty()
    }

    /// Whether it keeps what happens inside containers, or outside.
    pub fn keeps_where(&self, is_inside: bool) -> bool {
        self.inside.is_none_or(|inside| inside == is_inside)
    }

    /// Whether this container is one for the filter. What may be left out must be proven; where only containers are kept, who
    /// claims to be one is kept too.
    pub fn is_inside(&self, container: &Container) -> bool {
        self.inside == Some(true) || container.evidence.is_proof()
    }

    /// Whether it keeps what happens in this container, as far as it is one.
    pub fn keeps_inside(&self, container: &Container) -> bool {
        self.keeps_where(self.is_inside(container))
    }

    /// Whether it keeps this container, or the host. One whose name is still asked for is kept where a name may decide: a row
    /// too many is better than one too few.
    pub fn keeps(&self, container: Option<&Container>) -> bool {
        let Some(container) = container else { return self.only.is_empty() };
        if !container.evidence.is_proof() {
            // It counts as none, unless its runtime may still say that it has one of these names.
            return self.only.is_empty() || (!container.is_answered && self.only.iter().any(|word| !is_id(word)));
        }
        let is_named = |list: &[String]| list.iter().any(|word| names(word, container));
        if container.may_be_left_out() && is_named(&self.except) {
            return false;
        }
        self.only.is_empty() || is_named(&self.only) || (!container.is_answered && self.only.iter().any(|w| !is_id(w)))
    }
}

/// Whether a word of the filter is the beginning of an id.
pub fn is_id(word: &str) -> bool {
    word.len() >= ID_PREFIX_MIN && word.bytes().all(|b| b.is_ascii_hexdigit())
}

fn names(word: &str, container: &Container) -> bool {
    container.name.as_deref() == Some(word) || container.id == word || (is_id(word) && container.id.starts_with(word))
}

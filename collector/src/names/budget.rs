//! How much text of one answer is kept.

use std::collections::BTreeMap;

use crate::escape::whole_characters;

/// Bytes that may still be kept of an answer.
pub(super) struct Budget {
    left: usize,
    /// Something did not fit.
    pub cut: bool,
}

impl Budget {
    pub(super) fn new(bytes_max: usize) -> Budget {
        Budget { left: bytes_max, cut: false }
    }

    /// The text if it fits; an empty one is none.
    pub(super) fn text(&mut self, text: Option<String>) -> Option<String> {
        text.filter(|text| !text.is_empty() && self.spend(text.len()))
    }

    /// In the order of their keys, every label that fits into what is left; never a part of one.
    pub(super) fn labels(&mut self, labels: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
        let sorted: BTreeMap<String, String> = labels.into_iter().collect();
        sorted.into_iter().filter(|(key, value)| self.spend(key.len() + value.len())).collect()
    }

    fn spend(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.cut = true;
                false
            }
        }
    }
}

/// At most this many bytes of a text, whole characters.
pub(super) fn shorten(text: &str, bytes_max: usize) -> String {
    whole_characters(text, bytes_max).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_fits_is_kept_whole_and_the_rest_is_left_out_and_said() {
        let mut budget = Budget::new(10);
        assert_eq!(budget.text(Some("web".into())), Some("web".into()));
        let kept = budget.labels(labels(&[("c", "3"), ("b", "far too long"), ("a", "1"), ("d", "\u{1b}[31m")]));
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), labels(&[("a", "1"), ("c", "3")]));
        assert!(budget.cut);
    }

    #[test]
    fn what_fits_exactly_is_not_cut() {
        let mut budget = Budget::new(4);
        assert_eq!(budget.labels(labels(&[("a", "1"), ("b", "2")])).len(), 2);
        assert!(!budget.cut);
    }

    #[test]
    fn a_text_that_does_not_fit_is_none_and_an_empty_one_is_no_cut() {
        let mut budget = Budget::new(3);
        assert_eq!(budget.text(Some(String::new())), None);
        assert!(!budget.cut);
        assert_eq!(budget.text(Some("four".into())), None);
        assert!(budget.cut);
    }

    #[test]
    fn a_short_text_has_whole_characters() {
        assert_eq!(shorten("aé", 2), "a");
        assert_eq!(shorten("aé", 3), "aé");
        assert_eq!(shorten("a", 9), "a");
    }
}

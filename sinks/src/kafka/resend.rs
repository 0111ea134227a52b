//! Messages that came back, or could not go, because one before them was refused: they go again, in their order.
//!
//! A broker refuses all messages that travel together for the sake of one. What stands behind them must not overtake what
//! is sent again, so the producer stops at the first refusal (`enable.gapless.guarantee`), gives back everything that no
//! broker has, and another one sends it. Those that were refused together go first, each alone, if nothing else tells
//! which of them it was.

use std::collections::{HashMap, VecDeque};

use super::reports::{Failed, Parcel};

/// What a sink has to send again.
#[derive(Debug, Default)]
pub(super) struct Resend {
    /// In the order of each partition.
    waiting: VecDeque<Parcel>,
    /// So many of the first are looked through for what is refused, each alone.
    suspects: usize,
}

impl Resend {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the next to go are suspects.
    pub fn is_searching(&self) -> bool {
        self.suspects > 0
    }

    /// Behind all others.
    pub fn push(&mut self, parcel: Parcel) {
        self.waiting.push_back(parcel);
    }

    /// In front of all others; of a search, if one is going on: then they are all that is left of its suspects.
    pub fn put_back(&mut self, parcels: Vec<Parcel>, is_search: bool) {
        self.suspects = if is_search { parcels.len() } else { 0 };
        parcels.into_iter().rev().for_each(|parcel| self.waiting.push_front(parcel));
    }

    /// In front of all others, and begins a search: first comes what was refused together, and what stands before it in the
    /// same partitions.
    pub fn search(&mut self, failed: Vec<Failed>) {
        let mut last: HashMap<(String, i32), usize> = HashMap::new();
        for suspect in failed.iter().filter(|failed| failed.trouble.is_some()) {
            last.insert(suspect.place(), suspect.number);
        }
        let is_before = |failed: &Failed| last.get(&failed.place()).is_some_and(|last| failed.number <= *last);
        let (first, rest): (Vec<Failed>, Vec<Failed>) = failed.into_iter().partition(is_before);
        let suspects = first.len();
        self.put_back(first.into_iter().chain(rest).map(|failed| failed.parcel).collect(), false);
        self.suspects = suspects;
    }

    /// What goes next: the suspects of a search, or everything.
    pub fn take(&mut self) -> VecDeque<Parcel> {
        match std::mem::take(&mut self.suspects) {
            0 => std::mem::take(&mut self.waiting),
            suspects => self.waiting.drain(..suspects).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::super::meaning::Trouble;
    use super::*;

    fn failed(number: usize, partition: i32, is_suspect: bool) -> Failed {
        let parcel = Parcel { topic: "t".into(), key: Vec::new(), payload: vec![number as u8], headers: None };
        let trouble = is_suspect.then(|| Trouble::of(Code::MessageSizeTooLarge));
        Failed { number, partition, parcel, trouble }
    }

    fn numbers(parcels: impl IntoIterator<Item = Parcel>) -> Vec<u8> {
        parcels.into_iter().map(|parcel| parcel.payload[0]).collect()
    }

    #[test]
    fn a_search_takes_what_was_refused_with_all_before_it_in_its_partition() {
        let mut resend = Resend::default();
        resend.push(failed(9, 1, false).parcel);
        // Partition 1 was refused at 3 and 4; 1 stands before them there, 6 behind.
        resend.search(vec![
            failed(1, 1, false),
            failed(2, 2, false),
            failed(3, 1, true),
            failed(4, 1, true),
            failed(5, 2, false),
            failed(6, 1, false),
        ]);
        assert_eq!(numbers(resend.take()), [1, 3, 4]);
        assert_eq!(numbers(resend.take()), [2, 5, 6, 9]);
        assert!(resend.is_empty());
    }

    #[test]
    fn what_comes_back_in_a_search_is_searched_on_before_all_others() {
        let mut resend = Resend::default();
        resend.search(vec![failed(1, 0, true), failed(2, 0, true), failed(3, 0, false)]);
        assert_eq!(numbers(resend.take()), [1, 2]);
        resend.put_back(vec![failed(2, 0, false).parcel], true);
        assert_eq!(numbers(resend.take()), [2]);
        resend.put_back(vec![failed(2, 0, false).parcel], false);
        assert_eq!(numbers(resend.take()), [2, 3]);
    }
}

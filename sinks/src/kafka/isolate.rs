//! Finds the messages that a broker will never accept among those that travelled with them.
//!
//! A broker refuses all messages that travel together for the sake of one. So those that failed are sent again in halves,
//! nothing else beside them, until the refused ones stand alone. The others arrive later than what followed them; that is
//! the only case in which a producer that works changes the order of a key.

use super::meaning::Trouble;
use super::reports::Parcel;

/// The search of one sink.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// Groups to be sent; the last one next.
    groups: Vec<Vec<Parcel>>,
    /// Size of the group that was sent last; none while ordinary messages are on their way.
    sent: Option<usize>,
    /// Whether messages were refused alone since the search began.
    found: bool,
    /// Whether there was a search.
    searched: bool,
}

impl Isolation {
    /// Whether nothing is looked for.
    pub fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.sent.is_none()
    }

    /// Takes what has come back, once nothing is on its way any more; gives the one that was refused alone.
    pub fn returned(&mut self, mut failed: Vec<(Parcel, Trouble)>) -> Option<(Parcel, Trouble)> {
        let sent = self.sent.take();
        self.searched |= !failed.is_empty();
        if failed.len() == 1 && sent == Some(1) {
            self.found = true;
            return failed.pop();
        }
        let mut rest: Vec<Parcel> = failed.into_iter().map(|(parcel, _)| parcel).collect();
        let behind = rest.split_off(rest.len().div_ceil(2));
        self.groups.extend([behind, rest].into_iter().filter(|group| !group.is_empty()));
        None
    }

    /// The next group to be sent.
    pub fn next(&mut self) -> Option<Vec<Parcel>> {
        let group = self.groups.pop()?;
        self.sent = Some(group.len());
        Some(group)
    }

    /// Ends a search. `true` if all messages were accepted in the end: too much travelled together.
    pub fn finish(&mut self) -> bool {
        let done = std::mem::take(self);
        done.searched && !done.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::*;

    fn parcel(n: u32) -> (Parcel, Trouble) {
        let payload = n.to_le_bytes().to_vec();
        let parcel = Parcel { topic: "t".into(), key: Vec::new(), payload, headers: None };
        (parcel, Trouble::of(Code::MessageSizeTooLarge))
    }

    fn number(parcel: &Parcel) -> u32 {
        u32::from_le_bytes(parcel.payload[..].try_into().unwrap())
    }

    /// A broker that fails a whole group for one bad message: what it accepted, and what was found.
    fn search(count: u32, bad: &dyn Fn(u32) -> bool) -> (Vec<u32>, Vec<u32>, usize) {
        let (mut isolation, mut accepted, mut found, mut sends) = (Isolation::default(), vec![], vec![], 0);
        let mut failed: Vec<_> = (0..count).map(parcel).collect();
        loop {
            found.extend(isolation.returned(std::mem::take(&mut failed)).map(|(p, _)| number(&p)));
            let Some(group) = isolation.next() else { break };
            sends += 1;
            let numbers: Vec<u32> = group.iter().map(number).collect();
            if numbers.iter().any(|n| bad(*n)) {
                failed = numbers.into_iter().map(parcel).collect();
            } else {
                accepted.extend(numbers);
            }
        }
        accepted.sort();
        found.sort();
        (accepted, found, sends)
    }

    proptest! {
        #[test]
        fn exactly_the_refused_are_found_and_all_others_are_sent_once(count in 0..300u32, bad in prop::collection::hash_set(0..300u32, 0..6)) {
            let (accepted, found, _) = search(count, &|n| bad.contains(&n));
            let (refused, fine): (Vec<u32>, Vec<u32>) = (0..count).partition(|n| bad.contains(n));
            prop_assert_eq!(found, refused);
            prop_assert_eq!(accepted, fine);
        }
    }

    #[test]
    fn one_among_a_thousand_takes_some_twenty_sends() {
        let (_, found, sends) = search(1_000, &|n| n == 700);
        assert_eq!(found, [700]);
        assert!(sends <= 22, "{sends}");
    }

    #[test]
    fn a_group_that_is_accepted_in_parts_was_only_too_large_together() {
        let mut isolation = Isolation::default();
        assert!(isolation.returned((0..4).map(parcel).collect()).is_none());
        while isolation.next().is_some() {
            assert!(isolation.returned(Vec::new()).is_none());
        }
        assert!(isolation.is_idle() && isolation.finish());
        assert!(!isolation.finish(), "nothing was searched since");
    }
}

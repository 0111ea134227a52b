//! What is sent and not yet acknowledged, in the order in which it was sent.
//!
//! Every entry has a token, which comes back with its acknowledgement. Acknowledgements may come in any order; a token is
//! used again only when everything up to its entry is settled, so it can never mean two entries at once.

use std::collections::VecDeque;
use std::time::Instant;

use super::options::Window;

struct Slot<T> {
    /// `None` once settled.
    entry: Option<T>,
    bytes: usize,
    sent: Instant,
}

/// Entries on their way.
pub(super) struct Flight<T> {
    window: Window,
    slots: VecDeque<Slot<T>>,
    /// Token of the first slot.
    first: usize,
    bytes: usize,
}

impl<T> Flight<T> {
    pub fn new(window: Window) -> Flight<T> {
        let window = Window { messages: window.messages.max(1), ..window };
        Flight { window, slots: VecDeque::new(), first: 0, bytes: 0 }
    }

    /// How many tokens there are: from 0 on.
    pub fn tokens(&self) -> usize {
        self.window.messages
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether an entry of this size may be sent now.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.slots.is_empty()
            || (self.slots.len() < self.window.messages && self.bytes.saturating_add(bytes) <= self.window.bytes)
    }

    /// Takes an entry that has room, and gives its token.
    pub fn push(&mut self, entry: T, bytes: usize, now: Instant) -> usize {
        let token = self.token(self.slots.len());
        self.slots.push_back(Slot { entry: Some(entry), bytes, sent: now });
        self.bytes += bytes;
        token
    }

    fn token(&self, position: usize) -> usize {
        (self.first + position) % self.window.messages
    }

    fn position(&self, token: usize) -> Option<usize> {
        let position = (token + self.window.messages).checked_sub(self.first)? % self.window.messages;
        (position < self.slots.len()).then_some(position)
    }

    /// An entry that is on its way.
    pub fn entry_mut(&mut self, token: usize) -> Option<&mut T> {
        let position = self.position(token)?;
        self.slots.get_mut(position)?.entry.as_mut()
    }

    /// An acknowledgement has come; `None` if it is for nothing that is on its way.
    pub fn settle(&mut self, token: usize) -> Option<T> {
        let position = self.position(token)?;
        let slot = self.slots.get_mut(position)?;
        let entry = slot.entry.take()?;
        self.bytes -= slot.bytes;
        self.forget_settled();
        Some(entry)
    }

    /// An acknowledgement has come for this entry and all before it.
    pub fn settle_through(&mut self, token: usize) -> impl Iterator<Item = T> + use<T> {
        let count = self.position(token).map_or(0, |position| position + 1);
        let settled: Vec<Slot<T>> = self.slots.drain(..count).collect();
        self.first = (self.first + count) % self.window.messages;
        self.bytes -= settled.iter().filter(|slot| slot.entry.is_some()).map(|slot| slot.bytes).sum::<usize>();
        settled.into_iter().filter_map(|slot| slot.entry)
    }

    fn forget_settled(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.entry.is_none()) {
            self.slots.pop_front();
            self.first = (self.first + 1) % self.window.messages;
        }
    }

    /// When the entry was sent that waits longest.
    pub fn oldest(&self) -> Option<Instant> {
        self.slots.front().map(|slot| slot.sent)
    }

    /// Everything that is not acknowledged, in order; nothing is on its way afterwards.
    pub fn take_unsettled(&mut self) -> impl DoubleEndedIterator<Item = T> + use<T> {
        (self.first, self.bytes) = (0, 0);
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flight(messages: usize, bytes: usize) -> Flight<u32> {
        Flight::new(Window { messages, bytes })
    }

    #[test]
    fn a_window_is_full_by_messages_or_by_bytes_and_one_message_always_fits() {
        let now = Instant::now();
        let mut by_messages = flight(2, 1_000);
        by_messages.push(1, 10, now);
        assert!(by_messages.has_room(10));
        by_messages.push(2, 10, now);
        assert!(!by_messages.has_room(0));
        let mut by_bytes = flight(9, 100);
        assert!(by_bytes.has_room(500), "a large message passes alone");
        by_bytes.push(1, 60, now);
        assert!(by_bytes.has_room(40) && !by_bytes.has_room(41));
    }

    #[test]
    fn a_token_is_not_used_again_while_an_older_entry_waits() {
        let now = Instant::now();
        let mut flight = flight(3, 1_000);
        let tokens: Vec<usize> = (0..3).map(|n| flight.push(n, 1, now)).collect();
        assert_eq!(flight.settle(tokens[1]), Some(1));
        assert_eq!(flight.settle(tokens[2]), Some(2));
        assert!(!flight.has_room(0), "the first still holds the window");
        assert_eq!(flight.settle(tokens[1]), None, "an acknowledgement counts once");
        assert_eq!(flight.settle(tokens[0]), Some(0));
        assert!(flight.is_empty() && flight.has_room(0));
        assert_eq!(flight.settle(7), None);
    }

    proptest! {
        /// A model of plain lists: whatever is acknowledged in whatever order, nothing is forgotten and nothing counts twice.
        #[test]
        fn what_is_not_acknowledged_stays_in_order(steps in prop::collection::vec((0u8..4, 0usize..8), 1..200)) {
            let now = Instant::now();
            let mut flight = flight(5, usize::MAX);
            let mut open: Vec<(usize, u32)> = Vec::new();
            let mut next = 0;
            for (step, pick) in steps {
                match step {
                    0 | 1 if flight.has_room(1) => {
                        let token = flight.push(next, 1, now);
                        prop_assert!(open.iter().all(|(other, _)| *other != token));
                        open.push((token, next));
                        next += 1;
                    }
                    2 if !open.is_empty() => {
                        let (token, entry) = open.remove(pick % open.len());
                        prop_assert_eq!(flight.settle(token), Some(entry));
                        prop_assert_eq!(flight.settle(token), None);
                    }
                    3 if !open.is_empty() => {
                        let position = pick % open.len();
                        let token = open[position].0;
                        let settled: Vec<u32> = flight.settle_through(token).collect();
                        let expected: Vec<u32> = open.drain(..=position).map(|(_, entry)| entry).collect();
                        prop_assert_eq!(settled, expected);
                    }
                    _ => {}
                }
                prop_assert_eq!(flight.bytes, open.len());
            }
            let left: Vec<u32> = flight.take_unsettled().collect();
            prop_assert_eq!(left, open.into_iter().map(|(_, entry)| entry).collect::<Vec<u32>>());
            prop_assert!(flight.is_empty() && flight.bytes == 0);
        }
    }
}

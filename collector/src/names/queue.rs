//! Who is asked for next: containers of root first, then claims, of every place in turn.

use std::collections::{HashMap, VecDeque};

use super::limits::{CLAIMS_IN_FLIGHT_MAX, IN_FLIGHT_MAX, PLACE_IN_FLIGHT_MAX, PLACES_MAX};

/// A container whose name is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub id: String,
    /// The place of the cgroup that only claims to be it. `None`: root made it.
    pub claimed_in: Option<String>,
}

/// How soon a question has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Root,
    Claim,
}

impl Question {
    pub(super) fn rank(&self) -> Rank {
        if self.claimed_in.is_some() { Rank::Claim } else { Rank::Root }
    }
}

/// Questions that wait, and how many are under way. Whoever makes cgroups without end fills the share of one place.
#[derive(Default)]
pub(super) struct Queue {
    roots: VecDeque<Question>,
    roots_running: usize,
    /// By place; who had a turn goes to the end.
    claims: VecDeque<(String, VecDeque<Question>)>,
    claims_running: HashMap<String, usize>,
}

impl Queue {
    pub(super) fn push(&mut self, mut question: Question) {
        let Some(place) = &question.claimed_in else { return self.roots.push_back(question) };
        if let Some((_, waiting)) = self.claims.iter_mut().find(|(name, _)| name == place) {
            return waiting.push_back(question);
        }
        let name = if self.claims.len() < PLACES_MAX { place.clone() } else { String::new() };
        question.claimed_in = Some(name.clone());
        match self.claims.iter_mut().find(|(other, _)| *other == name) {
            Some((_, waiting)) => waiting.push_back(question),
            None => self.claims.push_back((name, VecDeque::from([question]))),
        }
    }

    /// The next one that may be under way with the others.
    pub(super) fn next(&mut self) -> Option<Question> {
        if self.roots_running < IN_FLIGHT_MAX
            && let Some(question) = self.roots.pop_front()
        {
            self.roots_running += 1;
            return Some(question);
        }
        if self.claims_running.values().sum::<usize>() >= CLAIMS_IN_FLIGHT_MAX {
            return None;
        }
        let is_free = |name: &String| self.claims_running.get(name).is_none_or(|count| *count < PLACE_IN_FLIGHT_MAX);
        let turn = self.claims.iter().position(|(name, _)| is_free(name))?;
        let (name, mut waiting) = self.claims.remove(turn)?;
        let question = waiting.pop_front();
        if !waiting.is_empty() {
            self.claims.push_back((name.clone(), waiting));
        }
        *self.claims_running.entry(name).or_default() += 1;
        question
    }

    /// A question that [`Queue::next`] gave is answered.
    pub(super) fn ended(&mut self, question: &Question) {
        let Some(place) = &question.claimed_in else { return self.roots_running -= 1 };
        if let Some(count) = self.claims_running.get_mut(place) {
            *count -= 1;
            if *count == 0 {
                self.claims_running.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(id: &str) -> Question {
        Question { id: id.into(), claimed_in: None }
    }

    fn claim(id: &str, place: &str) -> Question {
        Question { id: id.into(), claimed_in: Some(place.into()) }
    }

    fn begun(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.next()).map(|question| question.id).collect()
    }

    #[test]
    fn a_container_of_root_is_first_behind_any_number_of_claims() {
        let mut queue = Queue::default();
        (0..1000).for_each(|n| queue.push(claim(&n.to_string(), "/user.slice/user-2001.slice")));
        assert_eq!(begun(&mut queue).len(), PLACE_IN_FLIGHT_MAX);
        queue.push(root("web"));
        assert_eq!(queue.next(), Some(root("web")));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn every_place_has_its_turn() {
        let mut queue = Queue::default();
        (0..1000).for_each(|n| queue.push(claim(&n.to_string(), "/a")));
        let running: Vec<Question> = std::iter::from_fn(|| queue.next()).collect();
        queue.push(claim("web", "/b"));
        assert_eq!(begun(&mut queue), ["web"]);
        queue.ended(&running[0]);
        queue.push(claim("db", "/b"));
        assert_eq!(begun(&mut queue), ["4", "db"], "each again, as there is room");
    }

    #[test]
    fn claims_of_many_places_are_bounded_together_and_leave_room_for_root() {
        let mut queue = Queue::default();
        (0..10 * PLACES_MAX).for_each(|n| queue.push(claim(&n.to_string(), &format!("/{n}"))));
        assert!(queue.claims.len() <= PLACES_MAX + 1);
        assert_eq!(begun(&mut queue).len(), CLAIMS_IN_FLIGHT_MAX);
        (0..IN_FLIGHT_MAX).for_each(|n| queue.push(root(&n.to_string())));
        assert_eq!(begun(&mut queue).len(), IN_FLIGHT_MAX);
    }

    #[test]
    fn all_that_is_asked_for_has_its_turn_in_the_end() {
        let mut queue = Queue::default();
        (0..200).for_each(|n| queue.push(claim(&n.to_string(), &format!("/{}", n % 7))));
        (0..200).for_each(|n| queue.push(root(&format!("root-{n}"))));
        let mut done = 0;
        while let Some(question) = queue.next() {
            queue.ended(&question);
            done += 1;
        }
        assert_eq!((done, queue.claims.len(), queue.claims_running.len(), queue.roots_running), (400, 0, 0, 0));
    }
}

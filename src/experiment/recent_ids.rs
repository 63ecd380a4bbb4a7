//! The ids of the last events, so that an event that is sent again counts once.
//!
//! The memory is bounded by a number of events and not by time: a sender that repeats a batch does so soon, and a burst
//! of events must not cost memory without end.

use std::collections::{HashSet, VecDeque};

use super::name_hash::NameHash;

/// The last ids.
#[derive(Clone, Debug)]
pub(crate) struct RecentIds {
    known: HashSet<NameHash>,
    order: VecDeque<NameHash>,
    most: usize,
    /// The number of the next one: they are numbered as they came.
    next: u64,
}

impl RecentIds {
    /// Remembers the last `most` ids.
    pub(crate) fn new(most: usize) -> Self {
        Self { known: HashSet::new(), order: VecDeque::new(), most, next: 0 }
    }

    pub(crate) fn contains(&self, id: NameHash) -> bool {
        self.known.contains(&id)
    }

    /// Takes one in, and forgets the oldest if there are more than may be.
    pub(crate) fn add(&mut self, id: NameHash) {
        if !self.known.insert(id) {
            return;
        }
        self.order.push_back(id);
        self.next += 1;
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Goes on with `number` for the next one, when the oldest of those that are taken in next had not number 0.
    pub(crate) fn number_from(&mut self, number: u64) {
        self.next = number;
    }

    /// The number of the oldest that is remembered; that of the next if there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.next - self.order.len() as u64
    }

    /// The number of the next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Those with this number and higher ones that are remembered, with their numbers.
    pub(crate) fn from(&self, number: u64) -> impl Iterator<Item = (u64, NameHash)> + '_ {
        let oldest = self.oldest();
        let passed = usize::try_from(number.saturating_sub(oldest)).unwrap_or(usize::MAX);
        (oldest..self.next).zip(self.order.iter().copied()).skip(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ids_are_known_and_older_ones_forgotten() {
        let mut ids = RecentIds::new(2);
        let [a, b, c] = ["a", "b", "c"].map(NameHash::of);
        for id in [a, b, a, c] {
            ids.add(id);
        }
        assert_eq!([a, b, c].map(|id| ids.contains(id)), [false, true, true]);
        assert_eq!((ids.oldest(), ids.next()), (1, 3));
        assert_eq!(ids.from(0).collect::<Vec<_>>(), [(1, b), (2, c)]);
        assert_eq!(ids.from(2).collect::<Vec<_>>(), [(2, c)]);
        assert_eq!(ids.from(3).count(), 0);
    }
}

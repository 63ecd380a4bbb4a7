//! The slots of the key space that were seen: a bit for each.
//!
//! Reading such a bit is what most requests do; the shared cache line is written once for each slot.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The slots of the key space.
pub(crate) const SLOTS: usize = 100_000;

/// A bit for each slot.
pub(crate) struct SlotSet(Box<[AtomicU64]>);

impl Default for SlotSet {
    fn default() -> Self {
        Self((0..SLOTS.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }
}

impl std::fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SlotSet({})", self.count())
    }
}

impl SlotSet {
    /// Whether a slot is there for the first time.
    pub(crate) fn first(&self, slot: u32) -> bool {
        let Some(word) = self.0.get(slot as usize / 64) else { return false };
        let bit = 1 << (slot % 64);
        word.load(Relaxed) & bit == 0 && word.fetch_or(bit, Relaxed) & bit == 0
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.load(Relaxed).count_ones()).sum()
    }

    /// How many of them are in `other` too.
    pub(crate) fn count_common(&self, other: &Self) -> u32 {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(one, other)| (one.load(Relaxed) & other.load(Relaxed)).count_ones()).sum()
    }

    /// Takes all of them out.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
    }
}

//! Users who come back are one draw, not many: which of them were counted already.
//!
//! With a sticky key the lot falls once for a user, not for each request. Twenty unlucky users with fifty failures
//! each, who would fail on any version, put fifty failures in a row on the candidate as soon as one of them is drawn
//! for it: counted per request that is a false rollback in 17.6 % of all releases at a share of 1 %. So a key is
//! counted the first time only; that first time is a fresh draw with known odds, whatever its owner does afterwards.
//!
//! **How this goes with restarts.** There are two ways. One set for the whole process: every counted event is a fresh
//! draw given all counted before it, so late starts may be *summed* as in [`super::wealth`]; the price is that
//! somebody who was counted cannot testify again. Or a set for every window: then windows see the same users, each
//! knows things that the other still bets on, a sum is no fair game, and only the *union* is right (an alarm if any
//! window's part of alpha is used up), which costs the logarithm of the number of windows. The judge takes the first
//! for failures, where the counted are the few who were ever hit, and the second for latency ([`super::windows`]),
//! where everybody who sent one request would be used up.
//!
//! A set is bounded. When it is full, counting stops: what cannot be remembered cannot be told from a repetition. A
//! tree, not a hash table: keys are chosen by users, and a tree has no worst case that they could aim at; it is asked
//! once per failure, not per request.

use std::collections::BTreeSet;

/// Most keys of a set: 65,536 users who were hit, some megabytes at the worst.
pub(crate) const KEYS_MAX: usize = 65_536;

/// Keys that were counted, each as a 64-bit hash; two keys with one hash are taken for one user, about one pair in
/// 10^10 in a full set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedKeys {
    hashes: BTreeSet<u64>,
}

impl CountedKeys {
    /// A set with these hashes, as far as they fit.
    #[must_use]
    pub fn restored(hashes: impl IntoIterator<Item = u64>) -> Self {
        Self { hashes: hashes.into_iter().take(KEYS_MAX).collect() }
    }

    /// Whether a key counts now: the first time it is seen, while there is room to remember it.
    pub fn admit(&mut self, hash: u64) -> bool {
        !self.is_full() && self.hashes.insert(hash)
    }

    /// Whether counting has stopped.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.hashes.len() >= KEYS_MAX
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.hashes.clear();
    }

    /// The hashes in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u64> {
        self.hashes.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once() {
        let mut keys = CountedKeys::default();
        assert!(keys.admit(7) && keys.admit(0) && !keys.admit(7) && keys.admit(u64::MAX) && !keys.admit(0));
        assert_eq!(keys, CountedKeys::restored(keys.iter()));
    }

    #[test]
    fn a_full_set_counts_nothing_more() {
        let mut keys = CountedKeys::default();
        assert_eq!((0..100_000).filter(|key| keys.admit(*key)).count(), KEYS_MAX);
        assert!(keys.is_full() && !keys.admit(200_000));
        assert_eq!(CountedKeys::restored(0..100_000).iter().len(), KEYS_MAX);
    }
}

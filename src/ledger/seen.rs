//! What the data plane has seen of users, and the queue by which it hands that over.
//!
//! A worker must not wait for a disk, so the queue is bounded and what finds it full is lost and counted. An exposure
//! that is lost is lost in both arms alike, and the user is counted when it comes again: a worker must not remember an
//! exposure as sent that [`SeenSender::try_send`] did not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::mpsc;

use crate::experiment::name_hash::NameHash;
use crate::shared::per_arm::ExperimentArm;
use crate::shared::probability::Probability;
pub(crate) use crate::shared::trial_key::TrialKey;

/// So much waits at the most to be counted, some 3 MiB: a commit takes milliseconds, and a second of a slow disk at
/// 60,000 new users or conversions a second is none that one proxy has.
const SEEN_MAX: usize = 65_536;

/// Something that a worker has seen of a user.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// What it counts for.
    pub(crate) trial: Arc<TrialKey>,
    /// Whose it is: the hash of the key that the arm was drawn by.
    pub(crate) user: NameHash,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What.
    pub(crate) what: SeenKind,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SeenKind {
    /// The user got what this arm gets, while the treatment had this share of the users.
    Exposed {
        /// The arm.
        arm: ExperimentArm,
        /// The share.
        share: Probability,
    },
    /// The user made a request that counts for these metrics.
    Requested {
        /// A bit for each: the first metric is the lowest.
        metrics: u32,
    },
}

/// Where workers hand over what they have seen; clones send to the same queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenSender {
    /// None: what is sent is gone, for what has no ledger.
    queue: Option<mpsc::Sender<Seen>>,
    lost: Arc<AtomicU64>,
}

impl SeenSender {
    /// A queue, and its other end.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Seen>) {
        Self::bounded(SEEN_MAX)
    }

    /// The same, for `seen_max`.
    pub(crate) fn bounded(seen_max: usize) -> (Self, mpsc::Receiver<Seen>) {
        let (queue, inbox) = mpsc::channel(seen_max);
        (Self { queue: Some(queue), lost: Arc::default() }, inbox)
    }

    /// Takes everything and keeps nothing: for what runs without a ledger.
    pub(crate) fn nowhere() -> Self {
        Self::default()
    }

    /// Hands something over without waiting; false if it was lost, because the queue is full or has no reader.
    pub(crate) fn try_send(&self, seen: Seen) -> bool {
        let taken = self.queue.as_ref().is_none_or(|queue| queue.try_send(seen).is_ok());
        if !taken {
            self.lost.fetch_add(1, Relaxed);
        }
        taken
    }

    /// The count of what is lost, without the queue.
    pub(crate) fn counter(&self) -> Self {
        Self { queue: None, lost: Arc::clone(&self.lost) }
    }

    /// How much was lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_the_queue_full_or_without_a_reader_is_lost_and_counted() {
        let trial = Arc::new(TrialKey::Rollout { id: 1, slots: 1000 });
        let seen = || Seen {
            trial: Arc::clone(&trial),
            user: NameHash::of("ada"),
            at_ms: 0,
            what: SeenKind::Requested { metrics: 1 },
        };
        let (sender, inbox) = SeenSender::bounded(2);
        let clone = sender.clone();
        assert_eq!([sender.try_send(seen()), clone.try_send(seen()), sender.try_send(seen())], [true, true, false]);
        drop(inbox);
        assert!(!clone.try_send(seen()));
        assert_eq!((sender.lost(), clone.lost()), (2, 2));
        let nowhere = SeenSender::nowhere();
        assert!(nowhere.try_send(seen()));
        assert_eq!(nowhere.lost(), 0);
    }
}

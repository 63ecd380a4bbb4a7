//! What a worker has seen of users who are counted: sent to the ledger, which counts.
//!
//! A user asks for a hundred pages and is exposed once, so a worker remembers what it has sent, and a user who is busy
//! costs no place in the queue. It remembers the last ones only, in a table without chains: to forget is to send again,
//! which the ledger takes for what it is, and to remember all would be a second ledger in each worker.

use std::cell::RefCell;
use std::sync::Arc;

use crate::experiment::name_hash::NameHash;
use crate::ledger::seen::{Seen, SeenKind, SeenSender};
use crate::shared::per_arm::ExperimentArm;
use crate::shared::probability::Probability;
use crate::shared::trial_key::TrialKey;

/// This many exposures are remembered, a power of two: some 100 KiB, of a worker that has any.
const REMEMBERED: usize = 4096;

/// A user who got what an arm gets.
#[derive(Clone, Debug)]
pub(crate) struct ArmExposure {
    /// What it counts for.
    pub(crate) trial: Arc<TrialKey>,
    /// The user.
    pub(crate) user: NameHash,
    /// The arm.
    pub(crate) arm: ExperimentArm,
    /// The share that the treatment has of the users of both arms.
    pub(crate) share: Probability,
}

/// Where a worker sends what it has seen.
#[derive(Debug)]
pub(crate) struct SeenUsers {
    sender: SeenSender,
    /// Empty until the first.
    sent: RefCell<Box<[Option<ArmExposure>]>>,
}

impl SeenUsers {
    /// Sends to `sender`.
    pub(crate) fn new(sender: SeenSender) -> Self {
        Self { sender, sent: RefCell::default() }
    }

    /// A user was exposed at this time, in milliseconds since 1970.
    pub(crate) fn exposed(&self, exposure: ArmExposure, at_ms: u64) {
        let mut sent = self.sent.borrow_mut();
        if sent.is_empty() {
            *sent = vec![None; REMEMBERED].into();
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash are as good as the high ones")]
        let place = &mut sent[exposure.user.number() as usize % REMEMBERED];
        let is_same = |known: &ArmExposure| {
            (known.user, known.arm, known.share) == (exposure.user, exposure.arm, exposure.share)
                && known.trial == exposure.trial
        };
        if place.as_ref().is_some_and(is_same) {
            return;
        }
        let ArmExposure { trial, user, arm, share } = exposure.clone();
        // What was not taken is no exposure yet: the next request of the user is.
        if self.sender.try_send(Seen { trial, user, at_ms, what: SeenKind::Exposed { arm, share } }) {
            *place = Some(exposure);
        }
    }

    /// A user made a request that these metrics count, a bit for each.
    pub(crate) fn requested(&self, trial: &Arc<TrialKey>, user: NameHash, metrics: u32, at_ms: u64) {
        self.sender.try_send(Seen { trial: Arc::clone(trial), user, at_ms, what: SeenKind::Requested { metrics } });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::name::Name;

    fn trial(since: u64) -> Arc<TrialKey> {
        Arc::new(TrialKey::Experiment { name: Name::new("button").unwrap(), since })
    }

    fn exposure(user: &str, arm: ExperimentArm, since: u64) -> ArmExposure {
        ArmExposure { trial: trial(since), user: NameHash::of(user), arm, share: Probability::HALF }
    }

    #[tokio::test]
    async fn a_user_is_sent_once_for_each_run_and_arm() {
        let (sender, mut inbox) = SeenSender::bounded(16);
        let seen = SeenUsers::new(sender);
        for (at, (user, arm, since)) in (0..).zip([
            ("ann", ExperimentArm::Control, 1),
            ("ann", ExperimentArm::Control, 1),
            ("bob", ExperimentArm::Treatment, 1),
            ("ann", ExperimentArm::Control, 1),
            ("ann", ExperimentArm::Treatment, 1),
            ("bob", ExperimentArm::Treatment, 2),
        ]) {
            seen.exposed(exposure(user, arm, since), at);
        }
        seen.requested(&trial(1), NameHash::of("ann"), 0b101, 9);
        let mut found = Vec::new();
        while let Ok(Seen { user, at_ms, what, .. }) = inbox.try_recv() {
            found.push((user == NameHash::of("ann"), at_ms, matches!(what, SeenKind::Requested { metrics: 0b101 })));
        }
        let wanted = [(true, 0, false), (false, 2, false), (true, 4, false), (false, 5, false), (true, 9, true)];
        assert_eq!(found, wanted);
    }

    #[tokio::test]
    async fn what_found_no_room_is_sent_again() {
        let (sender, mut inbox) = SeenSender::bounded(1);
        let seen = SeenUsers::new(sender.clone());
        seen.exposed(exposure("ann", ExperimentArm::Control, 1), 1);
        seen.exposed(exposure("bob", ExperimentArm::Control, 1), 2);
        assert_eq!((inbox.try_recv().map(|seen| seen.at_ms).ok(), sender.lost()), (Some(1), 1));
        seen.exposed(exposure("bob", ExperimentArm::Control, 1), 3);
        assert_eq!((inbox.try_recv().map(|seen| seen.at_ms).ok(), sender.lost()), (Some(3), 1));
    }
}

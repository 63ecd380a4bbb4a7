//! What became of notifications, by target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::shared::name::Name;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// The target has it.
    Delivered,
    /// It was given up.
    Failed,
    /// A queue was full.
    Dropped,
}

impl DeliveryOutcome {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::Dropped];

    /// The word in metrics.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The messages of one target.
#[derive(Debug, Default)]
pub(crate) struct TargetDeliveries([AtomicU64; DeliveryOutcome::ALL.len()]);

/// The messages of all targets.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<KnownTargets>);

#[derive(Debug, Default)]
struct KnownTargets {
    /// Also of targets that have left the config: one that comes back goes on.
    counters: BTreeMap<Name, Arc<TargetDeliveries>>,
    /// The targets of the config.
    present: BTreeSet<Name>,
}

impl TargetDeliveries {
    /// Counts a message.
    pub(crate) fn count(&self, outcome: DeliveryOutcome) {
        self.0[outcome as usize].fetch_add(1, Relaxed);
    }

    /// The messages so far, by what became of them.
    pub(crate) fn counts(&self) -> [(DeliveryOutcome, u64); DeliveryOutcome::ALL.len()] {
        DeliveryOutcome::ALL.map(|outcome| (outcome, self.0[outcome as usize].load(Relaxed)))
    }
}

impl Deliveries {
    /// The counters of a target.
    pub(crate) fn of(&self, target: &Name) -> Arc<TargetDeliveries> {
        Arc::clone(self.known().counters.entry(target.clone()).or_default())
    }

    /// The targets of the config, each with its counters.
    pub(crate) fn present(&self) -> BTreeMap<Name, Arc<TargetDeliveries>> {
        let known = self.known();
        let present = known.counters.iter().filter(|(target, _)| known.present.contains(*target));
        present.map(|(target, counters)| (target.clone(), Arc::clone(counters))).collect()
    }

    /// Notes which targets the config has.
    pub(crate) fn set_present(&self, targets: impl Iterator<Item = Name>) {
        let present: BTreeSet<Name> = targets.collect();
        present.iter().for_each(|target| drop(self.of(target)));
        self.known().present = present;
    }

    /// Counts a message that was dropped before it was handed out, for each target that there is.
    pub(crate) fn drop_for_all(&self) {
        self.present().values().for_each(|target| target.count(DeliveryOutcome::Dropped));
    }

    /// All messages so far that came to this.
    #[cfg(test)]
    pub(crate) fn total(&self, outcome: DeliveryOutcome) -> u64 {
        self.known().counters.values().map(|target| target.counts()[outcome as usize].1).sum()
    }

    fn known(&self) -> MutexGuard<'_, KnownTargets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

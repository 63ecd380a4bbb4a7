//! The trials that run, and what each of them measures: told by what begins and ends them, read by the ledger.
//!
//! Whatever begins a trial says so here *before* it publishes the table by which workers expose users to it. So what
//! comes in by the queue of [`seen`](super::seen) is always of a trial that the ledger can know.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::seen::TrialKey;
use crate::experiment::definition::ExperimentSpec;

/// Each trial with what it measures.
pub(crate) type TrialSpecs = BTreeMap<TrialKey, Arc<ExperimentSpec>>;

/// The trials that run; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunningTrials(Arc<watch::Sender<TrialSpecs>>);

impl RunningTrials {
    /// These runs of experiments are under way, and no other.
    pub(crate) fn set_experiments(&self, runs: impl IntoIterator<Item = (TrialKey, Arc<ExperimentSpec>)>) {
        let runs: TrialSpecs = runs.into_iter().collect();
        self.0.send_if_modified(|trials| {
            let experiment = |key: &TrialKey| matches!(key, TrialKey::Experiment { .. });
            let known = trials.iter().filter(|(key, _)| experiment(key));
            if known
                .map(|(key, spec)| (key, Arc::as_ptr(spec)))
                .eq(runs.iter().map(|(key, spec)| (key, Arc::as_ptr(spec))))
            {
                return false;
            }
            trials.retain(|key, _| !experiment(key));
            trials.extend(runs);
            true
        });
    }

    /// A step of a rollout has begun, or begins again after a restart, that counts users for its guardrails. The step
    /// before is not counted any more.
    pub(crate) fn begin_rollout(&self, id: u64, slots: u32, spec: Arc<ExperimentSpec>) {
        self.0.send_if_modified(|trials| {
            let key = TrialKey::Rollout { id, slots };
            if trials.get(&key).is_some_and(|known| Arc::ptr_eq(known, &spec)) {
                return false;
            }
            trials.retain(|key, _| !of_rollout(key, id));
            trials.insert(key, spec);
            true
        });
    }

    /// It has ended.
    pub(crate) fn end_rollout(&self, id: u64) {
        self.0.send_if_modified(|trials| {
            let before = trials.len();
            trials.retain(|key, _| !of_rollout(key, id));
            trials.len() < before
        });
    }

    /// What runs, now and later.
    pub(crate) fn follow(&self) -> watch::Receiver<TrialSpecs> {
        self.0.subscribe()
    }
}

fn of_rollout(key: &TrialKey, wanted: u64) -> bool {
    matches!(key, TrialKey::Rollout { id, .. } if *id == wanted)
}

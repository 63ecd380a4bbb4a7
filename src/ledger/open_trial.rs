//! A trial that is counted in memory.

use super::ledger_handle::TrialCounts;
use super::seen::TrialKey;
use crate::experiment::experiment_state::ExperimentState;

/// A trial that is counted.
#[derive(Debug)]
pub(super) struct OpenTrial {
    pub(super) key: TrialKey,
    pub(super) state: ExperimentState,
    pub(super) began_ms: u64,
    /// Set when it has ended, and its end is not kept yet.
    pub(super) ended_ms: Option<u64>,
    /// Whether it stays in memory after its end, for other replicas to tell and to be told the rest.
    pub(super) closing: bool,
    /// Whether the file has it.
    pub(super) kept: bool,
    /// Whether the row of the trial itself has to be written, whatever its state is.
    pub(super) changed: bool,
    /// Whether it was told that there is no room for more users.
    pub(super) full_told: bool,
}

impl OpenTrial {
    /// One that begins.
    pub(super) fn new(key: TrialKey, state: ExperimentState, now_ms: u64) -> Self {
        Self {
            key,
            state,
            began_ms: now_ms,
            ended_ms: None,
            closing: false,
            kept: false,
            changed: true,
            full_told: false,
        }
    }

    /// The experiment and the revision of the start; none of a rollout, which is counted in memory only.
    pub(super) fn run(&self) -> Option<(&str, u64)> {
        match &self.key {
            TrialKey::Experiment { name, since } => Some((name.as_str(), *since)),
            TrialKey::Rollout { .. } => None,
        }
    }

    /// Whether there is something to write.
    pub(super) fn is_unsaved(&self) -> bool {
        self.run().is_some() && (self.changed || self.state.is_unsaved())
    }

    /// It is written as it is.
    pub(super) fn set_saved(&mut self) {
        self.state.set_saved();
        (self.kept, self.changed) = (true, false);
    }

    /// What is written of it is gone.
    pub(super) fn set_unsaved(&mut self) {
        self.state.set_unsaved();
        (self.kept, self.changed) = (false, true);
    }

    pub(super) fn counts(&self) -> TrialCounts {
        TrialCounts {
            trial: self.key.clone(),
            began_ms: self.began_ms,
            ended_ms: self.ended_ms,
            counts: self.state.counts(),
            tally: self.state.tally(),
        }
    }
}

//! The answer to a batch: what became of its events.

use serde::Serialize;
use utoipa::ToSchema;

use crate::experiment::experiment_state::EventTally;
use crate::experiment::tally_view::TallyView;
use crate::ledger::ledger_handle::EventReceipt;
use crate::shared::trial_key::TrialKey;

/// What became of a batch, which is on disk.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EventReceipt)]
pub(crate) struct ReceiptView {
    /// How many events it had.
    events: usize,
    /// What became of them: an event that counts for several experiments is counted once.
    outcomes: TallyView,
    /// What became of them for each experiment that runs, and each rollout with guardrails.
    trials: Vec<TrialReceipt>,
}

/// What became of a batch for one experiment or rollout.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TrialReceipt {
    /// The experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment: Option<String>,
    /// The rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<u64>,
    /// What became of the events.
    outcomes: TallyView,
}

impl ReceiptView {
    /// The words for a receipt.
    pub(crate) fn of(receipt: &EventReceipt) -> Self {
        let mut outcomes = EventTally::default();
        receipt.events.iter().for_each(|recorded| outcomes.count(*recorded));
        let trials = receipt.trials.iter().map(|(trial, tally)| {
            let (experiment, rollout) = match trial {
                TrialKey::Experiment { name, .. } => (Some(name.to_string()), None),
                TrialKey::Rollout { id, .. } => (None, Some(*id)),
            };
            TrialReceipt { experiment, rollout, outcomes: TallyView::of(tally) }
        });
        Self { events: receipt.events.len(), outcomes: TallyView::of(&outcomes), trials: trials.collect() }
    }

    /// The text of the answer.
    pub(crate) fn to_text(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

//! The stages of a plan: stretches of time in which traffic is judged, and tasks that are done elsewhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::table::Weight;

/// A part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The candidate has this weight and is judged, for so long at the least.
    Bake {
        /// The candidate's weight.
        weight: Weight,
        /// Shortest time.
        bake: Duration,
    },
    /// The candidate has no users and gets copies of this share of the requests, for so long at the least; it is judged
    /// by pairs.
    Mirror {
        /// The share that is copied.
        share: Weight,
        /// Shortest time.
        bake: Duration,
        /// The part of the pairs that may differ.
        differ_max: Weight,
    },
    /// Something is done, and must succeed.
    Do(StageTask),
    /// Nothing changes for so long, so that the way back stays short.
    Keep(Duration),
}

impl Stage {
    /// Whether both versions have a share in it.
    #[must_use]
    pub(crate) fn compares(&self) -> bool {
        matches!(self, Self::Bake { weight, .. } if *weight > Weight::ZERO && *weight < Weight::FULL)
    }
}

/// Something that is not decided here but done by the runner of the machine, who answers with [`TaskResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageTask {
    /// Wait for an operator.
    Approval,
    /// Ask a webhook, which has to agree.
    Webhook,
    /// Send requests of our own to the candidate.
    Smoke,
    /// Give endpoints no more requests, and wait for those in flight.
    Drain(Batch),
    /// Run the upgrade hook for endpoints.
    Upgrade(Batch),
    /// Check endpoints: health and smoke requests.
    Verify(Batch),
    /// Let endpoints serve, as the candidate's.
    Join(Batch),
    /// Run the rollback hook for endpoints.
    Downgrade(Batch),
    /// Let endpoints serve, as the baseline's.
    Return(Batch),
}

/// Endpoints by their number in the baseline at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Batch {
    /// The first of them.
    pub first: u32,
    /// The first that is not one of them.
    pub until: u32,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskResult {
    /// It is done, or who was asked agrees.
    Done,
    /// It cannot be done, or who was asked does not agree; why, in words for people.
    Failed(String),
}

impl StageTask {
    /// The word for it in the API and in sentences.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Webhook => "webhook",
            Self::Smoke => "smoke requests",
            Self::Drain(_) => "drain",
            Self::Upgrade(_) => "upgrade",
            Self::Verify(_) => "verification",
            Self::Join(_) => "join",
            Self::Downgrade(_) => "downgrade",
            Self::Return(_) => "return",
        }
    }

    /// The labels of all of them in metrics.
    pub const LABELS: [&'static str; 9] =
        ["approval", "webhook", "smoke_requests", "drain", "upgrade", "verification", "join", "downgrade", "return"];

    /// The same as a label in metrics, without a space.
    #[must_use]
    pub fn label(self) -> &'static str {
        if self == Self::Smoke { "smoke_requests" } else { self.word() }
    }

    /// Whether a failed answer means "not yet" and not "never".
    #[must_use]
    pub fn asks(self) -> bool {
        matches!(self, Self::Approval | Self::Webhook)
    }

    /// What has to be done so that it is as if this had not been done, in order.
    #[must_use]
    pub fn undo(self) -> Vec<Self> {
        match self {
            Self::Approval | Self::Webhook | Self::Smoke | Self::Verify(_) => Vec::new(),
            Self::Drain(batch) => vec![Self::Return(batch)],
            Self::Upgrade(batch) => vec![Self::Downgrade(batch), Self::Verify(batch)],
            Self::Join(batch) => vec![Self::Drain(batch)],
            // Ways back are not undone.
            Self::Downgrade(_) | Self::Return(_) => Vec::new(),
        }
    }
}

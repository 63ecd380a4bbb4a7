//! What is said of a chaos run beside its service, until all is as it was before.

use serde::Serialize;
use utoipa::ToSchema;

use crate::chaos::chaos_ending::ChaosState;
use crate::chaos::chaos_record::{ChaosRecord, ChaosUndo};

/// A chaos run on a service, in short. Nothing of it changes from one second to the next.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChaosBrief {
    /// Its number.
    id: u64,
    /// The experiment.
    name: String,
    /// Where it is.
    state: ChaosState,
    /// When its fault is gone at the latest.
    ends_at: String,
    /// What became of the command that undoes; none where no command ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<ChaosUndo>,
}

impl ChaosBrief {
    pub(crate) fn of(record: &ChaosRecord) -> Self {
        let ChaosRecord { id, name, state, ends_at, undo, .. } = record;
        Self { id: *id, name: name.clone(), state: *state, ends_at: ends_at.clone(), undo: undo.clone() }
    }
}

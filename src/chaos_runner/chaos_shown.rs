//! What is shown of chaos: a value that the task puts anew after each look, so that who reads it never waits for a
//! command or a disk.

use std::sync::Arc;

use serde_json::{Value, json};

use super::saved_chaos::SavedChaos;
use crate::chaos::chaos_ending::ChaosState;
use crate::chaos::chaos_record::ChaosRecord;
use crate::config::ChaosConfig;

/// Runs that are over and still in the live document.
const OVER_MAX: usize = 3;

/// What is shown of chaos.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChaosShown {
    /// Whether the runs of before are among them: they are read soon after the start.
    pub(crate) is_read: bool,
    /// The bounds, and the experiments that there are.
    pub(crate) config: Arc<ChaosConfig>,
    /// The runs, youngest first.
    pub(crate) runs: Vec<Arc<SavedChaos>>,
}

impl ChaosShown {
    /// One run.
    pub(crate) fn run(&self, id: u64) -> Option<&ChaosRecord> {
        self.runs.iter().map(|saved| &saved.record).find(|record| record.id == id)
    }

    /// The run of a service that is not over: its fault is there, or what it did is not undone.
    pub(crate) fn on(&self, service: &str) -> Option<&ChaosRecord> {
        let busy = self.runs.iter().filter(|saved| !saved.is_over());
        busy.map(|saved| &saved.record).find(|record| record.service == service)
    }

    /// What of it is live: `null` where nothing can be started and nothing is left to be done.
    pub(crate) fn live(&self) -> Value {
        let over = self.runs.iter().filter(|saved| saved.is_over()).take(OVER_MAX);
        let busy = self.runs.iter().filter(|saved| !saved.is_over());
        let live: Vec<Value> = busy.chain(over).map(|saved| live_of(saved)).collect();
        let is_busy = self.runs.iter().any(|saved| !saved.is_over());
        if self.config.enabled || is_busy { Value::Array(live) } else { Value::Null }
    }
}

fn live_of(saved: &SavedChaos) -> Value {
    let ChaosRecord { id, name, service, state, ending, ended_by, ends_at, ended_at, restored_at, sentence, .. } =
        &saved.record;
    let undo = &saved.record.undo;
    let mut live = json!({
        "id": id, "name": name, "service": service, "state": state, "ending": ending, "ended_by": ended_by,
        "ends_at": ends_at, "ended_at": ended_at, "restored_at": restored_at, "undo": undo,
    });
    // Its numbers change four times a second while it runs.
    if *state == ChaosState::Ended {
        live["sentence"] = json!(sentence);
    }
    live
}

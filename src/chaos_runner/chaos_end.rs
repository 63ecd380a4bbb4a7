//! A run ends: its fault goes, what its command did is undone, and what is left of it is stored.

use std::sync::Arc;

use super::chaos_controller::{CHAOS_KEPT, ChaosController};
use super::chaos_tasks::ChaosUndoing;
use crate::chaos::chaos_ending::ChaosEndedBy;
use crate::chaos::chaos_record::ChaosUndoState;
use crate::chaos::chaos_time::written;
use crate::control::handle::ApplyError;
use crate::problem::chain;

impl ChaosController {
    /// Ends a run. Its fault goes when the look is [finished](Self::finish_look).
    pub(super) fn end(&mut self, id: u64, by: ChaosEndedBy, why: Option<String>) {
        let now = self.now();
        if let Some(active) = self.running.get_mut(&id) {
            active.run.stop(now, by, why);
            self.put_away(id);
        }
    }

    /// Puts a run that has ended to those that are over. Its command ends here if it still works.
    pub(super) fn put_away(&mut self, id: u64) {
        let Some(active) = self.running.remove(&id) else { return };
        let saved = active.saved();
        drop(active);
        let sentence = saved.record.sentence.clone();
        tracing::info!(run = id, sentence, "a chaos run has ended");
        if saved.is_to_undo() {
            self.undoing.insert(id, ChaosUndoing::default());
        }
        self.over.insert(id, Arc::new(saved));
        self.unkept.insert(id);
        self.tell_end(id);
        while self.over.len() > CHAOS_KEPT as usize {
            let Some(oldest) = self.over.iter().find(|(_, saved)| saved.is_over()).map(|(id, _)| *id) else { break };
            self.over.remove(&oldest);
        }
    }

    /// Notes what is as it was before: the table is without the fault, and a command is undone.
    pub(super) fn note_restored(&mut self) {
        let now = self.now();
        let Some(in_force) = &self.in_force else { return };
        for (id, saved) in &mut self.over {
            let has_fault = in_force.iter().any(|fault| fault.run == *id);
            if saved.record.restored_at.is_none() && !has_fault && !saved.is_to_undo() {
                Arc::make_mut(saved).record.restored_at = Some(written(now.at));
                self.unkept.insert(*id);
            }
        }
    }

    /// Tries again what undoes a command and has failed; an operator asks for it.
    pub(super) fn undo_again(&mut self, id: u64) {
        let Some(saved) = self.over.get_mut(&id) else { return };
        let undo = Arc::make_mut(saved).record.undo.as_mut();
        if let Some(undo) = undo.filter(|undo| undo.state == ChaosUndoState::Failed) {
            undo.state = ChaosUndoState::Waiting;
            self.undoing.insert(id, ChaosUndoing::default());
            self.unkept.insert(id);
        }
    }

    /// Stores what is not stored yet; what cannot be is tried again at the next look.
    pub(super) async fn keep(&mut self) {
        if self.lent {
            return;
        }
        for id in std::mem::take(&mut self.unkept) {
            if let Err(error) = self.keep_one(id).await {
                if !std::mem::replace(&mut self.keeps_failing, true) {
                    let error = chain(&error);
                    tracing::error!(run = id, error, "the record of a chaos run cannot be stored, it is tried again");
                }
                self.unkept.insert(id);
                continue;
            }
            self.keeps_failing = false;
        }
    }

    /// Stores a run as it is now.
    pub(super) async fn keep_one(&mut self, id: u64) -> Result<(), ApplyError> {
        let running = || self.running.get(&id).map(|active| Arc::new(active.saved()));
        let Some(saved) = self.over.get(&id).map(Arc::clone).or_else(running) else { return Ok(()) };
        let state = serde_json::to_string(&*saved).unwrap_or_default();
        self.deps.handle.keep_chaos_run(id, Some(state.into())).await
    }
}

//! Commands of runs, and what undoes them.
//!
//! What undoes a command is in the store before the command begins. It is run when the run ends, and again after pauses
//! that double if it fails; then it is told, and an operator can have it tried again. After a restart it is run as
//! well, whatever became of the command: it has to be right to run it twice, and for a command that never ran.

use std::sync::Arc;

use super::chaos_controller::ChaosController;
use super::chaos_tasks::{ChaosCommandError, ChaosTaskEnd, OwnTask};
use super::saved_chaos::{ChaosSubject, SavedCommand};
use crate::chaos::chaos_ending::ChaosEndedBy;
use crate::chaos::chaos_record::{ChaosUndo, ChaosUndoState};
use crate::outbound::hook;
use crate::problem::chain;

/// How often it is tried to undo something before that is told and left to an operator.
const UNDO_TRIES_MAX: u32 = 5;

/// The pause after the first try that failed; each is twice as long as the one before.
const UNDO_PAUSE_MS: u64 = 1_000;

impl ChaosController {
    /// Runs the command of a run whose fault begins, once what undoes it is in the store.
    pub(super) async fn begin_command(&mut self, id: u64) {
        let Some(active) = self.running.get_mut(&id) else { return };
        let Some(command) = active.run.definition().command().cloned() else { return };
        active.undo = Some(ChaosUndo { state: ChaosUndoState::Waiting, tries: 0, error: None });
        let subject = active.saved().subject();
        if let Err(error) = self.keep_one(id).await {
            if let Some(active) = self.running.get_mut(&id) {
                active.undo = None;
            }
            let why = format!("its command was not run: what undoes it cannot be stored: {}", chain(&error));
            self.end(id, ChaosEndedBy::Command, Some(why));
            return;
        }
        let answers = self.answers.0.clone();
        tracing::info!(run = id, program = command.run.first(), "the command of a chaos run begins");
        let task = OwnTask::begin(async move {
            let ran = hook::run(&command.run, command.timeout, &subject).await;
            let result = ran.map(drop).map_err(ChaosCommandError::from);
            answers.send(ChaosTaskEnd::Command { id, result }).await.ok();
        });
        if let Some(active) = self.running.get_mut(&id) {
            active.task = Some(task);
        }
    }

    /// Notes what became of a task.
    pub(super) fn task_ended(&mut self, end: ChaosTaskEnd) {
        match end {
            ChaosTaskEnd::Command { id, result } => {
                if let Some(active) = self.running.get_mut(&id) {
                    active.task = None;
                    active.failed = result.err().map(|error| (ChaosEndedBy::Command, chain(&error)));
                }
            }
            ChaosTaskEnd::Refused { id, why } => {
                if let Some(active) = self.running.get_mut(&id) {
                    active.failed = Some((ChaosEndedBy::Webhook, why));
                }
            }
            ChaosTaskEnd::Undo { id, result } => self.tried_to_undo(id, result),
        }
    }

    fn tried_to_undo(&mut self, id: u64, result: Result<(), ChaosCommandError>) {
        let now_ms = self.deps.clock.now_ms();
        let (Some(saved), Some(undoing)) = (self.over.get_mut(&id), self.undoing.get_mut(&id)) else { return };
        let saved = Arc::make_mut(saved);
        let Some(undo) = &mut saved.record.undo else { return };
        (undoing.task, undoing.tries, undo.tries) = (None, undoing.tries + 1, undo.tries.saturating_add(1));
        undoing.next_ms = now_ms.saturating_add(UNDO_PAUSE_MS << undoing.tries.min(16).saturating_sub(1));
        let gives_up = undoing.tries >= UNDO_TRIES_MAX;
        undo.error = result.err().map(|error| chain(&error));
        self.unkept.insert(id);
        match undo.error.clone() {
            None => {
                undo.state = ChaosUndoState::Done;
                self.undoing.remove(&id);
                tracing::info!(run = id, "what the command of a chaos run did is undone");
            }
            Some(error) => {
                tracing::warn!(run = id, tries = undo.tries, error, "a chaos run could not be undone");
                if gives_up {
                    undo.state = ChaosUndoState::Failed;
                    self.undoing.remove(&id);
                    tracing::error!(run = id, "what undoes a chaos run has failed as often as it is tried");
                    self.tell_stuck(id);
                }
            }
        }
    }

    /// Begins the tries to undo that are due.
    pub(super) fn undo_what_is_due(&mut self) {
        if self.lent {
            return;
        }
        let now_ms = self.deps.clock.now_ms();
        for (id, undoing) in &mut self.undoing {
            let Some(saved) = self.over.get(id) else { continue };
            if undoing.task.is_some() || now_ms < undoing.next_ms {
                continue;
            }
            let (id, subject, answers) = (*id, saved.subject(), self.answers.0.clone());
            let command = saved.command.clone();
            undoing.task = Some(OwnTask::begin(async move {
                let result = match command {
                    Some(command) => undone(&command, &subject).await,
                    None => Err(ChaosCommandError::Unknown),
                };
                answers.send(ChaosTaskEnd::Undo { id, result }).await.ok();
            }));
        }
    }
}

async fn undone(command: &SavedCommand, subject: &ChaosSubject) -> Result<(), ChaosCommandError> {
    hook::run(&command.undo, command.timeout(), subject).await?;
    Ok(())
}

//! The tasks of runs: commands, what undoes them, and calls of webhooks. Each ends when its run lets go of it.

use tokio::task::AbortHandle;

use crate::outbound::hook::HookError;

/// A task that ends when it is let go of.
#[derive(Debug)]
pub(super) struct OwnTask(AbortHandle);

impl OwnTask {
    /// Begins it.
    pub(super) fn begin(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work).abort_handle())
    }

    /// Whether it has not ended.
    pub(super) fn is_at_work(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for OwnTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is being undone.
#[derive(Debug, Default)]
pub(super) struct ChaosUndoing {
    /// The try that is under way.
    pub(super) task: Option<OwnTask>,
    /// Tries since it was begun, or begun again.
    pub(super) tries: u32,
    /// When it is tried next, on the clock of the process.
    pub(super) next_ms: u64,
}

impl ChaosUndoing {
    /// Whether a try of it is under way.
    pub(super) fn is_at_work(&self) -> bool {
        self.task.is_some()
    }
}

/// When a webhook is asked next, and whether it is at this moment.
#[derive(Debug, Default)]
pub(super) struct WebhookAsking {
    pub(super) next_ms: u64,
    pub(super) task: Option<OwnTask>,
    pub(super) asked: u64,
}

/// Why a command, or what undoes it, did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChaosCommandError {
    /// It failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// There is nothing to run.
    #[error("the store does not say what undoes it")]
    Unknown,
}

/// What became of a task.
#[derive(Debug)]
pub(super) enum ChaosTaskEnd {
    /// The command of a run.
    Command { id: u64, result: Result<(), ChaosCommandError> },
    /// A try to undo it.
    Undo { id: u64, result: Result<(), ChaosCommandError> },
    /// The webhook of a run did not agree.
    Refused { id: u64, why: String },
}

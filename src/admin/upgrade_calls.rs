//! Calls for an upgrade in place, and their outcome. The upgrade itself is in `app`, which knows the sockets; here is
//! only what the admin API has to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

/// Where the outcome of an upgrade goes.
pub(crate) type OutcomeSender = oneshot::Sender<Result<Successor, UpgradeError>>;

/// The process that has taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Its id.
    pub process: u32,
}

/// Why there was no upgrade. The process that was asked goes on as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Not this process.
    #[error("this process cannot be replaced: {0}")]
    Unavailable(&'static str),
    /// Another one is going on.
    #[error("another upgrade is going on; wait for its end")]
    Busy,
    /// The new binary does not take the config.
    #[error("the check of the config by {program} has failed; this one goes on: {}", problems.join("; "))]
    Config {
        /// The new binary.
        program: String,
        /// Everything that is wrong with the config, a line each.
        problems: Vec<String>,
    },
    /// Files that the new process reads are being written, or may be half of what they will be.
    #[error(
        "{files} {what}, so that the new process might read half of it; this one goes on. Upgrade again when it is written"
    )]
    Unsettled {
        /// Which ones.
        files: &'static str,
        /// What is seen of it.
        what: String,
    },
    /// The new process did not take over.
    #[error("the new process has not taken over: {0}; this one goes on")]
    Failed(String),
    /// The process is told to end.
    #[error("the process is shutting down")]
    Ending,
}

/// Asks for upgrades.
#[derive(Clone, Debug)]
pub struct Upgrades {
    calls: mpsc::Sender<OutcomeSender>,
    busy: Arc<AtomicBool>,
}

/// Where the calls arrive.
#[derive(Debug)]
pub struct UpgradeCalls {
    calls: mpsc::Receiver<OutcomeSender>,
    busy: Arc<AtomicBool>,
}

/// Both ends.
#[must_use]
pub fn channel() -> (Upgrades, UpgradeCalls) {
    let (sender, calls) = mpsc::channel(1);
    let busy = Arc::new(AtomicBool::new(false));
    (Upgrades { calls: sender, busy: Arc::clone(&busy) }, UpgradeCalls { calls, busy })
}

impl Upgrades {
    /// Asks, and waits for the outcome.
    ///
    /// # Errors
    /// [`UpgradeError`] when this process goes on, or ends.
    pub async fn ask(&self) -> Result<Successor, UpgradeError> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(UpgradeError::Busy);
        }
        let (response, responded) = oneshot::channel();
        self.calls.send(response).await.map_err(|_closed| UpgradeError::Ending)?;
        responded.await.unwrap_or(Err(UpgradeError::Ending))
    }
}

impl UpgradeCalls {
    /// The next call; none when no caller is left.
    pub async fn next(&mut self) -> Option<OutcomeSender> {
        self.calls.recv().await
    }

    /// Says whether an upgrade is going on that was not called for here, or that it is over.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Release);
    }
}

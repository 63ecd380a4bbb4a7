//! What the writer wants of the place where replicas share their state. It is called on the writer's thread and may
//! block, within bounds.

use std::fmt;

use super::shared_state::{SharedRevision, SharedState};

/// How many of the last revisions the place keeps. A replica that has missed more of them has a hole in its
/// history, and the traffic as it is all the same.
pub(crate) const REVISIONS_KEPT: u64 = 1_000;

/// How many of the last rollouts it keeps.
pub(crate) const ROLLOUTS_KEPT: u64 = 50;

/// The place.
pub(crate) trait FleetPort: Send + fmt::Debug {
    /// Puts a document in place of the one whose version is `seen`; none: there was none. Returns its version.
    ///
    /// # Errors
    /// [`FleetWriteError`] when it is not known to be there.
    fn put(&mut self, seen: Option<u64>, write: &FleetWrite) -> Result<u64, FleetWriteError>;

    /// The document and what a replica that knows `revision` has missed; none: there is no document.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&mut self, revision: u64) -> Result<Option<FleetUpdate>, FleetUnread>;
}

/// What is written in one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct FleetWrite {
    /// The document; none: only the rollout.
    pub(crate) state: Option<SharedState>,
    /// Revisions that are new.
    pub(crate) revisions: Vec<SharedRevision>,
    /// Rollouts whose state is new.
    pub(crate) rollouts: Vec<SharedRollout>,
    /// Whether only the leader may write it.
    pub(crate) leads: bool,
}

/// What is read in one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct FleetUpdate {
    /// The version of the document.
    pub(crate) seen: u64,
    /// The document; none: it is the one that is known.
    pub(crate) state: Option<SharedState>,
    /// Revisions that the replica may lack, ascending.
    pub(crate) revisions: Vec<SharedRevision>,
    /// The rollouts that may be new.
    pub(crate) rollouts: Vec<SharedRollout>,
}

/// A rollout with its state, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedRollout {
    /// Its number.
    pub(crate) id: u64,
    /// Its state.
    pub(crate) state: String,
}

/// Why the document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FleetUnread(pub(crate) String);

/// Why a write is not known to be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FleetWriteError {
    /// Another replica was faster: there is another document than was seen.
    #[error("another replica has changed the traffic")]
    Outrun,
    /// Only the leader may write it, and this replica does not lead any more.
    #[error("this replica does not lead the fleet any more")]
    NotLeader,
    /// It was not sent, or was refused.
    #[error("{0}")]
    Refused(String),
    /// It may be there or not.
    #[error("{0}")]
    Unknown(String),
}

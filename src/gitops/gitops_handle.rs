//! How others ask what is known of the repository, and have it looked at now.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::commit_statuses::CommitStatuses;
use super::commit_word::{CommitWord, CommitWordError};
use super::git_commit::GitCommit;
use super::git_facts::GitFacts;
use super::hook_receiver::HookReceiver;
use crate::config::GitopsConfig;
use crate::control::handle::Applied;
use crate::control::weight_marks::WeightFacts;
use crate::stats::Registry;

/// How many calls may wait for the keeper.
pub(super) const CALLS_MAX: usize = 16;

/// Asks the keeper.
#[derive(Clone, Debug)]
pub struct GitopsHandle {
    /// Where the config is.
    pub source: GitopsConfig,
    /// What is known.
    pub facts: watch::Receiver<GitFacts>,
    /// What forges call.
    pub(crate) hooks: HookReceiver,
    /// Who set the weights in force, and which commits were taken back.
    pub(crate) weights: watch::Receiver<Arc<WeightFacts>>,
    /// What the forge is told of commits.
    pub(crate) statuses: CommitStatuses,
    /// Which rollouts are under way.
    pub(crate) registry: Arc<Registry>,
    pub(super) calls: mpsc::Sender<SyncCall>,
}

/// What a caller wants of a look at the repository.
#[derive(Clone, Copy, Debug, Default)]
pub struct SyncTerms {
    /// Only say what would come of it.
    pub dry_run: bool,
    /// Take the newest commit also when the branch was rewritten.
    pub rewritten: bool,
    /// Put weights in force also where they were taken back.
    pub rejected: bool,
}

/// A call, with where the answer goes.
#[derive(Debug)]
pub(super) struct SyncCall {
    pub(super) terms: SyncTerms,
    /// The commit that is asked about; none: the newest one is taken.
    pub(super) about: Option<CommitWord>,
    pub(super) answer: oneshot::Sender<Result<SyncDone, SyncError>>,
}

/// What came of a look at the repository; with a dry run, what would.
#[derive(Debug)]
pub struct SyncDone {
    /// The newest commit.
    pub commit: GitCommit,
    /// What changed.
    pub applied: Applied,
    /// What of the commit takes a restart.
    pub needs_restart: Vec<String>,
}

/// Why the newest commit is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// The repository does not answer.
    #[error("{0}; what was in force stays in force")]
    Unreachable(String),
    /// The commit is refused; everything that is wrong with it, a line each.
    #[error("the commit is refused, nothing changed: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// There is no such commit.
    #[error(transparent)]
    Unknown(CommitWordError),
    /// Its weights were taken back.
    #[error(
        "rejected: {0}; its weights are not put in force again. Commit other ones, or revert it; to put them in force \
         all the same: pointsman sync --rejected"
    )]
    Rejected(String),
    /// An upgrade in place is going on.
    #[error("{0}")]
    Waits(String),
    /// The keeper has ended.
    #[error("the proxy has lost this call: a part of it has ended, and begins again; repeat the call")]
    Gone,
}

impl GitopsHandle {
    /// Has the repository looked at now.
    ///
    /// # Errors
    /// [`SyncError`] when the newest commit is not in force after it, or with a dry run would not be.
    pub async fn sync(&self, terms: SyncTerms) -> Result<SyncDone, SyncError> {
        self.ask(terms, None).await
    }

    /// Says what would come of a commit.
    ///
    /// # Errors
    /// [`SyncError`] when there is no such commit, or it would be refused.
    pub(crate) async fn preview(&self, commit: CommitWord) -> Result<SyncDone, SyncError> {
        self.ask(SyncTerms { dry_run: true, ..SyncTerms::default() }, Some(commit)).await
    }

    async fn ask(&self, terms: SyncTerms, about: Option<CommitWord>) -> Result<SyncDone, SyncError> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(SyncCall { terms, about, answer }).await.map_err(|_closed| SyncError::Gone)?;
        answered.await.map_err(|_closed| SyncError::Gone)?
    }
}

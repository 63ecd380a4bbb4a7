//! What gives users other weights at run time, written to the repository: the end of a rollout, a rollback, a shift by
//! hand, the launch of a flag.
//!
//! Nothing is queued. What has to be written is what is in force and not as the commit in force says. So it is found
//! again after a restart, an upgrade or the loss of the clone, changes that take each other back leave nothing to
//! write, and what a rollout has set on its way is written when it has ended, not before.
//!
//! What must stay true:
//! - Nothing that is acknowledged waits for it: a revision is in force long before.
//! - It begins from the newest commit, put in force first, so that what people push counts: their other weights for the
//!   same service take the place of ours, and there is nothing left to write.
//! - What is pushed was read as a config, and gives what is in force: so its commit moves no user when it comes back,
//!   and leaves nothing to write. That is all that ends the circle; no commit is known by its author.
//! - Nothing is forced. A branch that has gone on is fetched again, at most [`TRIES_MAX`] times.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config_edit::{ConfigEditError, edited};
use super::git_clone::{CommitTextError, GitErrorText};
use super::git_commit::{GitCommit, short};
use super::git_keeper::GitKeeper;
use super::git_push::PushError;
use super::gitops_handle::{SyncError, SyncTerms};
use super::unwritten::{Unwritten, unwritten};
use super::write_back_message::WriteBackMessage;
use super::write_back_state::WrittenCommit;
use crate::config::{FilesBeside, WriteBackConfig, WriteBackTarget};
use crate::control::handle::ReadError;
use crate::control::store::Revision;
use crate::control::watch::ConfigText;
use crate::files::watcher::in_background;

/// How often in a row a branch that goes on is fetched again.
const TRIES_MAX: u32 = 5;

/// When it is looked again whether a rollout has ended, or an upgrade.
const AGAIN: Duration = Duration::from_secs(1);

/// When it is tried again after it could not be written.
const FAILED_AGAIN: Duration = Duration::from_secs(30);

/// What came of a look at what has to be written.
enum WriteStep {
    /// There is nothing to write.
    Nothing,
    /// Not yet.
    Waits,
    /// A commit was pushed; there may be more to write.
    Written,
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteBackError {
    #[error("the branch has gone on at each of {TRIES_MAX} tries: {0}")]
    Overtaken(GitErrorText),
    #[error("the commit could not be pushed: {0}")]
    Push(GitErrorText),
    #[error(transparent)]
    Git(#[from] GitErrorText),
    #[error("the newest commit is not in force, which has to be mended first: {0}")]
    Behind(String),
    #[error(transparent)]
    Text(#[from] CommitTextError),
    #[error("the file has no place for {subject}: {source}; write it there by hand")]
    Edit { subject: String, source: ConfigEditError },
    #[error("the file with {0} in it would not give what is in force; write it there by hand")]
    Unfit(String),
    #[error("revision {0} cannot be read: {1}")]
    Revision(u64, String),
}

impl From<PushError> for WriteBackError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Overtaken(error) => Self::Overtaken(error),
            PushError::Failed(error) => Self::Push(error),
        }
    }
}

impl GitKeeper {
    /// Writes what has to be written, or says why it cannot be.
    pub(super) async fn write_back(&mut self) {
        self.write_back.due = None;
        let Some(terms) = self.clone.source.write_back.clone() else { return };
        if !self.write_back.is_own() {
            return self.tell_unwritten(None);
        }
        let mut overtaken = None;
        for _try in 0..TRIES_MAX {
            match self.write_next(&terms).await {
                Ok(WriteStep::Nothing) => return self.tell_unwritten(None),
                Ok(WriteStep::Waits) => {
                    self.write_back.due = Some(Instant::now() + AGAIN);
                    return;
                }
                Ok(WriteStep::Written) => {
                    self.write_back.due = Some(Instant::now());
                    return self.tell_unwritten(None);
                }
                Err(WriteBackError::Overtaken(error)) => overtaken = Some(WriteBackError::Overtaken(error)),
                Err(error) => return self.tell_unwritten(Some(&error)),
            }
        }
        self.tell_unwritten(overtaken.as_ref());
    }

    /// Says why it could not be written; in the log only if that is new.
    fn tell_unwritten(&mut self, error: Option<&WriteBackError>) {
        let problem = error.map(ToString::to_string);
        if problem.is_some() {
            self.write_back.due = Some(Instant::now() + FAILED_AGAIN);
        }
        if self.facts.borrow().write_back.problem == problem {
            return;
        }
        if let Some(problem) = &problem {
            tracing::warn!(problem, "the weights in force cannot be written to the repository; it is tried again");
        }
        self.facts.send_modify(|facts| facts.write_back.problem = problem);
    }

    /// Writes what the oldest revision set that is not written.
    async fn write_next(&mut self, terms: &WriteBackConfig) -> Result<WriteStep, WriteBackError> {
        if let Some(step) = self.oldest_unwritten(terms).await.err() {
            return Ok(step);
        }
        match self.look(SyncTerms::default()).await {
            Ok(_) | Err(SyncError::Rejected(_)) => {}
            Err(SyncError::Waits(_)) => return Ok(WriteStep::Waits),
            Err(error) => return Err(WriteBackError::Behind(error.to_string())),
        }
        let parent = self.facts.borrow().in_force.clone();
        if self.facts.borrow().newest.hash != parent.hash {
            return Err(WriteBackError::Behind("its weights were taken back".to_owned()));
        }
        // What people have pushed is in force now.
        let group = match self.oldest_unwritten(terms).await {
            Ok(group) => group,
            Err(step) => return Ok(step),
        };
        let Some(number) = group.first().map(|first| first.revision) else { return Ok(WriteStep::Nothing) };
        let revision = match self.deps.handle.revision(number).await {
            Ok(Some(revision)) => revision,
            Ok(None) => return Err(WriteBackError::Revision(number, "it is not there".to_owned())),
            // Another process has taken over, and writes.
            Err(ReadError::Upgrading(_)) => return Ok(WriteStep::Waits),
            Err(error) => return Err(WriteBackError::Revision(number, error.to_string())),
        };
        self.write(&parent, &group, &revision, terms).await?;
        Ok(WriteStep::Written)
    }

    /// What the oldest revision set that is not written; what else there is to do if there is none.
    async fn oldest_unwritten(&mut self, terms: &WriteBackConfig) -> Result<Vec<Unwritten>, WriteStep> {
        let (found, waits) = {
            let (table, weights) = (self.deps.published.load(), self.deps.weights.borrow());
            unwritten(&table, &weights, &self.deps.registry)
        };
        let mut open = Vec::new();
        for found in found {
            if terms.target == WriteBackTarget::Branch || !self.is_proposed(&found.proposal()).await {
                open.push(found);
            }
        }
        let none = if waits { WriteStep::Waits } else { WriteStep::Nothing };
        let oldest = open.iter().map(|found| found.revision).min().ok_or(none)?;
        open.retain(|found| found.revision == oldest);
        Ok(open)
    }

    async fn is_proposed(&mut self, branch: &str) -> bool {
        if self.write_back.proposed.contains(branch) {
            return true;
        }
        let proposed = self.clone.has_proposed(branch).await;
        if proposed {
            self.write_back.proposed.insert(branch.to_owned());
        }
        proposed
    }

    /// Writes what one revision set as one commit.
    async fn write(
        &mut self,
        parent: &GitCommit,
        group: &[Unwritten],
        revision: &Revision,
        terms: &WriteBackConfig,
    ) -> Result<(), WriteBackError> {
        let mut text = self.clone.text(parent).await?;
        for Unwritten { subject, wanted, .. } in group {
            let edited = edited(&text, subject, wanted);
            text = edited.map_err(|source| WriteBackError::Edit { subject: subject.to_string(), source })?;
        }
        self.verify(&text, group).await?;
        let changed: Vec<String> = group.iter().map(ToString::to_string).collect();
        let message = WriteBackMessage::new(revision, &changed, &terms.committer);
        let commit = self.clone.commit_text(parent, &text, &message).await?;
        let branch = match terms.target {
            WriteBackTarget::Branch => self.clone.source.branch.clone(),
            WriteBackTarget::Proposal => group.first().map(Unwritten::proposal).unwrap_or_default(),
        };
        let pushed = self.clone.push(&commit, &branch).await;
        match (pushed, terms.target) {
            // A branch of this name was proposed before, perhaps by a process whose clone is lost.
            (Ok(()) | Err(PushError::Overtaken(_)), WriteBackTarget::Proposal) => {
                for branch in group.iter().map(Unwritten::proposal) {
                    self.clone.mark_proposed(&branch, &commit).await?;
                    self.write_back.proposed.insert(branch);
                }
            }
            (pushed, _) => pushed?,
        }
        let (number, hash) = (revision.number, short(&commit));
        tracing::info!(commit = hash, branch, revision = number, ?changed, "the weights in force are written");
        self.facts.send_modify(|facts| {
            facts.write_back.written += 1;
            facts.write_back.last = Some(WrittenCommit { commit, branch, revision: number });
        });
        if terms.target == WriteBackTarget::Branch {
            // It moves no user; whatever is wrong is in the facts.
            drop(self.look(SyncTerms::default()).await);
        }
        Ok(())
    }

    /// Reads what is to be pushed, as it will be read when it comes back.
    async fn verify(&self, text: &str, group: &[Unwritten]) -> Result<(), WriteBackError> {
        let (read, text) =
            (Arc::clone(&self.deps.read), ConfigText { text: text.to_owned(), beside: FilesBeside::default() });
        let content = in_background(move || read(&text)).await;
        let specs = content.and_then(Result::ok).map(|content| content.specs);
        let unfit = group.iter().find(|found| !specs.as_ref().is_some_and(|specs| found.is_in(specs)));
        unfit.map_or(Ok(()), |found| Err(WriteBackError::Unfit(found.to_string())))
    }
}

//! What a commit would do, said without doing it: any one that a person names.

use super::commit_word::{CommitWord, CommitWordError};
use super::git_keeper::GitKeeper;
use super::gitops_handle::{SyncDone, SyncError, SyncTerms};

impl GitKeeper {
    /// What would come of a commit that a person names. It may be on any branch, so it is not asked whether that has
    /// gone on from the commit in force.
    pub(super) async fn preview(&mut self, word: &CommitWord) -> Result<SyncDone, SyncError> {
        let commit = self.clone.find(word).await.map_err(|error| match error {
            // The branch that is followed may answer all the same.
            CommitWordError::Unreachable(error) => SyncError::Unreachable(error.to_string()),
            unknown @ (CommitWordError::Word(_) | CommitWordError::Unknown { .. }) => SyncError::Unknown(unknown),
        })?;
        self.take(commit, SyncTerms { dry_run: true, rewritten: true, rejected: false }).await
    }
}

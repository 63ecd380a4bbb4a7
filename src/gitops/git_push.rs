//! Commits of our own: made in the bare clone without a work tree, and pushed without force.
//!
//! The obvious way, a work tree with `git add` and `git commit`, would write files of others to disk, follow links in
//! them, and run filters. Here a tree is made of the parent's by an index of its own that nothing else uses.

use std::path::PathBuf;

use super::git_clone::{FETCH, GitClone, GitErrorText, LOOK};
use super::git_commit::GitCommit;
use super::git_program::{GitInput, GitLimits};
use super::write_back_message::WriteBackMessage;

/// What writes objects may write a config.
const WRITE: GitLimits = GitLimits { file: 16 << 20, ..LOOK };

/// What git says of a branch that has gone on since it was fetched, or goes on at this moment.
const OVERTAKEN: [&str; 4] = ["(fetch first)", "(non-fast-forward)", "cannot lock ref", "failed to update ref"];

/// Why a commit is not on its branch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PushError {
    /// The branch has gone on.
    #[error("{0}")]
    Overtaken(GitErrorText),
    /// git cannot, or may not.
    #[error("{0}")]
    Failed(#[from] GitErrorText),
}

/// The index of a commit that is being made; gone with it.
struct TemporaryIndex(PathBuf);

impl Drop for TemporaryIndex {
    fn drop(&mut self) {
        // Most of the time it is there; nothing depends on it.
        drop(std::fs::remove_file(&self.0));
    }
}

impl GitClone {
    /// Makes a commit on top of `parent` in which the config is `text`, and tells its hash.
    pub(super) async fn commit_text(
        &self,
        parent: &GitCommit,
        text: &str,
        message: &WriteBackMessage,
    ) -> Result<String, GitErrorText> {
        let index = TemporaryIndex(self.folder_of_git().join(format!("pointsman-index-{}", std::process::id())));
        drop(std::fs::remove_file(index.0.with_extension("lock")));
        let index_file = [("GIT_INDEX_FILE", index.0.to_string_lossy().into_owned())];
        let blob = self.written(&["hash-object", "-w", "--no-filters", "--stdin"], text.as_bytes(), &[]).await?;
        let mode = self.mode(parent).await?;
        self.written(&["read-tree", "--end-of-options", &parent.hash], b"", &index_file).await?;
        let entry = format!("{mode} {blob}\t{}\0", self.source.path);
        self.written(&["update-index", "-z", "--index-info"], entry.as_bytes(), &index_file).await?;
        let tree = self.written(&["write-tree"], b"", &index_file).await?;
        let who = message.environment();
        let commit = ["commit-tree", &*tree, "-p", &*parent.hash, "-F", "-"];
        self.written(&commit, message.text.as_bytes(), &who).await
    }

    /// Puts a commit on a branch of the repository, which has to have gone on to it or not to be there.
    pub(super) async fn push(&self, commit: &str, branch: &str) -> Result<(), PushError> {
        let refs = format!("{commit}:refs/heads/{branch}");
        let arguments = ["push", "--quiet", "--no-verify", "--", &*self.source.repository, &*refs];
        let pushed = self.call(&arguments, FETCH).await;
        pushed.map(drop).map_err(|error| {
            let overtaken = OVERTAKEN.iter().any(|words| error.text.contains(words));
            if overtaken { PushError::Overtaken(error) } else { PushError::Failed(error) }
        })
    }

    /// Whether a proposal of this name was pushed.
    pub(super) async fn has_proposed(&self, branch: &str) -> bool {
        self.call(&["rev-parse", "--verify", "--quiet", &proposal(branch)], LOOK).await.is_ok()
    }

    /// Remembers that it was.
    pub(super) async fn mark_proposed(&self, branch: &str, commit: &str) -> Result<(), GitErrorText> {
        self.call(&["update-ref", &proposal(branch), commit], LOOK).await.map(drop)
    }

    /// The mode of the config in a commit.
    async fn mode(&self, commit: &GitCommit) -> Result<String, GitErrorText> {
        let arguments = ["ls-tree", "-z", "--full-tree", &*commit.hash, "--", &*self.source.path];
        let listed = self.call(&arguments, LOOK).await?;
        let mode = listed.split(|byte| *byte == b' ').next().unwrap_or_default();
        Ok(if mode == b"100755" { "100755" } else { "100644" }.to_owned())
    }

    /// Calls git with an input, and tells the word that it says.
    async fn written(
        &self,
        arguments: &[&str],
        input: &[u8],
        environment: &[(&str, String)],
    ) -> Result<String, GitErrorText> {
        let said = self.call_with(arguments, &GitInput { stdin: Some(input), environment }, WRITE).await?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }
}

/// The mark in the clone of a branch that was proposed.
fn proposal(branch: &str) -> String {
    format!("refs/pointsman/proposed/{branch}")
}

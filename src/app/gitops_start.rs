//! How a process begins whose config is in a repository: with the commit that was in force, from its clone, or else
//! with the newest one, from the repository.
//!
//! The network is asked only if there is no clone yet, or if its commit is refused by now: a machine that starts again
//! while the repository is away serves what it served, and an upgrade in place does not wait for a fetch.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Checked, check_beside};
use crate::admin::upgrade_calls::CheckFinding;
use crate::config::{Config, LocalConfig};
use crate::gitops::git_clone::{CloneError, GitClone, GitErrorText};
use crate::gitops::git_commit::GitCommit;
use crate::problem::chain;

/// What such a process begins with.
#[derive(Debug)]
pub struct GitopsStart {
    pub(crate) clone: GitClone,
    pub(crate) commit: GitCommit,
    /// Where relative paths begin.
    pub(crate) base: PathBuf,
}

/// A commit that a process can begin with.
#[derive(Debug)]
pub struct StartCommit {
    /// What it comes to.
    pub config: Config,
    /// What its owner should know, a line each.
    pub warnings: Vec<String>,
    /// What is called so in what is said of it: `COMMIT:PATH`.
    pub place: String,
    /// How to go on from it.
    pub start: GitopsStart,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum GitopsStartError {
    /// There is no clone.
    #[error(transparent)]
    Clone(#[from] CloneError),
    /// There is no commit in it, and the repository does not answer.
    #[error(
        "{0}; want the repository at the first start, from then on its clone is enough: see that it can be reached \
         with its credentials (gitops.home), or start with a clone that was made before"
    )]
    Unreachable(#[from] GitErrorText),
    /// The runtime that git is waited for in.
    #[error("cannot make a runtime; raise the limit of open files")]
    Runtime(#[source] std::io::Error),
    /// The commit is refused.
    #[error("the commit {place} is refused")]
    Refused {
        /// Which.
        place: String,
        /// Everything that is wrong with it.
        problems: Vec<CheckFinding>,
    },
}

impl GitopsStart {
    /// The commit that a process begins with.
    ///
    /// # Errors
    /// [`GitopsStartError`] when there is none.
    pub fn find(local: &Arc<LocalConfig>, base: &Path) -> Result<StartCommit, GitopsStartError> {
        in_runtime(async {
            let clone = GitClone::open(&local.gitops, &GitClone::folder(&local.state.path)).await?;
            if let Some(commit) = clone.in_force().await {
                match Self::of(&clone, commit, local, base).await {
                    Ok(found) => return Ok(found),
                    Err(error) => tracing::error!(%error, "the commit that was in force cannot be used any more"),
                }
            }
            let commit = clone.fetch(true).await?;
            if let Err(error) = clone.signer(&commit).await {
                let place = clone.place(&commit);
                return Err(GitopsStartError::Refused { place, problems: vec![remark(&error)] });
            }
            let found = Self::of(&clone, commit, local, base).await?;
            clone.mark(Some(&found.start.commit)).await?;
            Ok(found)
        })
    }

    /// The commit that the clone has for the next start, if there is a clone; the network is not asked.
    ///
    /// # Errors
    /// [`GitopsStartError`] when that commit is refused.
    pub fn known(local: &Arc<LocalConfig>, base: &Path) -> Result<Option<StartCommit>, GitopsStartError> {
        let folder = GitClone::folder(&local.state.path);
        if !GitClone::is_of(&local.gitops, &folder) {
            return Ok(None);
        }
        in_runtime(async {
            let clone = GitClone::open(&local.gitops, &folder).await?;
            let Some(commit) = clone.in_force().await else { return Ok(None) };
            Self::of(&clone, commit, local, base).await.map(Some)
        })
    }

    async fn of(
        clone: &GitClone,
        commit: GitCommit,
        local: &Arc<LocalConfig>,
        base: &Path,
    ) -> Result<StartCommit, GitopsStartError> {
        let place = clone.place(&commit);
        let refused = |problems| GitopsStartError::Refused { place: place.clone(), problems };
        let text = clone.text(&commit).await.map_err(|error| refused(vec![remark(&error)]))?;
        let Checked { config, warnings } = check_beside(&text, base, local);
        let config = config.map_err(|error| refused(error.findings()))?;
        let warnings = warnings.iter().map(ToString::to_string).collect();
        let start = Self { clone: clone.clone(), commit, base: base.to_owned() };
        Ok(StartCommit { config, warnings, place, start })
    }
}

/// What is wrong with a commit and not with its text.
fn remark(error: &impl Error) -> CheckFinding {
    CheckFinding::Remark { path: String::new(), line: None, text: chain(error) }
}

/// Waits for git before anything else runs.
fn in_runtime<T>(work: impl Future<Output = Result<T, GitopsStartError>>) -> Result<T, GitopsStartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(GitopsStartError::Runtime)?.block_on(work)
}

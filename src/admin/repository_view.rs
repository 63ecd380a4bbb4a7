//! What is shown of the repository that the config is in.

use serde::Serialize;
use utoipa::ToSchema;

use super::override_view::OverrideView;
use super::revisions::timestamp;
use crate::config::{WriteBackConfig, WriteBackTarget};
use crate::control::weight_marks::RejectedCommit;
use crate::gitops::git_commit::GitCommit;
use crate::gitops::git_facts::{GitFacts, overridden};
use crate::gitops::gitops_handle::GitopsHandle;
use crate::gitops::rejections::{self, StandingRejection};
use crate::gitops::write_back_state::{WriteBackFacts, WrittenCommit};
use crate::table::Table;

/// The repository, and how what is in force is to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Gitops)]
pub(crate) struct RepositoryView {
    /// `synced` (the newest commit is in force), `pending` (a newer one is not yet), `overridden` (the newest one is in
    /// force, but not its weights), `rejected` (so, and its weights were taken back), `refused` (the newest one is not
    /// put in force) or `unreachable` (the repository does not answer).
    state: &'static str,
    /// What git fetches from.
    repository: String,
    /// The branch.
    branch: String,
    /// The file, from the top of the repository.
    path: String,
    /// The commit in force.
    commit: CommitView,
    /// The newest commit that was seen, if it is another one.
    newest: Option<CommitView>,
    /// When the repository last answered; none: not since the start.
    #[schema(format = DateTime)]
    fetched_at: Option<String>,
    /// Seconds since then.
    fetched_seconds: Option<u64>,
    /// Why the newest commit is refused, each with the commit, the file and the line.
    problems: Vec<String>,
    /// Why the repository could not be asked the last time.
    unreachable: Option<String>,
    /// What the newest commit waits for.
    waits: Option<String>,
    /// What of the commit in force takes a restart.
    needs_restart: Vec<String>,
    /// Services and flags that give users something else than the commit in force says.
    overridden: Vec<String>,
    /// The same, with who has set that, why, and until when.
    overrides: Vec<OverrideView>,
    /// Commits whose weights were taken back, and are in the commit in force.
    rejected: Vec<RejectedView>,
    /// Why the newest commit is not taken, if its weights were taken back.
    rejection: Option<String>,
    /// What was written to the repository.
    write_back: WriteBackView,
}

/// What was written to the repository of what changes at run time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WriteBack)]
pub(crate) struct WriteBackView {
    /// `off`, `branch` (a branch of its own, to be merged) or `commit` (on the branch itself).
    mode: &'static str,
    /// The last commit since the start.
    last: Option<WrittenView>,
    /// Why what is in force could not be written the last time.
    problem: Option<String>,
}

/// A commit of the proxy's own.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WrittenCommit)]
pub(crate) struct WrittenView {
    /// Its hash.
    commit: String,
    /// The branch that it was pushed to.
    branch: String,
    /// The revision that it writes down.
    revision: u64,
}

impl WriteBackView {
    fn of(terms: Option<&WriteBackConfig>, WriteBackFacts { written: _, last, problem }: &WriteBackFacts) -> Self {
        let mode = match terms.map(|terms| terms.target) {
            None => "off",
            Some(WriteBackTarget::Proposal) => "branch",
            Some(WriteBackTarget::Branch) => "commit",
        };
        let last = last.as_ref().map(|WrittenCommit { commit, branch, revision }| WrittenView {
            commit: commit.clone(),
            branch: branch.clone(),
            revision: *revision,
        });
        Self { mode, last, problem: problem.clone() }
    }
}

/// A commit whose weights were taken back by a rollback, or by a rollout that was turned back.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RejectedCommit)]
pub(crate) struct RejectedView {
    /// Its hash.
    commit: String,
    /// The services and flags whose weights are not as it says.
    of: Vec<String>,
    /// Who has taken them back.
    author: String,
    /// Why; of a rollout, what its judge had found.
    reason: String,
    /// The revision that took them back.
    revision: u64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
}

impl RejectedView {
    fn of(StandingRejection { commit, rejected, subjects }: StandingRejection) -> Self {
        let RejectedCommit { revision, at_ms, author, reason, .. } = &*rejected;
        let (author, reason) = (author.clone(), reason.clone());
        Self { commit, of: subjects, author, reason, revision: *revision, at: timestamp(*at_ms) }
    }
}

/// A commit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Commit)]
pub(crate) struct CommitView {
    /// Its hash.
    hash: String,
    /// Its author.
    author: String,
    /// The first line of its message.
    subject: String,
    /// When it was made.
    #[schema(format = DateTime)]
    at: String,
    /// Seconds since then.
    age_seconds: u64,
}

impl CommitView {
    /// The view of a commit.
    #[must_use]
    pub(crate) fn of(commit: &GitCommit) -> Self {
        Self {
            hash: commit.hash.clone(),
            author: commit.author.clone(),
            subject: commit.subject.clone(),
            at: timestamp(commit.at_s.saturating_mul(1000)),
            age_seconds: seconds_since(commit.at_s.saturating_mul(1000)),
        }
    }
}

impl RepositoryView {
    /// The view, beside the table in force.
    #[must_use]
    pub(crate) fn of(gitops: &GitopsHandle, table: &Table) -> Self {
        let (facts, overridden) = (gitops.facts.borrow(), overridden(table));
        let GitFacts { in_force, newest, fetched_at_ms, problems, unreachable, waits, needs_restart, write_back } =
            &*facts;
        let (source, weights) = (&gitops.source, gitops.weights.borrow());
        Self {
            state: facts.state(&overridden, &weights).word(),
            repository: source.repository.clone(),
            branch: source.branch.clone(),
            path: source.path.clone(),
            commit: CommitView::of(in_force),
            newest: (newest.hash != in_force.hash).then(|| CommitView::of(newest)),
            fetched_at: fetched_at_ms.map(timestamp),
            fetched_seconds: fetched_at_ms.map(seconds_since),
            problems: problems.clone(),
            unreachable: unreachable.clone(),
            waits: waits.clone(),
            needs_restart: needs_restart.clone(),
            rejected: rejections::standing(&weights, &overridden).into_iter().map(RejectedView::of).collect(),
            overrides: OverrideView::all(table, &weights, &gitops.registry),
            write_back: WriteBackView::of(source.write_back.as_ref(), write_back),
            rejection: rejections::against(&weights, newest, in_force, &overridden),
            overridden,
        }
    }
}

/// Seconds since a time in milliseconds since 1970.
fn seconds_since(at_ms: i64) -> u64 {
    let ms = jiff::Timestamp::now().as_millisecond().saturating_sub(at_ms);
    u64::try_from(ms / 1000).unwrap_or_default()
}

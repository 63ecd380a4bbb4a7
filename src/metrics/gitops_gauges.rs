//! How the repository and what is in force are to each other.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use super::names;
use crate::gitops::git_facts::{GitState, overridden};
use crate::gitops::gitops_handle::GitopsHandle;
use crate::table::Table;

/// Sets them.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in an f64")]
pub(super) fn update(gitops: Option<&GitopsHandle>, table: &Table) {
    let Some(gitops) = gitops else { return };
    let facts = gitops.facts.borrow();
    let state = facts.state(&overridden(table), &gitops.weights.borrow());
    for known in GitState::ALL {
        gauge!(names::GITOPS_STATE, "state" => known.word()).set(if known == state { 1.0 } else { 0.0 });
    }
    for (result, count) in gitops.hooks.counts() {
        counter!(names::GITOPS_HOOKS, "result" => result).absolute(count);
    }
    counter!(names::GITOPS_WRITTEN).absolute(facts.write_back.written);
    gauge!(names::GITOPS_UNWRITTEN).set(if facts.write_back.problem.is_some() { 1.0 } else { 0.0 });
    for (result, count) in gitops.statuses.counts().into_iter().flatten() {
        counter!(names::GITOPS_STATUSES, "result" => result).absolute(count);
    }
    gauge!(names::GITOPS_COMMIT_TIME).set(facts.in_force.at_s as f64);
    if let Some(at_ms) = facts.fetched_at_ms {
        gauge!(names::GITOPS_FETCH_TIME).set(at_ms as f64 / 1000.0);
    }
}

/// Describes them.
pub(super) fn describe() {
    describe_gauge!(names::GITOPS_STATE, "How the repository and what is in force are to each other: 1 at one state.");
    describe_counter!(names::GITOPS_HOOKS, "Hooks that said that the repository has something new.");
    describe_counter!(
        names::GITOPS_WRITTEN,
        "Commits that were pushed to the repository, of what changes at run time."
    );
    describe_gauge!(names::GITOPS_UNWRITTEN, "Whether the weights in force could not be written to the repository.");
    describe_counter!(names::GITOPS_STATUSES, "What the forge was told of commits.");
    describe_gauge!(names::GITOPS_COMMIT_TIME, Unit::Seconds, "When the commit in force was made, since 1970.");
    describe_gauge!(names::GITOPS_FETCH_TIME, Unit::Seconds, "When the repository last answered, since 1970.");
}

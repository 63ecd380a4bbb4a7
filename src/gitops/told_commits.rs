//! What the forge is told of the commit in force, and of commits that were taken back.
//!
//! That follows from what is known, so it is told again whenever some of that has changed, and what the forge knows
//! already is not sent. A commit that is refused, or waits, is told of when that is found.

use std::collections::BTreeSet;

use super::forge_request::CommitState;
use super::git_commit::GitCommit;
use super::git_keeper::GitKeeper;
use crate::control::weight_marks::RejectedCommit;

/// What is told of a commit that is.
const IN_FORCE: &str = "In force";

impl GitKeeper {
    /// Tells that a commit is refused, by the first of its problems.
    pub(super) fn tell_refused(&self, commit: &GitCommit, problems: &[String]) {
        self.deps.statuses.tell(&commit.hash, CommitState::Failure, &first_of(commit, problems));
    }

    /// Looks soon for a commit that another replica has put in force: a hook has come to that one.
    pub(super) fn look_for_others(&mut self) {
        if self.deps.fleet.is_none() {
            return;
        }
        let brought = self.deps.weights.borrow().marks.brought.values().map(|brought| brought.commit.clone()).collect();
        let before = std::mem::replace(&mut self.write_back.brought, brought);
        let facts = self.facts.borrow();
        let known = [&facts.in_force.hash, &facts.newest.hash];
        if self.write_back.brought.difference(&before).any(|commit| !known.contains(&commit)) {
            self.wake.notify_one();
        }
    }

    /// Tells of the commit in force, and of those that were taken back.
    pub(super) fn tell_forge(&self) {
        let (facts, weights) = (self.facts.borrow(), self.deps.weights.borrow());
        let marked = |hash: &String| weights.marks.rejected.get(hash).cloned();
        // The newest one may have been set back to one that was rejected long ago.
        let known: BTreeSet<&String> = weights.standing.values().chain([&facts.newest.hash]).collect();
        let rejected: Vec<_> = known.into_iter().filter_map(|hash| Some((hash, marked(hash)?))).collect();
        for (hash, rejected) in &rejected {
            self.deps.statuses.tell(hash, CommitState::Failure, &taken_back(rejected));
        }
        let in_force = &facts.in_force.hash;
        let is_refused = !facts.problems.is_empty() && facts.newest.hash == *in_force;
        if !is_refused && !rejected.iter().any(|(hash, _)| *hash == in_force) {
            self.deps.statuses.tell(in_force, CommitState::Success, IN_FORCE);
        }
    }
}

/// Why it was.
fn taken_back(rejected: &RejectedCommit) -> String {
    let RejectedCommit { author, reason, .. } = rejected;
    format!("Taken back by {author}: {reason}")
}

/// The first of the problems of a commit, without its hash: it is shown beside the commit.
fn first_of(commit: &GitCommit, problems: &[String]) -> String {
    let first = problems.first().map_or("", String::as_str);
    let first = first.strip_prefix(commit.short()).map_or(first, |rest| rest.trim_start_matches([':', ' ']));
    match problems.len() {
        0 | 1 => first.to_owned(),
        count => format!("{count} problems: {first}"),
    }
}

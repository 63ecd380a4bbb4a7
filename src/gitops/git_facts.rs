//! What is shown of the repository: which commit is in force, which is the newest, and why they are not the same.

use crate::control::overridden::overridden_subjects;
use crate::table::Table;

use super::git_commit::GitCommit;
use super::rejections::against;
use super::write_back_state::WriteBackFacts;
use crate::control::weight_marks::WeightFacts;

/// What is known of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitFacts {
    /// The commit in force.
    pub in_force: GitCommit,
    /// The newest one that was seen.
    pub newest: GitCommit,
    /// When the repository last answered, in milliseconds since 1970; none: not since the start.
    pub fetched_at_ms: Option<i64>,
    /// Why the newest one is refused; empty when it is not.
    pub problems: Vec<String>,
    /// Why the repository could not be asked the last time.
    pub unreachable: Option<String>,
    /// What the newest one waits for.
    pub waits: Option<String>,
    /// What of the commit in force takes a restart.
    pub needs_restart: Vec<String>,
    /// What was written to it.
    pub write_back: WriteBackFacts,
}

/// How the repository and what is in force are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GitState {
    /// The newest commit is in force, with its weights.
    Synced,
    /// A newer commit is not in force yet, or it is not known yet whether there is one.
    Pending,
    /// The newest commit is in force, and other weights than it says.
    Overridden,
    /// Weights that the newest commit has were taken back.
    Rejected,
    /// The newest commit is not put in force.
    Refused,
    /// The repository does not answer.
    Unreachable,
}

impl GitState {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Synced, Self::Pending, Self::Overridden, Self::Rejected, Self::Refused, Self::Unreachable];

    /// Its word.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Pending => "pending",
            Self::Overridden => "overridden",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

impl GitFacts {
    /// A process that begins with a commit.
    pub(crate) fn first(commit: GitCommit) -> Self {
        Self {
            newest: commit.clone(),
            in_force: commit,
            fetched_at_ms: None,
            problems: Vec::new(),
            unreachable: None,
            waits: None,
            needs_restart: Vec::new(),
            write_back: WriteBackFacts::default(),
        }
    }

    /// The state, while what is `overridden` in force is not as the commit says, and `weights` are known. What an
    /// operator has to mend first comes first.
    #[must_use]
    pub(crate) fn state(&self, overridden: &[String], weights: &WeightFacts) -> GitState {
        let is_rejected = || against(weights, &self.newest, &self.in_force, overridden).is_some();
        if !self.problems.is_empty() {
            GitState::Refused
        } else if self.unreachable.is_some() {
            GitState::Unreachable
        } else if is_rejected() {
            GitState::Rejected
        } else if self.newest.hash != self.in_force.hash || self.fetched_at_ms.is_none() {
            GitState::Pending
        } else if overridden.is_empty() {
            GitState::Synced
        } else {
            GitState::Overridden
        }
    }
}

/// Services and flags that give users something else than their definitions say, because an operator or a rollout has
/// changed that at run time.
#[must_use]
pub(crate) fn overridden(table: &Table) -> Vec<String> {
    overridden_subjects(table).iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(hash: &str) -> GitCommit {
        GitCommit { hash: hash.to_owned(), author: String::new(), subject: String::new(), at_s: 0 }
    }

    #[test]
    fn the_state_is_what_has_to_be_mended_first() {
        let weights = WeightFacts::default();
        let mut facts = GitFacts::first(commit("a"));
        assert_eq!(facts.state(&[], &weights), GitState::Pending, "the repository was not asked yet");
        facts.fetched_at_ms = Some(1);
        assert_eq!(facts.state(&[], &weights), GitState::Synced);
        assert_eq!(facts.state(&["shop".to_owned()], &weights), GitState::Overridden);
        facts.newest = commit("b");
        assert_eq!(facts.state(&["shop".to_owned()], &weights), GitState::Pending);
        facts.unreachable = Some("gone".to_owned());
        assert_eq!(facts.state(&[], &weights), GitState::Unreachable);
        facts.problems.push("line 1".to_owned());
        assert_eq!(facts.state(&[], &weights), GitState::Refused);
        let words: Vec<_> = GitState::ALL.iter().map(|state| state.word()).collect();
        assert_eq!(words, ["synced", "pending", "overridden", "rejected", "refused", "unreachable"]);
    }
}

//! Who set the weights in force, which commits brought what the config says of weights, and which of those were taken
//! back. Pure.
//!
//! A way back, which is a rollback or a rollout that is turned back, speaks against a commit when it takes a version or
//! a variant below the share that the commit gives it. From then on the commit is *rejected*: its weights count by no
//! way but that an operator insists. This is kept in the transaction of the revision that takes them back, so that no
//! process ends between the two. The clone of the repository would be the obvious place, but it is made anew when it
//! is damaged, and nothing is written to both at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::file_origin::FileOrigin;
use super::service_intent::ServiceIntent;
use crate::table::flag_state::FlagState;
use crate::table::{Name, Weight, Weights};

/// What has weights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WeightSubject {
    /// A service, by its split.
    Service(Name),
    /// A flag, by its rules.
    Flag(Name),
}

/// `shop`, or `flag dark`. No name has a space.
impl fmt::Display for WeightSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "{name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

impl WeightSubject {
    /// Reads what its `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("flag ") {
            Some(name) => Name::new(name).ok().map(Self::Flag),
            None => Name::new(text).ok().map(Self::Service),
        }
    }
}

/// What a commit said of the weights of a subject when it changed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtWeights {
    /// The commit.
    pub commit: String,
    /// The revision in force after it.
    pub revision: u64,
    /// What it said; it counts as long as the config still says that.
    pub said: String,
}

/// A commit whose weights were taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedCommit {
    /// The revision that took them back, for the last time.
    pub revision: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whose weights.
    pub subjects: BTreeSet<WeightSubject>,
    /// By whom.
    pub author: String,
    /// Why.
    pub reason: String,
}

/// Who gave a subject its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetWeights {
    /// The revision.
    pub revision: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who.
    pub author: String,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// When they end, in milliseconds since 1970; none: they stay.
    pub until_ms: Option<i64>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightMarks {
    /// What the config says, by the commits that changed it.
    pub brought: BTreeMap<WeightSubject, Arc<BroughtWeights>>,
    /// The rejected commits, by their hashes.
    pub rejected: BTreeMap<String, Arc<RejectedCommit>>,
    /// Who set the weights in force.
    pub set: BTreeMap<WeightSubject, Arc<SetWeights>>,
}

/// What a change comes to for the marks.
#[derive(Clone, Debug, Default)]
pub struct PlannedMarks {
    /// What is new or other.
    pub next: WeightMarks,
    /// Commits that are not rejected any more.
    pub accepted: BTreeSet<String>,
}

/// What is known of the weights in force, for those who show it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WeightFacts {
    /// The marks.
    pub marks: WeightMarks,
    /// The subjects of which the config says what was taken back, with the commit that said so first.
    pub standing: BTreeMap<WeightSubject, String>,
}

/// What becomes of what a file says of the weights of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileWord {
    /// It counts when it changes there.
    IfNew,
    /// It counts in any case: an operator insists.
    Anew,
    /// It does not count: it was taken back.
    Never,
}

impl PlannedMarks {
    /// Whether nothing comes of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.next == WeightMarks::default()
    }
}

impl WeightMarks {
    /// Takes in what was planned.
    pub(crate) fn enter(&mut self, planned: PlannedMarks) {
        let PlannedMarks { next: Self { brought, rejected, set }, accepted } = planned;
        self.rejected.retain(|commit, _| !accepted.contains(commit));
        self.brought.extend(brought);
        self.rejected.extend(rejected);
        self.set.extend(set);
    }

    /// The commit that brought what the config says of a subject, if that is known.
    pub(crate) fn source(&self, subject: &WeightSubject, said: &str) -> Option<&BroughtWeights> {
        self.brought.get(subject).map(|brought| &**brought).filter(|brought| brought.said == said)
    }

    /// The commit that brought what the config says of a subject, if its weights were taken back.
    pub(crate) fn standing(&self, subject: &WeightSubject, said: &str) -> Option<&str> {
        let commit = &*self.source(subject, said)?.commit;
        self.rejected.get(commit).filter(|rejected| rejected.subjects.contains(subject)).map(|_| commit)
    }

    /// What becomes of what a file of this origin says, where the config has `said` this before.
    pub(crate) fn word(&self, subject: &WeightSubject, said: Option<&str>, origin: Option<&FileOrigin>) -> FileWord {
        let Some(origin) = origin else { return FileWord::IfNew };
        let rejected = origin.commit.as_ref().and_then(|commit| self.rejected.get(commit));
        let is_of_commit = rejected.is_some_and(|rejected| rejected.subjects.contains(subject));
        let stands = said.is_some_and(|said| self.standing(subject, said).is_some());
        match (is_of_commit, stands) {
            (true, _) | (_, true) if origin.insists => FileWord::Anew,
            (true, _) => FileWord::Never,
            (false, _) => FileWord::IfNew,
        }
    }
}

/// What the config says of a service's weights. Its mirror is no part of it: that moves no user.
pub(crate) fn said_of_service(said: &ServiceIntent) -> String {
    given(&said.split)
}

/// What it says of a flag's.
pub(crate) fn said_of_flag(said: &FlagState) -> String {
    let rules = said.rules.iter().map(|(rule, slots)| format!(";{rule}:{}", given(&slots.weights())));
    let rules: String = rules.collect();
    format!("{}{rules}", if said.enabled { "on" } else { "off" })
}

/// The weights of those who get something.
fn given(weights: &Weights) -> String {
    let given = weights.iter().filter(|(_, weight)| *weight != Weight::ZERO);
    given.map(|(name, weight)| format!("{name}={weight}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::fixture::name;

    #[test]
    fn subjects_survive_their_text() {
        for subject in [WeightSubject::Service(name("flag")), WeightSubject::Flag(name("dark"))] {
            assert_eq!(WeightSubject::parse(&subject.to_string()), Some(subject));
        }
        assert_eq!(WeightSubject::parse("flag a b"), None);
    }
}

//! Which rejected commits stand against what the repository says: their weights are in it, and not in force.

use std::sync::Arc;

use super::git_commit::{GitCommit, short};
use crate::control::weight_marks::{RejectedCommit, WeightFacts};

/// A rejected commit whose weights the newest commit has, or the commit in force.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StandingRejection {
    /// Its hash.
    pub commit: String,
    /// By whom it was rejected, and why.
    pub rejected: Arc<RejectedCommit>,
    /// The services and flags whose weights are not as it says.
    pub subjects: Vec<String>,
}

impl StandingRejection {
    /// On a line, for people.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let RejectedCommit { revision, author, reason, .. } = &*self.rejected;
        let (commit, subjects) = (short(&self.commit), self.subjects.join(", "));
        format!("{commit} because {reason} (by {author}, revision {revision}, of {subjects})")
    }
}

/// All of them, while what is `overridden` is not as the commit in force says. A rejected commit that a hand has given
/// its weights back stands against nothing.
#[must_use]
pub(crate) fn standing(facts: &WeightFacts, overridden: &[String]) -> Vec<StandingRejection> {
    let mut found: Vec<StandingRejection> = Vec::new();
    for (subject, commit) in &facts.standing {
        let subject = subject.to_string();
        let Some(rejected) = facts.marks.rejected.get(commit).filter(|_| overridden.contains(&subject)) else {
            continue;
        };
        match found.iter_mut().find(|known| known.commit == *commit) {
            Some(known) => known.subjects.push(subject),
            None => {
                let (commit, rejected) = (commit.clone(), Arc::clone(rejected));
                found.push(StandingRejection { commit, rejected, subjects: vec![subject] });
            }
        }
    }
    found
}

/// Why the newest commit is not taken: it is rejected itself, or it is in force, and what it says was taken back.
#[must_use]
pub(crate) fn against(
    facts: &WeightFacts,
    newest: &GitCommit,
    in_force: &GitCommit,
    overridden: &[String],
) -> Option<String> {
    if newest.hash == in_force.hash {
        let standing = standing(facts, overridden);
        return (!standing.is_empty())
            .then(|| standing.iter().map(StandingRejection::text).collect::<Vec<_>>().join("; "));
    }
    let rejected = Arc::clone(facts.marks.rejected.get(&newest.hash)?);
    let subjects = rejected.subjects.iter().map(ToString::to_string).collect();
    Some(StandingRejection { commit: newest.hash.clone(), rejected, subjects }.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::weight_marks::{WeightMarks, WeightSubject};
    use crate::table::fixture::name;

    fn commit(hash: &str) -> GitCommit {
        GitCommit { hash: hash.to_owned(), author: String::new(), subject: String::new(), at_s: 0 }
    }

    #[test]
    fn a_rejected_commit_stands_while_what_it_says_is_not_in_force() {
        let subjects = [WeightSubject::Service(name("cart")), WeightSubject::Service(name("shop"))];
        let (author, reason) = ("ada".to_owned(), "it fails".to_owned());
        let rejected = RejectedCommit { revision: 4, at_ms: 0, subjects: subjects.clone().into(), author, reason };
        let rejected = [("abc".to_owned(), Arc::new(rejected))].into();
        let standing = subjects.map(|subject| (subject, "abc".to_owned())).into();
        let facts = WeightFacts { marks: WeightMarks { rejected, ..WeightMarks::default() }, standing };
        let both = ["cart".to_owned(), "shop".to_owned()];
        let told = Some("abc because it fails (by ada, revision 4, of cart, shop)");
        assert_eq!(against(&facts, &commit("def"), &commit("def"), &both).as_deref(), told);
        assert_eq!(against(&facts, &commit("abc"), &commit("def"), &[]).as_deref(), told, "it comes back");
        assert_eq!(against(&facts, &commit("def"), &commit("abc"), &both), None, "the next one is taken");
        assert_eq!(super::standing(&facts, &both[..1])[0].subjects, ["cart"]);
        assert_eq!(against(&facts, &commit("abc"), &commit("abc"), &[]), None, "a hand gave it its weights");
    }
}

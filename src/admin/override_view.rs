//! What is shown of weights that are in force and not as the commit says: who has set them, why, and until when.

use serde::Serialize;
use utoipa::ToSchema;

use super::revisions::timestamp;
use crate::control::overridden::{overridden_subjects, waits};
use crate::control::weight_marks::{WeightFacts, WeightSubject};
use crate::stats::Registry;
use crate::table::Table;

/// Weights that are in force and not as the commit says.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Override)]
pub(crate) struct OverrideView {
    /// The service or the flag.
    of: String,
    /// Who has set them; none: a process that did not remember that.
    author: Option<String>,
    /// Why, if they said so.
    reason: Option<String>,
    /// The revision that has set them.
    revision: Option<u64>,
    /// When.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// When they go back to what the commit says; none: they stay.
    #[schema(format = DateTime)]
    ends_at: Option<String>,
    /// What they wait for when that time is over.
    waits: Option<&'static str>,
}

impl OverrideView {
    /// All of them.
    pub(crate) fn all(table: &Table, facts: &WeightFacts, registry: &Registry) -> Vec<Self> {
        overridden_subjects(table).into_iter().map(|subject| Self::of(&subject, table, facts, registry)).collect()
    }

    fn of(subject: &WeightSubject, table: &Table, facts: &WeightFacts, registry: &Registry) -> Self {
        let set = facts.marks.set.get(subject);
        let until_ms = set.and_then(|set| set.until_ms);
        Self {
            of: subject.to_string(),
            author: set.map(|set| set.author.clone()),
            reason: set.and_then(|set| set.reason.clone()),
            revision: set.map(|set| set.revision),
            at: set.map(|set| timestamp(set.at_ms)),
            ends_at: until_ms.map(timestamp),
            waits: until_ms.and_then(|_| waits(subject, table, facts, registry)),
        }
    }
}

//! What a change comes to for the marks of weights ([`weight_marks`](super::weight_marks)): who has set some, what a
//! commit has brought, and which commits it speaks against. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::change::Change;
use super::file_origin::FileOrigin;
use super::handle::ChangeRequest;
use super::planned::{Planned, State};
use super::service_intent::ServiceIntent;
use super::weight_marks::{
    BroughtWeights, PlannedMarks, RejectedCommit, SetWeights, WeightFacts, WeightSubject, said_of_flag, said_of_service,
};
use crate::table::flag_state::FlagState;
use crate::table::{Name, Slots, Weights};

/// The marks, with what of them stands against the config.
pub(crate) fn facts(state: &State) -> WeightFacts {
    let standing = said_of(state).filter_map(|(subject, said)| {
        let commit = state.marks.standing(&subject, &said)?.to_owned();
        Some((subject, commit))
    });
    WeightFacts { standing: standing.collect(), marks: state.marks.clone() }
}

/// What a change that makes `revision` at `at_ms` comes to for the marks.
pub(crate) fn plan(
    state: &State,
    request: &ChangeRequest,
    planned: &Planned,
    NextRevision { number: revision, at_ms }: NextRevision,
) -> PlannedMarks {
    let mut marks = PlannedMarks::default();
    let (author, reason, until_ms) = (request.author.clone(), request.reason.clone(), request.until_ms);
    let set = Arc::new(SetWeights { revision, at_ms, author, reason, until_ms });
    let moved = moved(state, planned);
    marks.next.set = moved.iter().map(|moved| (moved.subject.clone(), Arc::clone(&set))).collect();
    match &request.change {
        Change::File(specs) => {
            if let Some(commit) = specs.origin.as_ref().and_then(|origin| origin.commit.as_ref()) {
                let brought =
                    |(subject, said)| (subject, Arc::new(BroughtWeights { commit: commit.clone(), revision, said }));
                marks.next.brought = new_in_file(state, planned).map(brought).collect();
            }
            if specs.origin.as_ref().is_some_and(|origin| origin.insists) {
                marks.accepted = accepted(state, specs.origin.as_ref());
            }
        }
        Change::Rollback { .. } => {
            let restores = planned.restores.unwrap_or_default();
            let reason = request.reason.clone().unwrap_or_else(|| format!("rolled back to revision {restores}"));
            let is_behind = |brought: &BroughtWeights| restores < brought.revision;
            marks.next.rejected = rejected(state, &moved, &set, &reason, is_behind);
        }
        // The last move of a rollout that is turned back.
        Change::Rollout(change) if change.restores.is_some() => {
            let reason = request.reason.clone().unwrap_or_else(|| format!("rollout {} was turned back", change.id));
            marks.next.rejected = rejected(state, &moved, &set, &reason, |_| true);
        }
        Change::Splits(_)
        | Change::Flip { .. }
        | Change::Flags(_)
        | Change::Experiment(_)
        | Change::Mirror { .. }
        | Change::Endpoint { .. }
        | Change::Expire { .. }
        | Change::Rollout(_) => {}
    }
    marks
}

/// The revision that a change makes, if it makes one, else the one in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextRevision {
    /// Its number.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// A subject whose weights change.
struct MovedSubject {
    subject: WeightSubject,
    /// Whether some version or variant has less after it, and less than the config gives it.
    is_below: bool,
}

/// All whose weights change.
fn moved(state: &State, planned: &Planned) -> Vec<MovedSubject> {
    let services = planned.next.iter().filter_map(|(name, next)| {
        let before = state.traffic.get(name).map(|before| &before.slots);
        let said = state.intent.get(name).map(|said| &said.split);
        let is_below = before.zip(said).is_some_and(|(before, said)| is_below(before, &next.slots, said));
        let subject = WeightSubject::Service(name.clone());
        (before != Some(&next.slots)).then_some(MovedSubject { subject, is_below })
    });
    let flags = planned.flags.next.iter().map(|(name, next)| {
        let before = state.flags.states.get(name);
        let said = state.flags.intent.get(name);
        let is_below = before.zip(said).is_some_and(|(before, said)| is_flag_below(before, next, said));
        MovedSubject { subject: WeightSubject::Flag(name.clone()), is_below }
    });
    services.chain(flags).collect()
}

fn is_below(before: &Slots, after: &Slots, said: &Weights) -> bool {
    said.iter().any(|(name, weight)| {
        let after = after.count(name);
        after < before.count(name) && after < weight.slots()
    })
}

fn is_flag_below(before: &FlagState, after: &FlagState, said: &FlagState) -> bool {
    let switched = before.enabled != after.enabled && before.enabled == said.enabled;
    let mut rules = said.rules.iter().filter_map(|(name, said)| {
        let (before, after) = before.rules.get(name).zip(after.rules.get(name))?;
        Some(is_below(before, after, &said.weights()))
    });
    switched || rules.any(|is_below| is_below)
}

/// The commits that a way back speaks against.
fn rejected(
    state: &State,
    moved: &[MovedSubject],
    SetWeights { revision, at_ms, author, .. }: &SetWeights,
    reason: &str,
    is_behind: impl Fn(&BroughtWeights) -> bool,
) -> BTreeMap<String, Arc<RejectedCommit>> {
    let mut found: BTreeMap<String, BTreeSet<WeightSubject>> = BTreeMap::new();
    for MovedSubject { subject, .. } in moved.iter().filter(|moved| moved.is_below) {
        let said = match subject {
            WeightSubject::Service(name) => state.intent.get(name).map(said_of_service),
            WeightSubject::Flag(name) => state.flags.intent.get(name).map(said_of_flag),
        };
        let brought = said.and_then(|said| state.marks.source(subject, &said));
        if let Some(brought) = brought.filter(|brought| is_behind(brought)) {
            let before = state.marks.rejected.get(&brought.commit).map(|known| known.subjects.clone());
            let subjects = found.entry(brought.commit.clone()).or_insert_with(|| before.unwrap_or_default());
            subjects.insert(subject.clone());
        }
    }
    let rejected = |(commit, subjects)| {
        let (author, reason) = (author.clone(), reason.to_owned());
        (commit, Arc::new(RejectedCommit { revision: *revision, at_ms: *at_ms, subjects, author, reason }))
    };
    found.into_iter().map(rejected).collect()
}

/// What a file says newly.
fn new_in_file(state: &State, planned: &Planned) -> impl Iterator<Item = (WeightSubject, String)> {
    let before: BTreeMap<_, _> = said_of(state).collect();
    texts(&planned.intent, &planned.flags.intent).filter(move |(subject, said)| before.get(subject) != Some(said))
}

/// The commits whose weights count again because an operator insists.
fn accepted(state: &State, origin: Option<&FileOrigin>) -> BTreeSet<String> {
    let standing =
        said_of(state).filter_map(|(subject, said)| state.marks.standing(&subject, &said).map(str::to_owned));
    standing.chain(origin.and_then(|origin| origin.commit.clone())).collect()
}

/// What the config said last of all that has weights.
fn said_of(state: &State) -> impl Iterator<Item = (WeightSubject, String)> {
    texts(&state.intent, &state.flags.intent)
}

fn texts<'s>(
    services: &'s BTreeMap<Name, ServiceIntent>,
    flags: &'s BTreeMap<Name, FlagState>,
) -> impl Iterator<Item = (WeightSubject, String)> + 's {
    let services = services.iter();
    let services = services.map(|(name, said)| (WeightSubject::Service(name.clone()), said_of_service(said)));
    services.chain(flags.iter().map(|(name, said)| (WeightSubject::Flag(name.clone()), said_of_flag(said))))
}

#[cfg(test)]
mod tests;

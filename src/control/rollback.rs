//! Rollback: the split of an earlier revision, as a new revision.
//!
//! Without a number it undoes the last change of traffic. Then a revision that was itself a rollback, or with which a
//! rollout was turned back, counts as the one that it restored, so that pressing twice goes two steps back. The obvious
//! "one revision back" would go to and fro between two states for ever, and in an emergency an operator does not count.

use std::collections::BTreeSet;

use crate::table::{Name, Slots, Traffic};

use super::planned::{Action, Entry, History, PlanError, Planned, State, versions};
use crate::problem::{Problem, one_of};

/// Works out a rollback of `services` (none: all) to revision `to` (none: undo the last change).
///
/// # Errors
/// [`PlanError`] when there is nothing to undo, the revision is not there, or it needs a version that is gone.
pub(crate) fn plan<H: History>(
    state: &State,
    history: &H,
    to: Option<u64>,
    services: Option<&BTreeSet<Name>>,
) -> Result<Planned, PlanError<H::Error>> {
    let scope = scope(state, services, to)?;
    let (revision, affected) = match to {
        Some(revision) => (revision, scope),
        None => last_change(history, &scope)?,
    };
    let mut next = Vec::new();
    let mut problems = Vec::new();
    for name in affected {
        let Some((salt, slots)) = history.split_at(name, revision).map_err(PlanError::History)? else {
            // Who asks for all services gets those that were there; who names one is told.
            problems.extend(services.map(|_| not_yet(name, revision)));
            continue;
        };
        problems.extend(gone_versions(state, name, revision, &slots));
        if let Some(today) = state.traffic.get(name) {
            let earlier = Traffic { salt, slots, drained: BTreeSet::new() };
            next.push((name.clone(), today.restored(&earlier)));
        }
    }
    if !problems.is_empty() {
        return Err(PlanError::Problems(problems));
    }
    Ok(Planned { restores: Some(revision), ..state.planned(Action::Rollback, next) })
}

/// The services to roll back, or what is wrong with the call.
fn scope<'a>(
    state: &'a State,
    services: Option<&'a BTreeSet<Name>>,
    to: Option<u64>,
) -> Result<Vec<&'a Name>, Vec<Problem>> {
    let mut problems = Vec::new();
    if let Some(to) = to.filter(|to| !(1..=state.revision).contains(to)) {
        let wanted = match state.revision {
            0 => "nothing: there is no revision yet".to_owned(),
            last => format!("a revision from 1 to {last}"),
        };
        problems.push(Problem::invalid(
            "to",
            format!("revision {to}"),
            wanted,
            "take a number from the list of revisions",
        ));
    }
    let names: Vec<_> = match services {
        Some(services) => services.iter().collect(),
        None => state.specs.keys().collect(),
    };
    problems.extend(names.iter().filter_map(|name| state.service("services", name).err()));
    if problems.is_empty() { Ok(names) } else { Err(problems) }
}

/// The revision to restore so that the last change of traffic is undone, and the services that it changed.
///
/// Counted per service, because a rollback of one service must not hide the younger change of another.
fn last_change<'a, H: History>(history: &H, scope: &[&'a Name]) -> Result<(u64, Vec<&'a Name>), PlanError<H::Error>> {
    let mut last = 0;
    let mut affected = Vec::new();
    for name in scope {
        let entries = history.entries(name).map_err(PlanError::History)?;
        // The first entry is the arrival of the service; there is nothing before it.
        let Some(at) = position(&entries).filter(|at| *at > 0) else {
            continue;
        };
        let revision = entries[at].revision;
        if revision > last {
            (last, affected) = (revision, Vec::new());
        }
        if revision == last {
            affected.push(*name);
        }
    }
    if affected.is_empty() { Err(PlanError::Problems(vec![nothing()])) } else { Ok((last - 1, affected)) }
}

/// Index of the entry whose split is in force, with rollbacks followed to what they restored.
fn position(entries: &[Entry]) -> Option<usize> {
    let mut at = entries.len().checked_sub(1)?;
    while let Some(restored) = entries[at].restores {
        at = entries[..at].partition_point(|entry| entry.revision <= restored).checked_sub(1)?;
    }
    Some(at)
}

fn nothing() -> Problem {
    Problem::conflict(
        "to",
        "no change of traffic that could be undone",
        "a revision to go back to",
        "name one with \"to\"",
    )
}

fn not_yet(service: &Name, revision: u64) -> Problem {
    Problem::conflict(
        "services",
        format!("{service}, which was not there at revision {revision}"),
        "services that were there then",
        "leave it out, or go back to a later revision",
    )
}

/// Versions that had slots then and are not in the config now.
fn gone_versions(state: &State, service: &Name, revision: u64, slots: &Slots) -> Vec<Problem> {
    let Some(spec) = state.specs.get(service) else {
        return Vec::new();
    };
    let weights = slots.weights();
    let gone = weights.iter().filter(|(name, _)| versions(spec).all(|known| known != name.as_str()));
    let problem = |(name, weight)| {
        Problem::conflict(
            format!("services.{service}"),
            format!("revision {revision} gives {weight} % to {name}, which the config does not have any more"),
            one_of(versions(spec)),
            format!("add {name} to the config again, or go back to another revision"),
        )
    };
    gone.map(problem).collect()
}

//! Rollback: the split of an earlier revision, as a new revision.
//!
//! Without a number it undoes the last change of traffic. Then a revision that was itself a rollback, or with which a
//! rollout was turned back, counts as the one that it restored, so that pressing twice goes two steps back. The obvious "one revision back" would go to and fro
//! between two states for ever, and in an emergency nobody counts.

use std::collections::BTreeSet;

use crate::table::{Name, Slots, Traffic};

use super::change::{Action, Entry, History, PlanError, Planned, State, versions};
use super::fault::{Fault, FaultKind, one_of};

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
    let mut faults = Vec::new();
    for name in affected {
        let Some((salt, slots)) = history.split_at(name, revision).map_err(PlanError::History)? else {
            // Who asks for all services gets those that were there; who names one is told.
            faults.extend(services.map(|_| not_yet(name, revision)));
            continue;
        };
        faults.extend(gone_versions(state, name, revision, &slots));
        if let Some(today) = state.traffic.get(name) {
            let earlier = Traffic { salt, slots, drained: BTreeSet::new() };
            next.push((name.clone(), today.restored(&earlier)));
        }
    }
    if !faults.is_empty() {
        return Err(PlanError::Faults(faults));
    }
    Ok(Planned { restores: Some(revision), ..state.planned(Action::Rollback, next) })
}

/// The services to roll back, or what is wrong with the call.
fn scope<'a>(
    state: &'a State,
    services: Option<&'a BTreeSet<Name>>,
    to: Option<u64>,
) -> Result<Vec<&'a Name>, Vec<Fault>> {
    let mut faults = Vec::new();
    if let Some(to) = to.filter(|to| !(1..=state.revision).contains(to)) {
        let wanted = match state.revision {
            0 => "nothing: there is no revision yet".to_owned(),
            last => format!("a revision from 1 to {last}"),
        };
        faults.push(Fault::invalid("to", format!("revision {to}"), wanted, "take a number from the list of revisions"));
    }
    let names: Vec<_> = match services {
        Some(services) => services.iter().collect(),
        None => state.specs.keys().collect(),
    };
    faults.extend(names.iter().filter_map(|name| state.service("services", name).err()));
    if faults.is_empty() { Ok(names) } else { Err(faults) }
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
    if affected.is_empty() { Err(PlanError::Faults(vec![nothing()])) } else { Ok((last - 1, affected)) }
}

/// Index of the entry whose split is in force, with rollbacks followed to what they restored.
fn position(entries: &[Entry]) -> Option<usize> {
    let mut at = entries.len().checked_sub(1)?;
    while let Some(restored) = entries[at].restores {
        at = entries[..at].partition_point(|entry| entry.revision <= restored).checked_sub(1)?;
    }
    Some(at)
}

fn nothing() -> Fault {
    Fault {
        kind: FaultKind::Conflict,
        place: "to".to_owned(),
        found: "no change of traffic that could be undone".to_owned(),
        wanted: "a revision to go back to".to_owned(),
        remedy: "name one with \"to\"".to_owned(),
    }
}

fn not_yet(service: &Name, revision: u64) -> Fault {
    Fault {
        kind: FaultKind::Conflict,
        place: "services".to_owned(),
        found: format!("{service}, which was not there at revision {revision}"),
        wanted: "services that were there then".to_owned(),
        remedy: "leave it out, or go back to a later revision".to_owned(),
    }
}

/// Versions that had slots then and are not in the config now.
fn gone_versions(state: &State, service: &Name, revision: u64, slots: &Slots) -> Vec<Fault> {
    let Some(spec) = state.specs.get(service) else {
        return Vec::new();
    };
    let weights = slots.weights();
    let gone = weights.iter().filter(|(name, _)| versions(spec).all(|known| known != name.as_str()));
    let fault = |(name, weight)| Fault {
        kind: FaultKind::Conflict,
        place: format!("services.{service}"),
        found: format!("revision {revision} gives {weight} % to {name}, which the config does not have any more"),
        wanted: one_of(versions(spec)),
        remedy: format!("add {name} to the config again, or go back to another revision"),
    };
    gone.map(fault).collect()
}

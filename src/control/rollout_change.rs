//! A move of a rollout as a change: weights, endpoints and what has to be remembered, in one revision or not at all.
//! Pure.
//!
//! A rollout decides on what it saw; between its look and the writer's turn an operator may have shifted by hand. So a
//! move says which splits it expects, and is refused if they are others: an operator's hand always wins.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::table::{EndpointAddress, Name, Weights};

use super::planned::{Action, Planned, State, unknown_versions};
use crate::problem::Problem;

/// A move of a rollout.
#[derive(Clone, Debug, Default)]
pub struct RolloutChange {
    /// The rollout's number.
    pub id: u64,
    /// Its state after the move, to be stored with it.
    pub state: Arc<str>,
    /// All of its services; their tables are made anew, also if nothing of their traffic changes.
    pub services: BTreeSet<Name>,
    /// New weights.
    pub splits: BTreeMap<Name, Weights>,
    /// The revision from before the rollout, if the move is the end of the way back: undoing it would lead to the
    /// version that was turned back.
    pub restores: Option<u64>,
    /// The splits that the move was decided on.
    pub expects: BTreeMap<Name, Weights>,
    /// The salt that its services share, if a release of several begins with this.
    pub salt: Option<Arc<str>>,
    /// Endpoints that are drained or made ready.
    pub endpoints: Vec<EndpointMove>,
}

/// An endpoint that a move of a rollout drains or makes ready.
#[derive(Clone, Debug)]
pub struct EndpointMove {
    /// The service.
    pub service: Name,
    /// The version.
    pub version: Name,
    /// The endpoint.
    pub address: SocketAddr,
    /// Whether it gets no new requests.
    pub drained: bool,
}

/// Works out a move.
///
/// # Errors
/// All problems: services and versions that are gone, splits that an operator changed.
pub(crate) fn plan(state: &State, change: &RolloutChange) -> Result<Planned, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut next = BTreeMap::new();
    for name in &change.services {
        match state.service(&format!("services.{name}"), name) {
            Ok((spec, traffic)) => {
                let found = traffic.slots.weights();
                if let Some(expected) = change.expects.get(name).filter(|expected| !same(expected, &found)) {
                    problems.push(shifted(name, expected, &found));
                }
                let traffic = match change.splits.get(name) {
                    Some(weights) => {
                        problems.extend(unknown_versions(spec, weights));
                        traffic.shifted(weights, || match (&spec.salt, &change.salt) {
                            (None, Some(salt)) => Arc::clone(salt),
                            _ => state.new_salt(spec),
                        })
                    }
                    None => (**traffic).clone(),
                };
                next.insert(name.clone(), traffic);
            }
            Err(problem) => problems.push(problem),
        }
    }
    for EndpointMove { service, version, address, drained } in &change.endpoints {
        if let Some(traffic) = next.get_mut(service) {
            let entry = (version.clone(), EndpointAddress::Ip(*address));
            if *drained {
                traffic.drained.insert(entry)
            } else {
                traffic.drained.remove(&entry)
            };
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Planned { restores: change.restores, ..state.planned(Action::Rollout, next) })
}

/// Whether two splits give the same to everybody; who gets nothing may be left out.
#[must_use]
pub(crate) fn same(one: &Weights, other: &Weights) -> bool {
    let given = |weights: &Weights| -> BTreeMap<Name, u32> {
        weights.iter().filter(|(_, weight)| weight.slots() > 0).map(|(name, w)| (name.clone(), w.slots())).collect()
    };
    given(one) == given(other)
}

fn shifted(service: &Name, expected: &Weights, found: &Weights) -> Problem {
    Problem::conflict(
        format!("services.{service}.split"),
        format!("{found}, which somebody has shifted to"),
        expected.to_string(),
        "look at the service, then resume or abort the rollout",
    )
}

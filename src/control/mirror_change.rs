//! Another mirror of a service, or none. Pure.

use crate::problem::{Problem, ProblemKind};
use crate::table::{MirrorShare, Name};

use super::planned::{Action, Planned, State, versions};

/// Works out what it is to copy `mirror` of the requests of `service`, or nothing any more.
///
/// # Errors
/// The service or the version is not there, or the version has all users: then there is nothing to compare it with.
pub(crate) fn plan(state: &State, service: &Name, mirror: Option<&MirrorShare>) -> Result<Planned, Vec<Problem>> {
    let (spec, traffic) = state.service(&format!("services.{service}"), service).map_err(|problem| vec![problem])?;
    if let Some(MirrorShare { to, .. }) = mirror {
        if versions(spec).all(|known| known != to.as_str()) {
            return Err(vec![Problem::no_version(ProblemKind::Invalid, "to", to, versions(spec))]);
        }
        if traffic.slots.weights().sole_holder() == Some(to) {
            return Err(vec![same_version(to)]);
        }
    }
    Ok(state.planned(Action::Mirror, [(service.clone(), traffic.mirrored(mirror.cloned()))]))
}

fn same_version(to: &Name) -> Problem {
    Problem::conflict(
        "to",
        format!("{to}, which answers all requests itself"),
        "another version than the one that users get",
        "name the version that is to be compared with it",
    )
}

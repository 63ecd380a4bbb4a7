//! Another mirror of a service, or none. Pure.

use crate::config::service::mirror_target;
use crate::problem::{Problem, ProblemKind};
use crate::table::{MirrorShare, Name};

use super::planned::{Action, Planned, State, versions};

/// Works out what it is to copy `mirror` of the requests of `service`, or nothing any more.
///
/// # Errors
/// The service or the version is not there, or there is nothing to compare the version with, or it leads back here.
pub(crate) fn plan(state: &State, service: &Name, mirror: Option<&MirrorShare>) -> Result<Planned, Vec<Problem>> {
    let (spec, traffic) = state.service(&format!("services.{service}"), service).map_err(|problem| vec![problem])?;
    if let Some(MirrorShare { to, .. }) = mirror {
        if versions(spec).all(|known| known != to.as_str()) {
            return Err(vec![Problem::no_version(ProblemKind::Invalid, "to", to, versions(spec))]);
        }
        if let Some(mismatch) = mirror_target::unfit(spec, &traffic.slots.weights(), to) {
            return Err(vec![mismatch.at("to", ProblemKind::Conflict)]);
        }
    }
    Ok(state.planned(Action::Mirror, [(service.clone(), traffic.mirrored(mirror.cloned()))]))
}

//! The changes of the traffic, and the outcome of each. Pure: the state and its history go in, the next traffic comes
//! out, or every problem at once. A dry run is this function and nothing else, which is why it tells the truth.

use std::collections::BTreeMap;

use crate::problem::{Problem, ProblemKind};
use crate::table::{EndpointAddress, MirrorShare, Name, Weights};

use super::experiment_change::{self, ExperimentChange};
use super::file::FileSpecs;
use super::flag_change::{self, FlagChange};
use super::planned::{Action, History, PlanError, Planned, State, unknown_versions, versions};
use super::rollback::{self, RollbackScope};
use super::rollout_change::{self, RolloutChange};
use super::weight_marks::WeightSubject;
use super::{endpoint_change, expiry, file, mirror_change};

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Change {
    /// New weights for some services. Versions that are not named get nothing.
    Splits(BTreeMap<Name, Weights>),
    /// Everything to one version.
    Flip {
        /// The service.
        service: Name,
        /// The version.
        to: Name,
    },
    /// The splits, the flags and the experiments of an earlier revision.
    Rollback {
        /// The revision; none: the one before the last change.
        to: Option<u64>,
        /// What is restored; none: everything.
        scope: Option<RollbackScope>,
    },
    /// Other weights of rules of some flags, or their kill switches.
    Flags(BTreeMap<Name, FlagChange>),
    /// A run of an experiment begins, grows or ends, or an arm of it is shipped.
    Experiment(ExperimentChange),
    /// Copies of a service's requests go to another version, in another share, or are not made any more.
    Mirror {
        /// The service.
        service: Name,
        /// The version and the share; none: nothing is copied.
        mirror: Option<MirrorShare>,
    },
    /// Takes an endpoint out, or back in.
    Endpoint {
        /// The service.
        service: Name,
        /// The version.
        version: Name,
        /// The endpoint, or the name of some.
        address: EndpointAddress,
        /// Whether it gets no new requests.
        drained: bool,
    },
    /// Weights that were set for a time end.
    Expire {
        /// Whose.
        subject: WeightSubject,
        /// The revision that has set them.
        revision: u64,
    },
    /// A move of a rollout.
    Rollout(RolloutChange),
    /// What the config file defines, at the start and at each reload.
    File(FileSpecs),
}

impl Change {
    /// The move of a rollout, if it is one.
    #[must_use]
    pub fn rollout(&self) -> Option<&RolloutChange> {
        if let Self::Rollout(change) = self { Some(change) } else { None }
    }
}

/// Works out what `change` comes to.
///
/// # Errors
/// [`PlanError`] with every problem of the change.
pub fn plan<H: History>(state: &State, history: &H, change: &Change) -> Result<Planned, PlanError<H::Error>> {
    match change {
        Change::Splits(splits) => Ok(shift(state, splits)?),
        Change::Flip { service, to } => Ok(flip(state, service, to)?),
        Change::Rollback { to, scope } => rollback::plan(state, history, *to, scope.as_ref()),
        Change::Flags(flags) => Ok(flag_change::plan(state, flags)?),
        Change::Experiment(change) => Ok(experiment_change::plan(state, change)?),
        Change::Mirror { service, mirror } => Ok(mirror_change::plan(state, service, mirror.as_ref())?),
        Change::Endpoint { service, version, address, drained } => {
            Ok(endpoint_change::plan(state, service, version, address, *drained)?)
        }
        Change::Expire { subject, revision } => expiry::plan(state, history, subject, *revision),
        Change::Rollout(change) => Ok(rollout_change::plan(state, change)?),
        Change::File(specs) => Ok(file::plan(state, specs)),
    }
}

fn shift(state: &State, splits: &BTreeMap<Name, Weights>) -> Result<Planned, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut next = Vec::new();
    for (name, weights) in splits {
        let place = format!("services.{name}");
        match state.service(&place, name) {
            Ok((spec, traffic)) => {
                problems.extend(unknown_versions(spec, weights));
                next.push((name.clone(), traffic.shifted(weights, || state.new_salt(spec))));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(state.planned(Action::Shift, next)) } else { Err(problems) }
}

fn flip(state: &State, service: &Name, to: &Name) -> Result<Planned, Vec<Problem>> {
    let (spec, traffic) = state.service(&format!("services.{service}"), service).map_err(|problem| vec![problem])?;
    if versions(spec).all(|known| known != to.as_str()) {
        return Err(vec![Problem::no_version(ProblemKind::Invalid, "to", to, versions(spec))]);
    }
    let weights = Weights::all_on(to, spec.versions.iter().map(|version| version.name.clone()));
    let next = traffic.shifted(&weights, || state.new_salt(spec));
    Ok(state.planned(Action::Flip, [(service.clone(), next)]))
}

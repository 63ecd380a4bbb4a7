//! What may be done to the traffic, and what comes of it. Pure: the state and its history go in, the next traffic comes
//! out, or every problem at once. A dry run is this function and nothing else, which is why it tells the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::table::{Addresses, EndpointAddress, Name, ServiceSpec, Slots, Traffic, Weights};

use super::difference::Difference;
use super::rollout_change::{self, RolloutChange};
use super::{endpoint_change, file, rollback};
use crate::problem::{Problem, ProblemKind};

/// The traffic of all services at one revision.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The last revision; 0 before the first.
    pub revision: u64,
    /// The services of the config in force.
    pub specs: BTreeMap<Name, Arc<ServiceSpec>>,
    /// The traffic of every service that ever was: one that left the config resumes here when it comes back.
    pub traffic: BTreeMap<Name, Arc<Traffic>>,
    /// What the names of endpoints stand for; found at run time, and no part of a revision.
    pub addresses: Arc<Addresses>,
    /// The split that the file asked for when it was last applied, also of services that left.
    pub intent: BTreeMap<Name, Weights>,
}

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
    /// The split of an earlier revision.
    Rollback {
        /// The revision; none: the one before the last change of traffic.
        to: Option<u64>,
        /// The services; none: all.
        services: Option<BTreeSet<Name>>,
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
    /// A move of a rollout.
    Rollout(RolloutChange),
    /// The services of the config file, at the start and at each reload, in their order.
    File(Vec<Arc<ServiceSpec>>),
}

impl Change {
    /// The move of a rollout, if it is one.
    #[must_use]
    pub fn rollout(&self) -> Option<&RolloutChange> {
        if let Self::Rollout(change) = self { Some(change) } else { None }
    }
}

/// What a revision did, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Weights were shifted.
    Shift,
    /// One version got everything.
    Flip,
    /// An earlier split was restored.
    Rollback,
    /// An endpoint was taken out.
    Drain,
    /// An endpoint was taken back in.
    Ready,
    /// The config file said something new.
    File,
    /// A rollout moved on, or back.
    Rollout,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Shift, Self::Flip, Self::Rollback, Self::Drain, Self::Ready, Self::File, Self::Rollout];

    /// The word, as it is stored and shown.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Shift => "shift",
            Self::Flip => "flip",
            Self::Rollback => "rollback",
            Self::Drain => "drain",
            Self::Ready => "ready",
            Self::File => "file",
            Self::Rollout => "rollout",
        }
    }
}

/// What a change comes to.
#[derive(Clone, Debug)]
pub struct Planned {
    /// In one word.
    pub action: Action,
    /// The revision whose split is restored.
    pub restores: Option<u64>,
    /// The next traffic of the services whose traffic changes.
    pub next: BTreeMap<Name, Arc<Traffic>>,
    /// The file's splits to remember.
    pub intent: BTreeMap<Name, Weights>,
    /// The same as `next`, for people.
    pub difference: Vec<Difference>,
}

/// What was a service's split, and when.
pub trait History {
    /// What can go wrong while it is read.
    type Error;

    /// The revisions that changed the split of `service`, ascending.
    ///
    /// # Errors
    /// When the history cannot be read.
    fn entries(&self, service: &Name) -> Result<Vec<Entry>, Self::Error>;

    /// The salt and the slots of `service` at `revision`, none when it was not there yet.
    ///
    /// # Errors
    /// When the history cannot be read.
    fn split_at(&self, service: &Name, revision: u64) -> Result<Option<(Arc<str>, Slots)>, Self::Error>;
}

/// A revision that changed the split of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub revision: u64,
    /// The revision that it restored, if it was a rollback.
    pub restores: Option<u64>,
}

/// Why a change has no plan.
#[derive(Debug)]
pub enum PlanError<E> {
    /// The change is wrong; all of its problems.
    Problems(Vec<Problem>),
    /// The history could not be read.
    History(E),
}

impl<E> From<Vec<Problem>> for PlanError<E> {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Problems(problems)
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
        Change::Rollback { to, services } => rollback::plan(state, history, *to, services.as_ref()),
        Change::Endpoint { service, version, address, drained } => {
            Ok(endpoint_change::plan(state, service, (version, address), *drained)?)
        }
        Change::Rollout(change) => Ok(rollout_change::plan(state, change)?),
        Change::File(specs) => Ok(file::plan(state, specs)),
    }
}

impl State {
    /// The service with its traffic, or the problem that there is none.
    ///
    /// # Errors
    /// A [`Problem`] that lists the services there are.
    pub fn service(&self, place: &str, name: &Name) -> Result<(&Arc<ServiceSpec>, &Arc<Traffic>), Problem> {
        let both = self.specs.get(name).zip(self.traffic.get(name));
        both.ok_or_else(|| Problem::no_service(place, name, self.specs.keys().map(Name::as_str)))
    }

    /// The salt of a release of `spec` that begins with the revision being made.
    pub(crate) fn new_salt(&self, spec: &ServiceSpec) -> Arc<str> {
        spec.salt.clone().unwrap_or_else(|| format!("{}-{}", spec.name, self.revision + 1).into())
    }

    /// The plan that gives services the traffic `next`; those that have it already are left out.
    pub(crate) fn planned(&self, action: Action, next: impl IntoIterator<Item = (Name, Traffic)>) -> Planned {
        let changes = |(name, traffic): &(Name, Traffic)| self.traffic.get(name).is_none_or(|old| **old != *traffic);
        let next: BTreeMap<_, _> = next.into_iter().filter(changes).map(|(name, t)| (name, Arc::new(t))).collect();
        let of = |(name, traffic): (&Name, &Arc<Traffic>)| {
            Difference::of(name, self.traffic.get(name).map(|traffic| &**traffic), traffic)
        };
        let difference = next.iter().map(of).collect();
        Planned { action, restores: None, next, intent: BTreeMap::new(), difference }
    }

    /// Whether `traffic` has another split than the service has now.
    #[must_use]
    pub fn splits_anew(&self, service: &Name, traffic: &Traffic) -> bool {
        self.traffic.get(service).is_none_or(|old| old.salt != traffic.salt || old.slots != traffic.slots)
    }
}

impl Planned {
    /// Whether the plan is worth a revision: it changes the split of a service, or an operator drained an endpoint. A
    /// file that only drops what it no longer has is not.
    #[must_use]
    pub fn is_revision(&self, state: &State) -> bool {
        match self.action {
            Action::File => self.next.iter().any(|(name, traffic)| state.splits_anew(name, traffic)),
            Action::Shift | Action::Flip | Action::Rollback | Action::Drain | Action::Ready | Action::Rollout => {
                !self.next.is_empty()
            }
        }
    }
}

/// The names of a service's versions.
pub(crate) fn versions(spec: &ServiceSpec) -> impl Iterator<Item = &str> {
    spec.versions.iter().map(|version| version.name.as_str())
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

pub(crate) fn unknown_versions<'a>(spec: &'a ServiceSpec, weights: &'a Weights) -> impl Iterator<Item = Problem> + 'a {
    let unknown = weights.iter().filter(|(name, _)| versions(spec).all(|known| known != name.as_str()));
    unknown.map(|(name, _)| {
        let place = format!("services.{}.split.{name}", spec.name);
        Problem::no_version(ProblemKind::Invalid, place, name, versions(spec))
    })
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

//! A change while it is planned: the traffic of all services with its history, and a plan. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::{Problem, ProblemKind};
use crate::table::{Addresses, Name, ServiceSpec, Slots, Traffic, Weights};

use super::difference::Difference;

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

/// The versions of `weights` that the service does not have.
pub(crate) fn unknown_versions<'a>(spec: &'a ServiceSpec, weights: &'a Weights) -> impl Iterator<Item = Problem> + 'a {
    let unknown = weights.iter().filter(|(name, _)| versions(spec).all(|known| known != name.as_str()));
    unknown.map(|(name, _)| {
        let place = format!("services.{}.split.{name}", spec.name);
        Problem::no_version(ProblemKind::Invalid, place, name, versions(spec))
    })
}

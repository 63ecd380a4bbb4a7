//! A change while it is planned: the traffic of all services with its history, and a plan. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::{Problem, ProblemKind};
use crate::table::experiment_run::ExperimentRun;
use crate::table::fault_table::FaultInForce;
use crate::table::flag_state::FlagState;
use crate::table::spec::flag::{FlagSpec, FlagSpecs};
use crate::table::{Addresses, Name, ServiceSpec, Traffic, Weights};

use super::difference::Difference;
use super::experiment_states::{ExperimentStates, PlannedExperiments};
use super::flag_difference::{FlagDifference, off_default};
use super::fleet::shared_intent::SharedIntent;
use super::service_intent::ServiceIntent;
use super::weight_marks::{PlannedMarks, WeightMarks};

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
    /// What the file asked for when it was last applied, also of services that left.
    pub intent: BTreeMap<Name, ServiceIntent>,
    /// The flags.
    pub flags: FlagStates,
    /// The experiments.
    pub experiments: ExperimentStates,
    /// The faults of chaos runs by service; no part of a revision.
    pub faults: BTreeMap<Name, Arc<FaultInForce>>,
    /// Who set the weights in force, and by which commits.
    pub marks: WeightMarks,
    /// What files of any replica have asked for; none without a fleet.
    pub(crate) told: Option<Arc<SharedIntent>>,
}

/// The flags of all kinds at one revision.
#[derive(Clone, Debug, Default)]
pub struct FlagStates {
    /// The flags of the config in force.
    pub specs: Arc<FlagSpecs>,
    /// The state of every flag that ever was: one that left the config resumes here when it comes back.
    pub states: BTreeMap<Name, Arc<FlagState>>,
    /// The state that the file asked for when it was last applied, also of flags that left.
    pub intent: BTreeMap<Name, FlagState>,
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
    /// Other requests are mirrored, or others get the copies.
    Mirror,
    /// A flag was enabled or disabled, or serves others.
    Flag,
    /// A run of an experiment began, or takes more users in.
    Start,
    /// A run of an experiment ended.
    Stop,
    /// All users get what one arm of an experiment has.
    Ship,
    /// Weights that were set for a time have ended.
    Expire,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Shift,
        Self::Flip,
        Self::Rollback,
        Self::Drain,
        Self::Ready,
        Self::File,
        Self::Rollout,
        Self::Mirror,
        Self::Flag,
        Self::Start,
        Self::Stop,
        Self::Ship,
        Self::Expire,
    ];

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
            Self::Mirror => "mirror",
            Self::Flag => "flag",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Ship => "ship",
            Self::Expire => "expire",
        }
    }
}

/// What a change comes to.
#[derive(Clone, Debug)]
pub struct Planned {
    /// In one word.
    pub action: Action,
    /// The revision that is restored.
    pub restores: Option<u64>,
    /// The next traffic of the services whose traffic changes.
    pub next: BTreeMap<Name, Arc<Traffic>>,
    /// What the file asks for, to remember.
    pub intent: BTreeMap<Name, ServiceIntent>,
    /// The same as `next`, for people.
    pub difference: Vec<Difference>,
    /// What becomes of flags.
    pub flags: PlannedFlags,
    /// What becomes of experiments.
    pub experiments: PlannedExperiments,
    /// Who has set weights by it, and what is said against commits; filled in when it is known who asks.
    pub marks: PlannedMarks,
}

/// What a change comes to for flags.
#[derive(Clone, Debug, Default)]
pub struct PlannedFlags {
    /// The next state of the flags whose state changes.
    pub next: BTreeMap<Name, Arc<FlagState>>,
    /// The file's states to remember.
    pub intent: BTreeMap<Name, FlagState>,
    /// The same as `next`, for people.
    pub difference: Vec<FlagDifference>,
}

/// What was a service's traffic, a flag's state or an experiment's run, and when.
pub trait History {
    /// What can go wrong while it is read.
    type Error;

    /// The revisions that changed the split or the mirror of `service`, ascending.
    ///
    /// # Errors
    /// When the history cannot be read.
    fn entries(&self, service: &Name) -> Result<Vec<Entry>, Self::Error>;

    /// The traffic of `service` at `revision` without its drained endpoints, none when it was not there yet.
    ///
    /// # Errors
    /// When the history cannot be read.
    fn traffic_at(&self, service: &Name, revision: u64) -> Result<Option<Traffic>, Self::Error>;

    /// The revisions that changed the state of `flag`, ascending.
    ///
    /// # Errors
    /// When the history cannot be read.
    fn flag_entries(&self, flag: &Name) -> Result<Vec<Entry>, Self::Error>;

    /// The state of `flag` at `revision`, none when it was not there yet.
    ///
    /// # Errors
    /// When the history cannot be read.
    fn flag_at(&self, flag: &Name, revision: u64) -> Result<Option<FlagState>, Self::Error>;

    /// The revisions that changed the run of `experiment`, ascending.
    ///
    /// # Errors
    /// When the history cannot be read.
    fn experiment_entries(&self, experiment: &Name) -> Result<Vec<Entry>, Self::Error>;

    /// The run of `experiment` at `revision`, none when it had never run then.
    ///
    /// # Errors
    /// When the history cannot be read.
    fn experiment_at(&self, experiment: &Name, revision: u64) -> Result<Option<ExperimentRun>, Self::Error>;
}

/// A revision that changed the traffic of a service, the state of a flag, or the run of an experiment.
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

    /// The flag with its state, or the problem that there is none.
    ///
    /// # Errors
    /// A [`Problem`] that lists the flags there are.
    pub fn flag(&self, place: &str, name: &Name) -> Result<(&Arc<FlagSpec>, &Arc<FlagState>), Problem> {
        let both = self.flags.specs.named(name).zip(self.flags.states.get(name));
        let known = || self.flags.specs.flags.iter().map(|spec| spec.name.as_str());
        both.ok_or_else(|| Problem::no_flag(place, name, known()))
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
        let (flags, experiments) = (PlannedFlags::default(), PlannedExperiments::default());
        let (intent, marks) = (BTreeMap::new(), PlannedMarks::default());
        Planned { action, restores: None, next, intent, difference, flags, experiments, marks }
    }

    /// The plan that gives flags the states `next`; those that have it already are left out.
    pub(crate) fn planned_flags<'s>(&self, next: impl IntoIterator<Item = (&'s FlagSpec, FlagState)>) -> PlannedFlags {
        let mut planned = PlannedFlags::default();
        for (spec, state) in next {
            let (name, before) = (&spec.name, self.flags.states.get(&spec.name));
            if before.is_none_or(|before| **before != state) {
                let default = spec.default_variant().and_then(|index| spec.variants.get(usize::from(index)));
                let default = default.map(|variant| &variant.name);
                let mut difference = FlagDifference::of(name, default, before.map(|before| &**before), &state);
                let split = |service: &Name| Some(self.traffic.get(service)?.slots.weights());
                difference.followers = difference.is_switched().then(|| off_default(spec, split)).flatten();
                planned.difference.push(difference);
                planned.next.insert(name.clone(), Arc::new(state));
            }
        }
        planned
    }

    /// Whether `traffic` has another split or another mirror than the service has now, so that it is recorded.
    #[must_use]
    pub fn traffic_anew(&self, service: &Name, traffic: &Traffic) -> bool {
        let anew =
            |old: &Traffic| old.salt != traffic.salt || old.slots != traffic.slots || old.mirror != traffic.mirror;
        self.traffic.get(service).is_none_or(|old| anew(old))
    }
}

impl FlagStates {
    /// Takes in what was planned.
    pub fn enter(&mut self, planned: &PlannedFlags) {
        self.states.extend(planned.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
        self.intent.extend(planned.intent.iter().map(|(name, said)| (name.clone(), said.clone())));
    }
}

impl Planned {
    /// Whether the plan is worth a revision: it changes the split or the mirror of a service, the state of a flag or
    /// the run of an experiment, or an operator drained an endpoint. A file that only drops endpoints that it no longer
    /// has is not.
    #[must_use]
    pub fn is_revision(&self, state: &State) -> bool {
        let moves = match self.action {
            Action::File => self.next.iter().any(|(name, traffic)| state.traffic_anew(name, traffic)),
            Action::Shift
            | Action::Flip
            | Action::Rollback
            | Action::Drain
            | Action::Ready
            | Action::Rollout
            | Action::Mirror
            | Action::Flag
            | Action::Start
            | Action::Stop
            | Action::Ship
            | Action::Expire => !self.next.is_empty(),
        };
        moves || !self.flags.next.is_empty() || !self.experiments.next.is_empty()
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

//! The traffic, the flags and the experiments that a config file asks for, at the start and at each reload.
//!
//! The file is intent: what it says about weights counts when it *changes there*. So the split that the file asked for
//! is remembered per service, and as long as the file still says the same, a shift made at run time stays, over reloads
//! and restarts; its mirror is a word of its own, and counts in the same way. The obvious way, the file always wins,
//! would undo a release whenever an operator adds a rule. It is the same with flags: rule by rule, and whether they are
//! enabled. What was taken back of a commit does not count again in it ([`weight_marks`](super::weight_marks)).
//! Experiments are started and stopped by hand only; but one that the file does not have any more, or that
//! compares something else in it, has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::experiment::definition::{ExperimentSpec, MetricSpec};
use crate::table::experiment_run::ExperimentRun;
use crate::table::flag_state::FlagState;
use crate::table::spec::VersionSpec;
use crate::table::spec::experiment::ExperimentSubject;
use crate::table::spec::flag::{FlagSource, FlagSpec, FlagSpecs};
use crate::table::{EndpointAddress, Name, ServiceSpec, Traffic, Weight, Weights};

use super::experiment_change;
use super::experiment_difference::{ExperimentDifference, RunEnd};
use super::experiment_states::{PlannedExperiments, is_of};
use super::file_origin::FileOrigin;
use super::flag_change;
use super::planned::{Action, Planned, PlannedFlags, State, versions};
use super::service_intent::ServiceIntent;
use super::weight_marks::{FileWord, WeightSubject, said_of_flag, said_of_service};

/// What the config file defines that is put in force at once.
#[derive(Clone, Debug, Default)]
pub struct FileSpecs {
    /// The services, in their order.
    pub services: Vec<Arc<ServiceSpec>>,
    /// The flags.
    pub flags: Arc<FlagSpecs>,
    /// The experiments.
    pub experiments: Arc<[Arc<ExperimentSpec>]>,
    /// The metrics that a plan of a release may name as guardrails.
    pub guardrails: Arc<[Arc<MetricSpec>]>,
    /// The author and the reason of what changes by it, if it is more than a file.
    pub origin: Option<FileOrigin>,
}

impl FileSpecs {
    /// What is in force.
    #[must_use]
    pub fn in_force(state: &State) -> Self {
        Self {
            services: state.specs.values().map(Arc::clone).collect(),
            flags: Arc::clone(&state.flags.specs),
            experiments: Arc::clone(&state.experiments.specs),
            guardrails: Arc::clone(&state.experiments.guardrails),
            origin: None,
        }
    }
}

/// Services without flags and experiments.
impl From<Vec<Arc<ServiceSpec>>> for FileSpecs {
    fn from(services: Vec<Arc<ServiceSpec>>) -> Self {
        Self { services, ..Self::default() }
    }
}

/// Works out what a file comes to. There are no problems left that a file could have.
#[must_use]
pub(crate) fn plan(state: &State, specs: &FileSpecs) -> Planned {
    let FileSpecs { services, flags, origin, .. } = specs;
    let origin = origin.as_ref();
    let next = services.iter().map(|spec| (spec.name.clone(), traffic(state, spec, origin)));
    let said = services.iter().map(|spec| (spec.name.clone(), ServiceIntent::of(spec)));
    let intent: BTreeMap<_, _> = said.filter(|(name, said)| state.intent.get(name) != Some(said)).collect();
    let planned = Planned { intent, flags: plan_flags(state, flags, origin), ..state.planned(Action::File, next) };
    Planned { experiments: plan_experiments(state, specs, &planned), ..planned }
}

/// Ends the runs of what the file does not compare any more.
fn plan_experiments(state: &State, file: &FileSpecs, planned: &Planned) -> PlannedExperiments {
    let running = state.experiments.runs.iter().filter(|(_, run)| run.running);
    let ended = running.filter_map(|(name, run)| {
        let end = match file.experiments.iter().find(|spec| spec.name() == name) {
            Some(spec) if is_of(run, spec) && has_arms(&file.flags, spec) => return None,
            Some(_) => RunEnd::Redefined,
            None => RunEnd::Removed,
        };
        Some(match state.experiments.spec(name) {
            Some(spec) => experiment_change::difference(state, spec, run.ended(), Some(end), planned),
            None => ended_unknown(name, run, end),
        })
    });
    PlannedExperiments::of(ended)
}

/// Whether the subject can be given arms: a flag that follows something has come to be decided elsewhere.
fn has_arms(flags: &FlagSpecs, spec: &ExperimentSpec) -> bool {
    let ExperimentSubject::Flag(name) = &spec.assignment.subject else { return true };
    let flag = flags.flags.iter().find(|flag| flag.name == *name);
    flag.is_some_and(|flag| matches!(flag.source, FlagSource::Rules { .. }))
}

/// The end of a run of which the file in force says nothing either: after a restart there is none yet.
fn ended_unknown(experiment: &Name, run: &ExperimentRun, end: RunEnd) -> ExperimentDifference {
    let (before, after) = (Some(run.clone()), run.ended());
    ExperimentDifference { experiment: experiment.clone(), before, after, moved: None, end: Some(end) }
}

fn plan_flags(state: &State, specs: &FlagSpecs, origin: Option<&FileOrigin>) -> PlannedFlags {
    let next = specs.flags.iter().map(|spec| (&**spec, flag_state(state, spec, origin)));
    let said = specs.flags.iter().map(|spec| (spec.name.clone(), FlagState::first(spec)));
    let news = said.filter(|(name, said)| state.flags.intent.get(name) != Some(said));
    PlannedFlags { intent: news.collect(), ..state.planned_flags(next) }
}

/// The state of a flag under the file.
fn flag_state(state: &State, spec: &FlagSpec, origin: Option<&FileOrigin>) -> FlagState {
    let Some(old) = state.flags.states.get(&spec.name) else { return FlagState::first(spec) };
    let intent = state.flags.intent.get(&spec.name);
    let said = intent.map(said_of_flag);
    // As if it had said that before.
    let same = FlagState::first(spec);
    match state.marks.word(&WeightSubject::Flag(spec.name.clone()), said.as_deref(), origin) {
        FileWord::Never => old.under_file(&same, spec),
        FileWord::Anew => flag_change::as_the_file_says(old, spec),
        FileWord::IfNew if !flag_is_news(state, spec) => old.under_file(&same, spec),
        FileWord::IfNew => intent.map_or(same, |intent| old.under_file(intent, spec)),
    }
}

/// Whether the file says what it did not say before. In a fleet it must be news to the fleet as well: another replica
/// may have had the same file earlier, and what was changed since then must not be taken back. A replica that comes
/// to a fleet (nothing is `known` of its file) has no news, but of what the fleet was never told of.
fn is_news<T>(known: Option<&T>, told: Option<Option<&T>>, same: impl Fn(&T) -> bool) -> bool {
    match told {
        None => !known.is_some_and(same),
        Some(None) => true,
        Some(Some(told)) => known.is_some_and(|known| !same(known)) && !same(told),
    }
}

/// Whether the file says something new of a flag.
#[must_use]
pub(crate) fn flag_is_news(state: &State, spec: &FlagSpec) -> bool {
    let (name, said) = (&spec.name, FlagState::first(spec));
    let told = state.told.as_ref().map(|told| told.flag(name));
    is_news(state.flags.intent.get(name), told, |known| *known == said)
}

/// Whether the file says something new of a split.
#[must_use]
pub(crate) fn split_is_news(state: &State, spec: &ServiceSpec) -> bool {
    let told = state.told.as_ref().map(|told| told.service(&spec.name));
    is_news(state.intent.get(&spec.name), told, |known| same_split(&known.split, &spec.split))
}

/// Whether the file says something new of a mirror.
#[must_use]
pub(crate) fn mirror_is_news(state: &State, spec: &ServiceSpec) -> bool {
    let (said, told) = (ServiceIntent::of(spec).mirror, state.told.as_ref().map(|told| told.service(&spec.name)));
    is_news(state.intent.get(&spec.name), told, |known| known.mirror == said)
}

/// Whether the service has all versions that get requests by `traffic`.
#[must_use]
pub(crate) fn fits(spec: &ServiceSpec, traffic: &Traffic) -> bool {
    traffic.slots.iter().all(|(_, run)| has_version(spec, &run.version))
}

/// The traffic of a service under the file.
fn traffic(state: &State, spec: &ServiceSpec, origin: Option<&FileOrigin>) -> Traffic {
    let said = ServiceIntent::of(spec);
    let Some(old) = state.traffic.get(&spec.name) else {
        return Traffic::first(state.new_salt(spec), &spec.split).mirrored(said.mirror);
    };
    let intent = state.intent.get(&spec.name);
    let subject = WeightSubject::Service(spec.name.clone());
    let unchanged = match state.marks.word(&subject, intent.map(said_of_service).as_deref(), origin) {
        FileWord::IfNew => !split_is_news(state, spec),
        FileWord::Anew => false,
        FileWord::Never => true,
    };
    let unchanged = unchanged && fits(spec, old);
    let mut next = if unchanged { Traffic::clone(old) } else { old.shifted(&spec.split, || state.new_salt(spec)) };
    // As it is, while the file says what it said before.
    let mirror = if mirror_is_news(state, spec) { said.mirror } else { old.mirror.clone() };
    next.mirror = mirror.filter(|mirror| has_version(spec, &mirror.to));
    next.drained.retain(|(name, address)| {
        let is_there = |version: &VersionSpec| match address {
            // What a name stands for comes and goes: who repairs that address is not asked again.
            EndpointAddress::Ip(address) => !version.names.is_empty() || version.endpoints.contains(address),
            EndpointAddress::Name(name) => version.names.contains(name),
        };
        spec.versions.iter().any(|version| version.name == *name && is_there(version))
    });
    next
}

fn has_version(spec: &ServiceSpec, name: &Name) -> bool {
    versions(spec).any(|known| known == name.as_str())
}

/// Whether two splits give the same. Versions with weight 0 do not count: adding one to the file must not touch what
/// is running.
#[must_use]
pub(crate) fn same_split(a: &Weights, b: &Weights) -> bool {
    let nonzero = |weights: &Weights| -> Vec<(Name, Weight)> {
        let given = weights.iter().filter(|(_, weight)| *weight != Weight::ZERO);
        given.map(|(name, weight)| (name.clone(), weight)).collect()
    };
    nonzero(a) == nonzero(b)
}

//! The experiments of a table that run, ready to decide on requests and flags.
//!
//! Two draws make an experiment, under two salts. The one of its layer says who is in: experiments of one layer own
//! different slots of it, so they share no user, and a share that grows takes users in and moves none. The other one is
//! its own and says which arm: its half of the slots. One draw for both would do for one experiment; but then the arm
//! of a user would depend on where in the layer the run lies, and a second run on the same slots would give the same
//! users the same arm again, with all that they have got used to.
//!
//! Of several experiments on one service or flag the first that takes a user in decides, in order of their names. As
//! each draws arms by a salt of its own, what is left for the others is as good a sample in both arms.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::compiled_flag::FlagExperiments;
use super::experiment_run::ExperimentRun;
use super::hash::Salt;
use super::spec::ServiceSpec;
use super::spec::experiment::{AssignmentSpec, ExperimentArm, ExperimentSubject, PerArm};
use super::spec::flag::{FlagSource, FlagSpec};
use super::user_facts::UserFacts;
use super::weights::SLOTS;
use crate::shared::name::Name;
use crate::shared::trial_key::TrialKey;

/// The experiments of a table that run.
#[derive(Debug, Default)]
pub struct ExperimentTable {
    /// All of them whose arms are there, in order of their names.
    running: Box<[Experiment]>,
    /// What requests are to them, by the index of the service; empty if none runs.
    services: Box<[Option<Box<ServiceExperiments>>]>,
}

/// An experiment that runs.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Whom it gives which arm.
    pub spec: Arc<AssignmentSpec>,
    /// Its run.
    pub run: Arc<ExperimentRun>,
    /// What its users are counted for.
    pub(crate) trial: Arc<TrialKey>,
    /// Indices of the versions or variants.
    arms: PerArm<u16>,
    layer_salt: Salt,
    arm_salt: Salt,
}

/// What the experiments of a table can be on.
pub(crate) struct ExperimentSubjects<'t> {
    /// The services, in the order of the table.
    pub(crate) services: &'t [Arc<ServiceSpec>],
    /// The flags by their names.
    pub(crate) flags: HashMap<&'t str, &'t FlagSpec>,
    /// The names of the flags that requests carry, by the index of the service.
    pub(crate) told: Vec<BTreeSet<&'t str>>,
}

/// What requests of a service are to experiments.
#[derive(Debug)]
pub(crate) struct ServiceExperiments {
    /// Those that give its users their version.
    pub(crate) deciding: Box<[u16]>,
    /// Those that count some of its requests: for its versions, or for flags that its requests carry.
    pub(crate) counting: Box<[u16]>,
}

/// What an experiment gives a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GivenArm {
    /// Index of the experiment.
    pub(crate) experiment: u16,
    /// Index of the version or variant.
    pub(crate) choice: u16,
}

impl Experiment {
    fn compile(spec: &Arc<AssignmentSpec>, run: &Arc<ExperimentRun>, arms: PerArm<u16>) -> Self {
        let trial = TrialKey::Experiment { name: spec.name.clone(), since: run.since };
        let (layer_salt, arm_salt) = (Salt::new(&spec.layer_salt()), Salt::new(&spec.arm_salt()));
        Self { spec: Arc::clone(spec), run: Arc::clone(run), trial: Arc::new(trial), arms, layer_salt, arm_salt }
    }

    /// The arm of a user, if the experiment takes the user in.
    #[must_use]
    pub(crate) fn arm(&self, facts: &impl UserFacts, key: &[u8]) -> Option<ExperimentArm> {
        let taken = self.run.slots.contains(self.layer_salt.slot(key))
            && self.spec.segment.as_ref().is_none_or(|segment| segment.holds(facts));
        taken.then(|| self.drawn_arm(key))
    }

    /// The arm that a user is drawn for: the low half of the slots is the treatment's, as it is the new version's.
    fn drawn_arm(&self, key: &[u8]) -> ExperimentArm {
        if self.arm_salt.slot(key) < SLOTS / 2 { ExperimentArm::Treatment } else { ExperimentArm::Control }
    }

    /// The arm that the version or variant with this index is, if it is one.
    #[must_use]
    pub(crate) fn arm_of(&self, choice: u16) -> Option<ExperimentArm> {
        match choice {
            _ if choice == self.arms.control => Some(ExperimentArm::Control),
            _ if choice == self.arms.treatment => Some(ExperimentArm::Treatment),
            _ => None,
        }
    }

    /// Index of the version or variant of an arm.
    #[must_use]
    pub(crate) fn choice(&self, arm: ExperimentArm) -> u16 {
        match arm {
            ExperimentArm::Control => self.arms.control,
            ExperimentArm::Treatment => self.arms.treatment,
        }
    }
}

impl ExperimentTable {
    /// Compiles those of `specs` that run, on what a table has. One whose arms are not there is left
    /// out: nothing else is its comparison.
    pub(crate) fn compile<'a>(
        specs: impl IntoIterator<Item = &'a Arc<AssignmentSpec>>,
        runs: &BTreeMap<Name, Arc<ExperimentRun>>,
        subjects: &ExperimentSubjects<'_>,
    ) -> Self {
        let ExperimentSubjects { services, flags, told } = subjects;
        let by_name: HashMap<&str, &ServiceSpec> = services.iter().map(|spec| (spec.name.as_str(), &**spec)).collect();
        let compiled = |spec: &Arc<AssignmentSpec>| {
            let run = runs.get(&spec.name).filter(|run| run.running)?;
            let arms = match &spec.subject {
                ExperimentSubject::Service(name) => of_versions(spec, by_name.get(name.as_str())?)?,
                ExperimentSubject::Flag(name) => of_variants(spec, flags.get(name.as_str())?)?,
            };
            Some(Experiment::compile(spec, run, arms))
        };
        let mut running: Vec<Experiment> = specs.into_iter().filter_map(compiled).collect();
        running.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
        let of_service = |(spec, told): (&Arc<ServiceSpec>, &BTreeSet<&str>)| {
            ServiceExperiments::of(&running, &spec.name, told).map(Box::new)
        };
        let all = services.iter().zip(told);
        let services = if running.is_empty() { Box::default() } else { all.map(of_service).collect() };
        Self { running: running.into(), services }
    }

    /// All of `specs`, as if each were the only one that runs: for what has to be known of a config.
    pub(crate) fn of_all(specs: &[Arc<AssignmentSpec>], subjects: &ExperimentSubjects<'_>) -> Self {
        let run = |spec: &Arc<AssignmentSpec>| (spec.name.clone(), Arc::new(ExperimentRun::of_everybody(1)));
        Self::compile(specs, &specs.iter().map(run).collect(), subjects)
    }

    /// The same experiments for other flags.
    pub(crate) fn under(&self, subjects: &ExperimentSubjects<'_>) -> Self {
        let runs = self.running.iter().map(|one| (one.spec.name.clone(), Arc::clone(&one.run))).collect();
        Self::compile(self.running.iter().map(|one| &one.spec), &runs, subjects)
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Those that run, in order of their names.
    #[must_use]
    pub fn running(&self) -> &[Experiment] {
        &self.running
    }

    /// The one with an index that a cause has.
    #[must_use]
    pub fn at(&self, index: u16) -> &Experiment {
        &self.running[usize::from(index)]
    }

    /// What requests of the service with this index are to experiments.
    #[must_use]
    pub(crate) fn of(&self, service: u32) -> Option<&ServiceExperiments> {
        self.services.get(service as usize)?.as_deref()
    }

    /// Those that give users of the service with this index their version.
    pub(crate) fn deciding(&self, service: u32) -> impl Iterator<Item = &Experiment> {
        let indices = self.of(service).map_or(&[][..], |of_service| &of_service.deciding);
        indices.iter().map(|index| self.at(*index))
    }

    /// How likely a random key of the service with this index is to be taken in, by the versions of the arms. Layers
    /// are drawn apart, and experiments of one layer share no user.
    pub(crate) fn chances(&self, service: u32, facts: &impl UserFacts) -> Vec<([u16; 2], f64)> {
        let mut taken: BTreeMap<String, f64> = BTreeMap::new();
        let holds = |one: &&Experiment| one.spec.segment.as_ref().is_none_or(|segment| segment.holds(facts));
        let chances = self.deciding(service).filter(holds).map(|one| {
            let layer = one.spec.layer_salt();
            let left: f64 = taken.iter().filter(|(other, _)| **other != layer).map(|(_, taken)| 1.0 - taken).product();
            let share = one.run.share.ratio();
            *taken.entry(layer).or_default() += share;
            ([one.arms.control, one.arms.treatment], share * left)
        });
        chances.collect()
    }

    /// Those that give users of the flag of this name their variant.
    pub(crate) fn on_flag(&self, flag: &Name) -> FlagExperiments {
        let on_it = |one: &Experiment| matches!(&one.spec.subject, ExperimentSubject::Flag(name) if name == flag);
        let found = || (0..).zip(&self.running).filter(|(_, one)| on_it(one));
        let names = found().map(|(_, one)| one.spec.name.clone());
        FlagExperiments::new(found().map(|(index, _)| index).collect(), names.collect())
    }

    /// The version that an experiment gives a user of the service with this index, if one does.
    #[must_use]
    pub(crate) fn version(&self, service: u32, facts: &impl UserFacts, key: &[u8]) -> Option<GivenArm> {
        self.given(&self.of(service)?.deciding, facts, key)
    }

    /// What the first of these experiments gives a user that takes the user in.
    #[must_use]
    pub(crate) fn given(&self, indices: &[u16], facts: &impl UserFacts, key: &[u8]) -> Option<GivenArm> {
        indices.iter().find_map(|index| {
            let experiment = self.at(*index);
            let arm = experiment.arm(facts, key)?;
            Some(GivenArm { experiment: *index, choice: experiment.choice(arm) })
        })
    }
}

impl ServiceExperiments {
    fn of(running: &[Experiment], service: &Name, told: &BTreeSet<&str>) -> Option<Self> {
        let concerns = |one: &Experiment| match &one.spec.subject {
            ExperimentSubject::Service(name) => name == service,
            ExperimentSubject::Flag(name) => told.contains(name.as_str()),
        };
        let versions = ExperimentSubject::Service(service.clone());
        let decides = |one: &Experiment| one.spec.subject == versions;
        let numbered = || (0..).zip(running);
        let deciding = numbered().filter(|(_, one)| decides(one)).map(|(index, _)| index).collect();
        let counting = numbered().filter(|(_, one)| concerns(one) && !one.spec.requests.is_empty());
        let found = Self { deciding, counting: counting.map(|(index, _)| index).collect() };
        (!found.deciding.is_empty() || !found.counting.is_empty()).then_some(found)
    }
}

fn of_versions(spec: &AssignmentSpec, service: &ServiceSpec) -> Option<PerArm<u16>> {
    let index = |name: &Name| (0..).zip(&service.versions).find(|(_, version)| version.name == *name).map(|(i, _)| i);
    Some(PerArm { control: index(&spec.arms.control)?, treatment: index(&spec.arms.treatment)? })
}

/// A flag that follows, or is imported, is decided elsewhere.
fn of_variants(spec: &AssignmentSpec, flag: &FlagSpec) -> Option<PerArm<u16>> {
    let by_rules = matches!(flag.source, FlagSource::Rules { .. });
    let index = |name: &Name| flag.variant(name).filter(|_| by_rules);
    Some(PerArm { control: index(&spec.arms.control)?, treatment: index(&spec.arms.treatment)? })
}

#[cfg(test)]
mod tests;

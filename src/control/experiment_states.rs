//! The experiments of the config and their runs, and what a change makes of them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::experiment_difference::ExperimentDifference;
use crate::experiment::definition::{ExperimentSpec, MetricSpec};
use crate::experiment::fingerprint::fingerprint;
use crate::problem::Problem;
use crate::shared::trial_key::TrialKey;
use crate::table::Name;
use crate::table::experiment_run::ExperimentRun;
use crate::table::slot_ranges::SlotRanges;

/// The experiments at one revision.
#[derive(Clone, Debug, Default)]
pub struct ExperimentStates {
    /// Those of the config in force.
    pub specs: Arc<[Arc<ExperimentSpec>]>,
    /// The metrics of the same config that a plan of a release may name as guardrails.
    pub guardrails: Arc<[Arc<MetricSpec>]>,
    /// The last run of each that ever ran; all that run are in `specs`, and compare what those say.
    pub runs: BTreeMap<Name, Arc<ExperimentRun>>,
}

/// What a change comes to for experiments.
#[derive(Clone, Debug, Default)]
pub struct PlannedExperiments {
    /// The next run of those whose run changes.
    pub next: BTreeMap<Name, Arc<ExperimentRun>>,
    /// The same, for people.
    pub difference: Vec<ExperimentDifference>,
}

impl ExperimentStates {
    /// Takes in what was planned.
    pub fn enter(&mut self, planned: &PlannedExperiments) {
        self.runs.extend(planned.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
    }

    /// The experiment of the config of this name, if there is one.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&Arc<ExperimentSpec>> {
        self.specs.iter().find(|spec| spec.name().as_str() == name)
    }

    /// The experiment that a call names at `place`.
    ///
    /// # Errors
    /// A [`Problem`] that lists the experiments there are.
    pub fn named(&self, place: &str, name: &str) -> Result<&Arc<ExperimentSpec>, Problem> {
        let known = self.specs.iter().map(|spec| spec.name().as_str());
        self.spec(name).ok_or_else(|| Problem::no_experiment(place, name, known))
    }

    /// The run of an experiment that runs.
    #[must_use]
    pub fn running(&self, name: &str) -> Option<&Arc<ExperimentRun>> {
        self.runs.get(name).filter(|run| run.running)
    }

    /// The runs that are under way, with what is measured of their users.
    pub(crate) fn trials(&self) -> impl Iterator<Item = (TrialKey, Arc<ExperimentSpec>)> {
        let running = self.runs.iter().filter(|(_, run)| run.running);
        running.filter_map(|(name, run)| {
            let key = TrialKey::Experiment { name: name.clone(), since: run.since };
            Some((key, Arc::clone(self.spec(name.as_str())?)))
        })
    }

    /// All that run, but this one, with their runs.
    pub(crate) fn others_running(&self, name: &Name) -> impl Iterator<Item = (&ExperimentSpec, &ExperimentRun)> {
        let others = self.specs.iter().filter(move |spec| spec.name() != name);
        others.filter_map(|spec| Some((&**spec, &**self.running(spec.name())?)))
    }

    /// The slots of the layer of `spec` that others own.
    pub(crate) fn taken(&self, spec: &ExperimentSpec) -> SlotRanges {
        let others = self.others_running(spec.name()).filter(|(other, _)| shares_layer(spec, other));
        others.fold(SlotRanges::default(), |taken, (_, run)| taken.with(&run.slots))
    }
}

impl PlannedExperiments {
    /// The plan that gives experiments these runs; those that have it already are left out.
    pub(crate) fn of(next: impl IntoIterator<Item = ExperimentDifference>) -> Self {
        let changes = |next: &ExperimentDifference| next.before.as_ref() != Some(&next.after);
        let difference: Vec<_> = next.into_iter().filter(changes).collect();
        let run = |next: &ExperimentDifference| (next.experiment.clone(), Arc::new(next.after.clone()));
        Self { next: difference.iter().map(run).collect(), difference }
    }
}

/// Whether two experiments are in one layer.
pub(crate) fn shares_layer(one: &ExperimentSpec, other: &ExperimentSpec) -> bool {
    one.assignment.layer.is_some() && one.assignment.layer == other.assignment.layer
}

/// Whether `run` is of what `spec` says.
pub(crate) fn is_of(run: &ExperimentRun, spec: &ExperimentSpec) -> bool {
    run.compares == fingerprint(spec)
}

//! Experiments and rollouts keep out of each other's way.

use super::super::change::Change;
use super::super::experiment_change::ExperimentChange;
use super::super::handle::ApplyError;
use super::Writer;
use crate::problem::Problem;
use crate::table::Name;
use crate::table::spec::experiment::{AssignmentSpec, ExperimentSubject};

impl Writer {
    /// The experiment whose users get an arm from this change on, if it is a start.
    pub(super) fn started(&self, change: &Change) -> Option<&AssignmentSpec> {
        let Change::Experiment(ExperimentChange::Start { name, .. }) = change else { return None };
        self.state.experiments.spec(name).map(|spec| &*spec.assignment)
    }

    /// Refuses to start or ship what a rollout moves: its judge would compare users whom another draw has put there,
    /// and its next step would take the shipped version back.
    pub(super) fn refuse_released(&self, change: &Change) -> Result<(), ApplyError> {
        let Change::Experiment(ExperimentChange::Start { name, .. } | ExperimentChange::Ship { name, .. }) = change
        else {
            return Ok(());
        };
        let Some(spec) = self.state.experiments.spec(name) else { return Ok(()) };
        let subject = &spec.assignment.subject;
        let released = match subject {
            ExperimentSubject::Service(service) => self.releases(service, None),
            ExperimentSubject::Flag(flag) => {
                let told = self.state.flags.specs.told.iter();
                told.filter(|(_, flags)| flags.contains(flag)).any(|(service, _)| self.releases(service, Some(flag)))
            }
        };
        let found = || format!("{}, which is being rolled out", subject.name());
        let remedy = "wait for the rollout, or abort it (see `pointsman rollout status`)";
        let problem = || Problem::conflict("experiment", found(), "no rollout of what it compares", remedy);
        if released { Err(ApplyError::Problems(vec![problem()])) } else { Ok(()) }
    }

    /// Whether a rollout of a service, or of a flag that its requests carry, is under way; a group may move both.
    fn releases(&self, service: &Name, flag: Option<&Name>) -> bool {
        self.registry.canary(service).is_some_and(|canary| match flag {
            None => canary.terms().flag.is_none(),
            Some(flag) => canary.terms().flags.iter().any(|moved| **moved == *flag.as_str()),
        })
    }
}

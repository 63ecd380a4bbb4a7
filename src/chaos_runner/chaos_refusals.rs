//! What speaks against a run at this moment, all of it at once.

use jiff::Timestamp;

use super::chaos_controller::ChaosController;
use super::chaos_preview::closed_text;
use super::saved_chaos::SavedChaos;
use crate::chaos::chaos_definition::ChaosDefinition;
use crate::config::ChaosConfig;
use crate::problem::Problem;
use crate::table::Name;

impl ChaosController {
    /// Everything that speaks against it. Its windows are looked at if it is to begin now.
    pub(super) fn speaks_against(
        &self,
        definition: &ChaosDefinition,
        config: &ChaosConfig,
        begins: Option<Timestamp>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.note_disabled(config, &mut problems);
        problems.extend(self.occupied(&definition.target.service));
        problems.extend(self.spent(definition));
        let service = definition.target.service.as_str();
        let unsteady = definition.stop_when.steady.then(|| (self.deps.vitals.unsteady)(service)).flatten();
        problems.extend(unsteady.map(|why| {
            let remedy = "wait until it is steady (GET /v1/steady), or leave `steady` out of stop_when";
            Problem::conflict("stop_when.steady", format!("{service} not steady: {why}"), "a steady service", remedy)
        }));
        if let Some(Err(closed)) = begins.map(|now| definition.only.open_for(now, definition.took())) {
            let remedy = "start it in a window, or change `only` in the config";
            problems.push(Problem::conflict("only", closed_text(closed), "a window that is open to its end", remedy));
        }
        problems
    }

    /// Nothing runs where nothing may be made to fail.
    pub(super) fn note_disabled(&self, config: &ChaosConfig, problems: &mut Vec<Problem>) {
        if !config.enabled {
            let remedy = "set `enabled = true` in [chaos] of the config, if faults may be injected here";
            problems.push(Problem::conflict("chaos.enabled", "false", "true", remedy));
        }
        if self.last_id.is_none() {
            let found = "the chaos runs of before, which could not be read yet";
            let remedy = "look at the log, repeat the call";
            problems.push(Problem::conflict("chaos", found, "to know what is left of them", remedy));
        }
    }

    /// One run at a time on a service, none on one that is released, and none before the last one is undone.
    pub(super) fn occupied(&self, service: &Name) -> Vec<Problem> {
        let mut problems = Vec::new();
        let other = self.running.values().find(|active| active.run.definition().target.service == *service);
        problems.extend(other.map(|other| {
            let (id, name) = (other.run.id(), &other.run.definition().name);
            let found = format!("{service}, where chaos run {id} of {name} is under way");
            let remedy = format!("wait for its end, or stop it: pointsman chaos stop {id}");
            Problem::conflict("target.service", found, "a service without another one", remedy)
        }));
        if self.deps.registry.canary(service.as_str()).is_some() {
            let found = format!("{service}, which is being rolled out");
            let remedy = "wait for the rollout, or abort it (see `pointsman rollout status`)";
            problems.push(Problem::conflict("target.service", found, "a service without a rollout", remedy));
        }
        let is_left =
            |saved: &&std::sync::Arc<SavedChaos>| saved.record.service == service.as_str() && saved.is_to_undo();
        problems.extend(self.over.values().find(is_left).map(|saved| {
            let id = saved.record.id;
            let found = format!("{service}, where what chaos run {id} did is not undone");
            let remedy = format!("wait for it, or mend it: then `pointsman chaos stop {id}` tries again");
            Problem::conflict("target.service", found, "a service that is as it was", remedy)
        }));
        problems
    }

    /// An experiment spends of the error budget of its service; there has to be one.
    fn spent(&self, definition: &ChaosDefinition) -> Option<Problem> {
        let service = definition.target.service.as_str();
        let least = definition.stop_when.budget_left_below;
        match ((self.deps.vitals.budget_left)(service), least) {
            (Some(left), _) if left <= 0.0 => {
                let found = format!("{left:.1} % of the error budget of {service} left: it is spent");
                let remedy = format!("wait until there is some again: GET /v1/services/{service}/budget");
                Some(Problem::conflict("budget", found, "a budget to spend of", remedy))
            }
            (Some(left), Some(least)) if left < least => {
                let found = format!("{left:.1} % of the error budget of {service} left");
                let remedy = "wait until there is more, or lower stop_when.budget_left_below";
                let wanted = format!("at least {least} %");
                Some(Problem::conflict("stop_when.budget_left_below", found, wanted, remedy))
            }
            (None, Some(_)) => {
                let found = format!("{service}, of whose error budget nothing is known");
                let remedy = format!("write objectives in [services.{service}.slo], or leave budget_left_below out");
                Some(Problem::conflict("stop_when.budget_left_below", found, "a service with objectives", remedy))
            }
            (Some(_) | None, _) => None,
        }
    }
}

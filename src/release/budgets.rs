//! Error budgets of the services of a rollout: what too little is left of refuses its start, or holds its step.

use super::active::ActiveRollout;
use crate::problem::Problem;
use crate::rollout::judge::spent_budget::SpentBudget;
use crate::slo_keeper::SloHandle;
use crate::table::{Name, Table};

impl ActiveRollout {
    /// Tells the judges of which services too little is left.
    pub(super) fn note_budgets(&mut self, slo: &SloHandle) {
        let Some(least) = self.release.budget_left_min else { return };
        let spent = |service: &Name| SpentBudget::of(slo.left(service.as_str()), least.percent());
        let spent: Vec<_> = self.services.iter().map(spent).collect();
        self.rollout.note_budgets(spent);
    }

    /// What speaks against its start.
    pub(super) fn spent_budgets(&self, slo: &SloHandle, table: &Table) -> Vec<Problem> {
        let Some(least) = self.release.budget_left_min else { return Vec::new() };
        let problem = |service: &Name| {
            let path = format!("services.{service}");
            let wanted = format!("{} % of its error budget left (budget_left_min)", least.percent());
            if table.service_named(service.as_str()).is_some_and(|service| service.slo.is_none()) {
                let remedy =
                    format!("add [services.{service}.slo] with availability = 99.9, or leave budget_left_min out");
                return Some(Problem::conflict(path, "no objectives".to_owned(), wanted, remedy));
            }
            let spent = SpentBudget::of(slo.left(service.as_str()), least.percent())?;
            let remedy = "wait until it has recovered, or mend what spends it; a fix that cannot wait is started with \
                          --set budget_left_min=null";
            Some(Problem::conflict(path, spent.found(), wanted, remedy))
        };
        self.services.iter().filter_map(problem).collect()
    }
}

//! The plan's own metrics, its guardrails and error budgets in the state machine: whose judge watches which, and where
//! answers go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::judge::Judge;
use super::super::judge::guardrail::{Guardrail, GuardrailFinding};
use super::super::judge::own_metric::{MetricAnswer, OwnMetric};
use super::super::judge::spent_budget::SpentBudget;
use super::Rollout;

impl Rollout {
    /// Has the judges watch these metrics. Of a group each service has those that name it, and the first one the rest.
    /// `baselines` are the numbers that the baseline had, by service and metric.
    pub fn watch_metrics(&mut self, metrics: &[Arc<OwnMetric>], baselines: &[BTreeMap<String, f64>]) {
        for (number, judge) in self.judges.iter_mut().enumerate() {
            let watched = metrics.iter().filter(|metric| number == 0 || metric.is_by_service());
            judge.watch_metrics(watched.cloned(), baselines.get(number));
        }
    }

    /// Folds in what a metrics server said of a service's metric.
    pub fn metric_answered(&mut self, now: Duration, service: usize, metric: usize, answer: &MetricAnswer) {
        if let Some(judge) = self.judges.get_mut(service) {
            judge.metric_answered(now, metric, answer);
        }
    }

    /// Notes of which services too little is left of the error budget, in their order.
    pub(crate) fn note_budgets(&mut self, spent: impl IntoIterator<Item = Option<SpentBudget>>) {
        self.judges.iter_mut().zip(spent).for_each(|(judge, spent)| judge.note_budget(spent));
    }

    /// Notes the replicas of the fleet that do not say what they have counted, and why; none: all do.
    pub(crate) fn note_silent(&mut self, silent: Option<&Arc<str>>) {
        self.judges.iter_mut().for_each(|judge| judge.note_silent(silent.cloned()));
    }

    /// Has the first judge watch these guardrails: the users of all services are counted together.
    pub fn watch_guardrails(&mut self, guardrails: &[Arc<Guardrail>]) {
        if let Some(judge) = self.judges.first_mut() {
            judge.watch_guardrails(guardrails.iter().cloned());
        }
    }

    /// Notes what was found of the guardrails.
    pub fn guardrails_found(&mut self, now: Duration, found: &[GuardrailFinding]) {
        if let Some(judge) = self.judges.first_mut() {
            judge.guardrails_found(now, found);
        }
    }

    /// The baseline's numbers by service and metric; empty where none is known.
    #[must_use]
    pub fn metric_baselines(&self) -> Vec<BTreeMap<String, f64>> {
        let known: Vec<_> = self.judges.iter().map(Judge::metric_baselines).collect();
        if known.iter().all(BTreeMap::is_empty) { Vec::new() } else { known }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::judge::own_metric::{MetricBound, MetricLimit, MetricRule};
    use super::super::super::judge::{Evidence, JudgeSettings};
    use super::super::super::plan::{BlueGreen, Expired, Plan, Strategy};
    use super::*;
    use crate::table::Name;

    fn metric(name: &str, query: &str) -> Arc<OwnMetric> {
        Arc::new(OwnMetric {
            name: Name::new(name).unwrap(),
            url: "http://m.example".parse().unwrap(),
            query: query.into(),
            rule: MetricRule { bound: MetricBound::AtMost, limit: MetricLimit::Number(1.0) },
            failures: 1,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            token_file: None,
        })
    }

    #[test]
    fn a_group_asks_once_or_for_each_of_its_services_if_the_query_names_it() {
        let release = BlueGreen { smoke: false, watch: Duration::from_secs(60), keep: Duration::ZERO };
        let plan = Plan::new(Strategy::BlueGreen(release), JudgeSettings::default(), Expired::Pause).unwrap();
        let (mut rollout, _) = Rollout::start(plan, 3, Duration::ZERO);
        rollout.watch_metrics(&[metric("all", "up"), metric("each", "up{job=\"{service}\"}")], &[]);
        let watched: Vec<Vec<_>> =
            rollout.judges().iter().map(|judge| judge.metrics().map(|metric| metric.name.as_str()).collect()).collect();
        assert_eq!(watched, [vec!["all", "each"], vec!["each"], vec!["each"]]);
        // A bad answer of any service is one of the group.
        let step = rollout.judges()[2].metric_question(0).unwrap().step;
        let answer = MetricAnswer { at_ms: 0, step, candidate: Some(Ok(2.0)), baseline: None };
        rollout.metric_answered(Duration::ZERO, 2, 0, &answer);
        rollout.metric_answered(Duration::ZERO, 9, 9, &answer);
        let moved =
            rollout.tick(Duration::from_millis(250), &[Evidence::default(), Evidence::default(), Evidence::default()]);
        assert!(moved.is_some() && rollout.is_finished(), "{:?}", rollout.phase());
    }
}

//! The plan's own metrics in the state machine: whose judge watches which, and where answers go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::judge::Judge;
use super::super::judge::own_metric::{MetricAnswer, OwnMetric};
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

    /// The baseline's numbers by service and metric; empty where none is known.
    #[must_use]
    pub fn metric_baselines(&self) -> Vec<BTreeMap<String, f64>> {
        let known: Vec<_> = self.judges.iter().map(Judge::metric_baselines).collect();
        if known.iter().all(BTreeMap::is_empty) { Vec::new() } else { known }
    }
}

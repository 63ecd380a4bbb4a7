//! What the judge does with the plan's own metrics: which it watches, what they say, and which of them is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::own_metric::{MetricAnswer, MetricFinding, MetricQuestion, MetricWatch, OwnMetric};
use super::tick::Judge;

impl Judge {
    /// Watches these metrics from now on; `baselines` are the numbers that the baseline had, by name.
    pub fn watch_metrics(
        &mut self,
        metrics: impl Iterator<Item = Arc<OwnMetric>>,
        baselines: Option<&BTreeMap<String, f64>>,
    ) {
        let baseline = |name: &str| baselines.and_then(|known| known.get(name)).copied();
        let watch = |metric: Arc<OwnMetric>| {
            let baseline = baseline(metric.name.as_str());
            MetricWatch::new(metric, baseline, self.now)
        };
        self.metrics = metrics.map(watch).collect();
    }

    /// The metrics that are watched.
    pub fn metrics(&self) -> impl Iterator<Item = &Arc<OwnMetric>> {
        self.metrics.iter().map(|watch| &watch.metric)
    }

    /// What the metrics server is to be asked of the metric with this number; none: nothing at this share.
    #[must_use]
    pub fn metric_question(&self, number: usize) -> Option<MetricQuestion> {
        self.metrics.get(number)?.question(self.share)
    }

    /// Folds an answer on the metric with this number in.
    pub fn metric_answered(&mut self, now: Duration, number: usize, answer: &MetricAnswer) {
        if let Some(watch) = self.metrics.get_mut(number) {
            watch.answered(now, answer);
        }
    }

    /// What is known of each metric.
    #[must_use]
    pub fn metric_findings(&self) -> Vec<MetricFinding> {
        self.metrics.iter().map(|watch| watch.finding(self.now)).collect()
    }

    /// The baseline's numbers by metric, of those that are compared.
    #[must_use]
    pub fn metric_baselines(&self) -> BTreeMap<String, f64> {
        let known =
            self.metrics.iter().filter_map(|watch| Some((watch.metric.name.as_str().to_owned(), watch.baseline?)));
        known.collect()
    }

    /// The metric that has turned the candidate back.
    pub(crate) fn metric_proof(&self) -> Option<&MetricWatch> {
        self.metrics.iter().find(|watch| watch.is_proved())
    }

    /// The first metric whose last answer is bad.
    pub(crate) fn metric_objection(&self) -> Option<&MetricWatch> {
        self.metrics.iter().find(|watch| watch.is_bad(self.now))
    }

    /// The first metric of which nothing is known; of a candidate without traffic none is asked.
    pub(crate) fn metric_without_data(&self) -> Option<&MetricWatch> {
        let asked = self.share.value() > 0.0;
        self.metrics.iter().find(|watch| asked && !watch.is_good(self.now) && !watch.is_bad(self.now))
    }

    /// The metric that a sentence is about, if it is about one.
    pub(crate) fn leading_metric(&self) -> Option<&MetricWatch> {
        self.metric_proof().or_else(|| self.metric_objection()).or_else(|| self.metric_without_data())
    }
}

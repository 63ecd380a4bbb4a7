//! What an experiment is: whom it gives which arm, and what is measured of its users.

use std::sync::Arc;

use super::metric_result::MetricPlan;
use crate::shared::name::Name;
use crate::shared::probability::Probability;
use crate::table::spec::experiment::{AssignmentSpec, CountedRequests, RequestMatch};

/// An experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentSpec {
    /// Whom it gives which arm.
    pub assignment: Arc<AssignmentSpec>,
    /// What is measured.
    pub metrics: Vec<MetricSpec>,
    /// 1 less the confidence of the intervals.
    pub alpha: Probability,
    /// How many users are admitted.
    pub users_max: usize,
}

impl ExperimentSpec {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.assignment.name
    }
}

/// The requests that metrics count, by the metric's index.
pub(crate) fn counted_requests(metrics: &[MetricSpec]) -> CountedRequests {
    let of_requests = (0..).zip(metrics).filter_map(|(index, metric)| match &metric.source {
        MetricSource::Request(counted) => Some((index, counted.clone())),
        MetricSource::Event(_) => None,
    });
    CountedRequests::new(of_requests.collect())
}

/// A metric and where its numbers come from.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSpec {
    /// What is asked.
    pub plan: MetricPlan,
    /// What counts for a user.
    pub source: MetricSource,
    /// What a ratio divides by: the events of this name.
    pub denominator: Option<Box<str>>,
    /// What happens later than this after a user's first exposure does not count, in milliseconds.
    pub window_ms: u64,
}

/// What counts for a user.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricSource {
    /// Events of this name, by their values.
    Event(Box<str>),
    /// Requests, each as 1.
    Request(RequestMatch),
}

//! Which events mean something: those that a metric of the config asks for.

use std::collections::BTreeSet;

use crate::experiment::definition::{MetricSource, MetricSpec};
use crate::experiment::estimate::Measure;

/// The names that events may have. One that no metric asks for is a misspelt one far more often than one too many, and
/// it would be lost without a word.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct EventNames {
    events: BTreeSet<Box<str>>,
    covariates: BTreeSet<Box<str>>,
}

impl EventNames {
    /// Those of these metrics.
    pub(crate) fn of<'m>(metrics: impl IntoIterator<Item = &'m MetricSpec>) -> Self {
        let mut names = Self::default();
        for metric in metrics {
            if let MetricSource::Event(name) = &metric.source {
                names.events.insert(name.clone());
            }
            names.events.extend(metric.denominator.clone());
            if metric.plan.measure == Measure::AdjustedMean {
                names.covariates.insert(metric.plan.name.as_str().into());
            }
        }
        names
    }

    /// The events of metrics.
    pub(crate) fn events(&self) -> &BTreeSet<Box<str>> {
        &self.events
    }

    /// The metrics that are adjusted by what was known of a user before.
    pub(crate) fn covariates(&self) -> &BTreeSet<Box<str>> {
        &self.covariates
    }
}

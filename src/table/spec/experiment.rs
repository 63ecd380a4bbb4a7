//! The part of an experiment that decides on requests: who is in it, which arm each user gets, and which requests are
//! conversions. What is computed of them is no matter of a table ([`crate::experiment`]).

use std::sync::Arc;

use http::Method;

use super::health_check::StatusRange;
use super::{Condition, Pattern};
use crate::shared::name::Name;
pub(crate) use crate::shared::per_arm::{ExperimentArm, PerArm};
pub(crate) use crate::shared::probability::Probability;
use crate::shared::trial::CountsRequests;
use crate::table::weights::Weight;

/// Whom an experiment gives which of its arms.
#[derive(Clone, Debug, PartialEq)]
pub struct AssignmentSpec {
    /// The name of the experiment.
    pub name: Name,
    /// Whose versions or variants the arms are.
    pub subject: ExperimentSubject,
    /// The version or variant of each arm.
    pub arms: PerArm<Name>,
    /// Which part of all users a run takes in if its start says nothing else, above zero; half of them for each arm.
    pub share: Weight,
    /// Which users it may take in; none: all.
    pub segment: Option<Arc<Condition>>,
    /// The layer whose slots it shares with other experiments; none: it is alone in one.
    pub layer: Option<Name>,
    /// The requests that metrics count.
    pub requests: CountedRequests,
}

impl AssignmentSpec {
    /// What keys are hashed with to say who is in: experiments of one layer draw alike, so that they share no user. A
    /// name has no colon, so no layer is ever the one of an experiment without any.
    #[must_use]
    pub fn layer_salt(&self) -> String {
        match &self.layer {
            Some(layer) => format!("layer:{layer}"),
            None => format!("layer:experiment:{}", self.name),
        }
    }

    /// What keys are hashed with to say which arm: neither the layer's slots nor the split say anything about it.
    #[must_use]
    pub fn arm_salt(&self) -> String {
        format!("experiment:{}", self.name)
    }

    /// The arm that this version or variant is, if it is one.
    #[must_use]
    pub(crate) fn arm_of(&self, name: &str) -> Option<ExperimentArm> {
        match name {
            _ if name == self.arms.control.as_str() => Some(ExperimentArm::Control),
            _ if name == self.arms.treatment.as_str() => Some(ExperimentArm::Treatment),
            _ => None,
        }
    }

    /// Whether users that one of the two took in may be compared with those of the other: all but the share is the
    /// same.
    #[must_use]
    pub fn compares_like(&self, other: &Self) -> bool {
        let Self { name, subject, arms, share: _, segment, layer, requests } = self;
        *name == other.name
            && *subject == other.subject
            && *arms == other.arms
            && *segment == other.segment
            && *layer == other.layer
            && *requests == other.requests
    }
}

/// Whose versions or variants the arms of an experiment are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExperimentSubject {
    /// The versions of this service.
    Service(Name),
    /// The variants of this flag.
    Flag(Name),
}

impl ExperimentSubject {
    /// The name of the service or flag.
    #[must_use]
    pub fn name(&self) -> &Name {
        match self {
            Self::Service(name) | Self::Flag(name) => name,
        }
    }
}

/// The requests that metrics count, each by the metric's index. A clone is the same list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountedRequests(Arc<[(u16, RequestMatch)]>);

impl CountedRequests {
    /// Of these metrics.
    #[must_use]
    pub fn new(list: Vec<(u16, RequestMatch)>) -> Self {
        Self(list.into())
    }

    /// Whether no metric counts requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl CountsRequests for CountedRequests {
    fn asking(&self, method: &Method, path: &[u8]) -> u32 {
        let asking = self.0.iter().filter(|(_, counted)| counted.asks(method, path));
        asking.fold(0, |bits, (metric, _)| bits | bit(*metric))
    }

    fn counting(&self, asking: u32, status: u16) -> u32 {
        let counting = self.0.iter().filter(|(metric, counted)| asking & bit(*metric) != 0 && counted.counts(status));
        counting.fold(0, |bits, (metric, _)| bits | bit(*metric))
    }
}

/// A metric beyond the last bit has none; a config does not let it happen.
fn bit(metric: u16) -> u32 {
    1_u32.checked_shl(u32::from(metric)).unwrap_or(0)
}

/// Which requests count.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestMatch {
    /// Their methods; none: any.
    pub methods: Vec<Method>,
    /// What their path looks like; none: anything.
    pub path: Option<Pattern>,
    /// The statuses of their responses, at least one.
    pub statuses: Vec<StatusRange>,
}

impl RequestMatch {
    /// Whether a request counts.
    #[must_use]
    pub fn holds(&self, method: &Method, path: &[u8], status: u16) -> bool {
        self.asks(method, path) && self.counts(status)
    }

    /// Whether a request with this head may count.
    fn asks(&self, method: &Method, path: &[u8]) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && self.path.as_ref().is_none_or(|pattern| pattern.fits(path))
    }

    /// Whether one that may counts with this status.
    fn counts(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| (range.first..=range.last).contains(&status))
    }
}

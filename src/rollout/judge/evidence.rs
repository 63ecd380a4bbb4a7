//! What the judge is told each tick: counts by version and weight epoch.
//!
//! A *weight epoch* is a stretch of time with one split. A request is stamped with its epoch when it is assigned and
//! counted there when its outcome is known, which may be an epoch later: the odds of a bet are those of the moment
//! when the lot fell. So a tick brings a short list, most often of one entry.
//!
//! An outcome counts when it is known. Versions that fail at different speed, one at once and the other by timeouts,
//! are therefore compared with a lag of one timeout; begin to count with requests that were assigned after the
//! rollout began, on both sides.
//!
//! Counts, not requests: a worker adds to its own counters, the control plane sums the workers' increments, and
//! nothing is allocated for a tick.

use std::time::Duration;

use crate::shared::additive::additive;
use crate::shared::response_counters::ClassTotals;
use crate::shared::route_name::RouteName;
use crate::shared::user_sets::ActiveUsers;
use crate::table::Weight;

use super::endpoint_watch::EndpointCounts;
use super::pair_counts::PairCounts;
use super::per_version::PerVersion;
use super::quantiles::{LatencyCounts, Quantiles, Thresholds};

/// The probability that a judged request went to the candidate and not to the baseline, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct CandidateShare(f64);

impl CandidateShare {
    /// `None` outside 0 to 1.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The candidate's share of what both versions get together; `None` if they get nothing. A third version does not
    /// matter.
    #[must_use]
    pub fn of(candidate: Weight, baseline: Weight) -> Option<Self> {
        let both = f64::from(candidate.slots()) + f64::from(baseline.slots());
        (both > 0.0).then(|| Self(f64::from(candidate.slots()) / both))
    }

    /// That of a candidate with this weight, where the baseline has the rest.
    #[must_use]
    pub fn at(weight: Weight) -> Self {
        Self(weight.ratio())
    }

    /// That of requests that both versions get.
    #[must_use]
    pub(crate) fn of_pairs() -> Self {
        Self(0.5)
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }

    /// Whether both versions get requests, so that there is something to compare.
    #[must_use]
    pub fn compares(self) -> bool {
        self.0 > 0.0 && self.0 < 1.0
    }
}

/// What became of the judged requests of one version: first attempts that were assigned at random, and whose outcome
/// is known. See [`super`] for what is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// All of them.
    pub requests: u64,
    /// What the lot fell on: each of the requests, or with [`super::Assignment::PerKey`] each user who came for the
    /// first time in a step (and each request without a key).
    pub draws: u64,
    /// Those that failed by the upstream's fault.
    pub failures: u64,
    /// Those of the failures that count as evidence: all of them, or with [`super::Assignment::PerKey`] the first of
    /// each user in a window (and those without a key).
    pub counted_failures: u64,
    /// Users who had nothing but failures for longer than a burst, each once in a window.
    pub lost: u64,
}

impl OutcomeCounts {
    /// Of requests each of which is a draw of its own.
    #[must_use]
    pub fn of(requests: u64, failures: u64) -> Self {
        Self { requests, draws: requests, failures, counted_failures: failures, lost: 0 }
    }

    /// Those that did not fail.
    #[must_use]
    pub fn successes(&self) -> u64 {
        self.requests.saturating_sub(self.failures)
    }

    /// Those that count for a step at this share: where the lot falls, draws.
    #[must_use]
    pub fn judged(&self, share: CandidateShare) -> u64 {
        if share.compares() { self.draws } else { self.requests }
    }
}

additive!(OutcomeCounts { requests, draws, failures, counted_failures, lost });

/// What the last tick brought of one weight epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochCounts {
    /// The candidate's share in the epoch.
    pub share: CandidateShare,
    /// Outcomes.
    pub outcomes: PerVersion<OutcomeCounts>,
    /// Latencies by how many of the thresholds they exceed.
    pub latencies: PerVersion<LatencyCounts>,
    /// Responses by their classes.
    pub responses: PerVersion<ClassTotals>,
}

impl EpochCounts {
    /// Nothing yet, in an epoch with this share.
    #[must_use]
    pub fn none(share: CandidateShare) -> Self {
        Self {
            share,
            outcomes: PerVersion::default(),
            latencies: PerVersion::default(),
            responses: PerVersion::default(),
        }
    }
}

/// What the last tick brought of one weight epoch on one route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteCounts {
    /// The number of the route.
    pub number: usize,
    /// The candidate's share in the epoch.
    pub share: CandidateShare,
    /// Outcomes of its requests.
    pub outcomes: PerVersion<OutcomeCounts>,
    /// Their latencies by how many of the route's own thresholds they exceed.
    pub latencies: PerVersion<LatencyCounts>,
}

/// What a tick brings: increments since the tick before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence<'a> {
    /// By weight epoch, in any order.
    pub epochs: &'a [EpochCounts],
    /// The same by route, of those with requests.
    pub routes: &'a [RouteCounts],
    /// The routes that are told apart, by their numbers; more may come, and none goes.
    pub route_names: &'a [RouteName],
    /// The latencies of both versions at this time, for people.
    pub quantiles: Option<PerVersion<Quantiles>>,
    /// The thresholds that are in force, for people.
    pub thresholds: Option<Thresholds>,
    /// What was counted of the candidate's endpoints since the rollout began; none: nothing new.
    pub of_endpoints: &'a [EndpointCounts],
    /// The endpoints of both versions that serve; none: as many as before.
    pub endpoints: Option<PerVersion<u32>>,
    /// Once in a minute: the users who came in it.
    pub users: Option<ActiveUsers>,
    /// What came of requests that both versions got, while the plan mirrors.
    pub pairs: Option<PairCounts>,
    /// While one of the versions has only cold endpoints, so that nothing is judged: how long that will last.
    pub warm_up_left: Option<Duration>,
}

impl Evidence<'_> {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.epochs.iter().all(|epoch| *epoch == EpochCounts::none(epoch.share))
    }
}

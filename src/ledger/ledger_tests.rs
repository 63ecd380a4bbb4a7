//! An experiment and its users, for the tests of the ledger.

use std::sync::Arc;

use super::seen::TrialKey;
use crate::experiment::definition::{ExperimentSpec, MetricSource, MetricSpec};
use crate::experiment::estimate::Measure;
use crate::experiment::metric_result::{Better, MetricPlan};
use crate::experiment::name_hash::NameHash;
use crate::shared::name::Name;
use crate::shared::per_arm::{ExperimentArm, PerArm};
use crate::shared::probability::Probability;
use crate::table::Weight;
use crate::table::spec::experiment::{AssignmentSpec, CountedRequests, ExperimentSubject, RequestMatch};
use crate::table::spec::health_check::StatusRange;

const USERS_MAX: usize = 8;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(super) fn spec() -> Arc<ExperimentSpec> {
    spec_for(USERS_MAX)
}

/// The same, of at most this number of users.
pub(super) fn spec_for(users_max: usize) -> Arc<ExperimentSpec> {
    let metric = |name: &str, measure, source, denominator: Option<&str>| MetricSpec {
        plan: MetricPlan { name: name.to_owned(), measure, better: Better::Higher, guardrail: false },
        source,
        denominator: denominator.map(Box::from),
        window_ms: 1_000_000,
    };
    let value = || MetricSource::Event("value".into());
    let orders = RequestMatch { methods: Vec::new(), path: None, statuses: vec![StatusRange::SUCCESS] };
    Arc::new(ExperimentSpec {
        assignment: Arc::new(AssignmentSpec {
            name: name("button"),
            subject: ExperimentSubject::Service(name("shop")),
            arms: PerArm { control: name("v1"), treatment: name("v2") },
            share: Weight::FULL,
            segment: None,
            layer: None,
            requests: CountedRequests::default(),
        }),
        metrics: vec![
            metric("purchase", Measure::Conversion, MetricSource::Request(orders), None),
            metric("revenue", Measure::Mean, value(), None),
            metric("basket", Measure::Ratio, value(), Some("order")),
            metric("adjusted", Measure::AdjustedMean, value(), None),
        ],
        alpha: Probability::FIVE_PER_CENT,
        users_max,
    })
}

pub(super) fn run_key(since: u64) -> TrialKey {
    TrialKey::Experiment { name: name("button"), since }
}

pub(super) fn user(number: u32) -> NameHash {
    NameHash::of(&format!("user-{number}"))
}

pub(super) fn arm(treatment: bool) -> ExperimentArm {
    if treatment { ExperimentArm::Treatment } else { ExperimentArm::Control }
}

//! Vectors of other implementations, and what people read.

mod readings;
mod vectors;

use super::estimate::Measure;
use super::experiment_result::{ExperimentCounts, ExperimentResult, MetricCounts, ShareUsers};
use super::metric_result::{Better, MetricPlan, MetricResult, ShareSums};
use super::metric_sums::MetricSums;
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;

fn alpha() -> Probability {
    Probability::new(0.05).unwrap()
}

fn plan(name: &str, measure: Measure) -> MetricPlan {
    MetricPlan { name: name.to_owned(), measure, better: Better::Higher, guardrail: false }
}

/// Half of the users in each arm.
fn halves(control: MetricSums, treatment: MetricSums) -> Vec<ShareSums> {
    vec![ShareSums { share: Probability::HALF, arms: PerArm { control, treatment } }]
}

fn result(measure: Measure, control: MetricSums, treatment: MetricSums) -> MetricResult {
    MetricResult::of(&plan("m", measure), &halves(control, treatment), alpha())
}

fn conversions(control: [u64; 2], treatment: [u64; 2]) -> [MetricSums; 2] {
    [control, treatment].map(|[converted, users]| MetricSums::of_conversions(users, converted))
}

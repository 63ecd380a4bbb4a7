//! The result of one metric: both arms, their difference by both kinds of interval, and one sentence.

use super::always_valid::always_valid;
use super::effect::{Effect, EffectInterval};
use super::estimate::{ArmEstimate, Measure, StratumSums, estimate};
use super::fixed_horizon::fixed_horizon;
use super::metric_sums::MetricSums;
use super::rare_conversions::{ExactRatio, RareConversions};
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;

/// Fewer users in an arm, and fewer conversions where conversions are counted, are no normal distribution.
pub(crate) const ENOUGH: u64 = 100;

/// A finding while the interval is held back rests on the exact bet, at this part of alpha. It is a chance more to be
/// wrong beside the interval's, and few conversions that prove something at all prove it clearly.
const EARLY: f64 = 10.0;

/// What people call a metric, and what it is good for.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPlan {
    /// Its name.
    pub name: String,
    /// What of the sums is compared.
    pub measure: Measure,
    /// Which difference is good.
    pub better: Better,
    /// Whether it must not get worse, instead of being what is to get better.
    pub guardrail: bool,
}

/// Which difference is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Better {
    /// More of it: purchases.
    #[default]
    Higher,
    /// Less of it: complaints.
    Lower,
}

/// The sums of a metric while the treatment had one share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareSums {
    /// The share.
    pub share: Probability,
    /// The sums.
    pub arms: StratumSums,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricResult {
    /// What was asked.
    pub plan: MetricPlan,
    /// The sums of all users.
    pub sums: PerArm<MetricSums>,
    /// Both arms; none while there are too few users.
    pub arms: Option<PerArm<ArmEstimate>>,
    /// The difference; none while there are no arms to compare.
    pub absolute: Option<EffectResult>,
    /// The same as a part of the control; none also where the control is zero.
    pub relative: Option<EffectResult>,
    /// How many times as often users convert; of conversions only, and none before the first.
    pub exact: Option<ExactRatio>,
    /// What it comes to.
    pub finding: ExperimentFinding,
}

/// A difference with its intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EffectResult {
    /// The difference.
    pub effect: Effect,
    /// The interval that holds whenever one looks; none while there are too few users or conversions for it.
    pub always: Option<EffectInterval>,
    /// The interval for one look at a planned number of users.
    pub fixed: EffectInterval,
}

/// What a metric says, by the evidence that holds whenever one looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExperimentFinding {
    /// There are too few users or conversions to say anything.
    TooEarly(Missing),
    /// Both directions are possible still.
    Open,
    /// The treatment is better.
    TreatmentBetter,
    /// The treatment is worse.
    TreatmentWorse,
}

/// What there is too little of, in the arm that has least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It has only this many users.
    Users(u64),
    /// It has only this many conversions.
    Conversions(u64),
}

impl MetricResult {
    /// What the sums say.
    #[must_use]
    pub fn of(plan: &MetricPlan, sums: &[ShareSums], alpha: Probability) -> Self {
        let strata: Vec<_> = sums.iter().map(|sums| sums.arms).collect();
        let total = strata.iter().fold(PerArm::default(), |all: PerArm<MetricSums>, arms| PerArm {
            control: all.control.plus(&arms.control),
            treatment: all.treatment.plus(&arms.treatment),
        });
        let missing = missing(plan.measure, &total);
        let result = |effect: Effect| EffectResult {
            effect,
            always: missing.is_none().then(|| always_valid(&effect, alpha)),
            fixed: fixed_horizon(&effect, alpha),
        };
        let arms = estimate(plan.measure, &strata);
        let absolute = arms.as_ref().map(|arms| result(Effect::absolute(arms)));
        let relative = arms.as_ref().and_then(Effect::relative).map(result);
        let exact = (plan.measure == Measure::Conversion).then(|| exact(sums, alpha)).flatten();
        let early = exact.as_ref().filter(|exact| exact.p <= alpha.value() / EARLY);
        let direction = direction(missing, absolute.as_ref(), early);
        let finding = match (direction, plan.better, missing) {
            (Some(true), Better::Higher, _) | (Some(false), Better::Lower, _) => ExperimentFinding::TreatmentBetter,
            (Some(true), Better::Lower, _) | (Some(false), Better::Higher, _) => ExperimentFinding::TreatmentWorse,
            (None, _, Some(missing)) => ExperimentFinding::TooEarly(missing),
            (None, _, None) => ExperimentFinding::Open,
        };
        Self { plan: plan.clone(), sums: total, arms, absolute, relative, exact, finding }
    }

    /// Whether it must not get worse and has.
    #[must_use]
    pub fn breaks_guardrail(&self) -> bool {
        self.plan.guardrail && self.finding == ExperimentFinding::TreatmentWorse
    }
}

/// Whether the treatment has more; none while that is open.
fn direction(missing: Option<Missing>, absolute: Option<&EffectResult>, early: Option<&ExactRatio>) -> Option<bool> {
    if missing.is_some() {
        return early.map(|exact| exact.interval.low > 1.0);
    }
    let interval = absolute?.always?;
    interval.excludes_zero().then_some(interval.low > 0.0)
}

fn missing(measure: Measure, sums: &PerArm<MetricSums>) -> Option<Missing> {
    let users = sums.control.users.min(sums.treatment.users);
    if users < ENOUGH {
        return Some(Missing::Users(users));
    }
    if measure != Measure::Conversion {
        return None;
    }
    let converted = sums.map(conversions);
    let least = converted.control.min(converted.treatment);
    (least < ENOUGH).then_some(Missing::Conversions(least))
}

fn exact(sums: &[ShareSums], alpha: Probability) -> Option<ExactRatio> {
    let mut rare = RareConversions::default();
    for ShareSums { share, arms } in sums {
        rare.add(*share, arms.map(conversions));
    }
    rare.ratio(alpha)
}

/// Users that have converted.
pub(crate) fn conversions(sums: &MetricSums) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of zeros and ones")]
    let count = sums.x as u64;
    count
}

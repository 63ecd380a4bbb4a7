//! Whether the treatment is worse than is tolerated: the evidence of a guardrail of a release.
//!
//! An experiment asks of a difference in both directions. Here one direction is asked, with a margin: the hypothesis is
//! that the candidate is fine, and E is a bet against it that may be looked at whenever one likes. It reaches 1/alpha
//! with probability alpha at the most while the hypothesis is true.
//!
//! # Conversions: exact
//!
//! Only users who convert are needed. Of two versions with conversion rates `c` and `b`, a user who converts is the
//! candidate's with probability `w c/(w c + (1 - w) b)`, where `w` is the candidate's share of the users. Where more is
//! better the hypothesis is `c >= r0 b` with `r0 = 1 - tolerate`, and where less is better `c <= r0 b` with `r0 = 1 +
//! tolerate`. An alternative says that the ratio is `r`, which is worse:
//!
//! ```text
//! th0 = w r0/(w r0 + 1 - w)      th = w r/(w r + 1 - w)
//! candidate's conversion  th/th0           baseline's conversion  (1 - th)/(1 - th0)           E: their mean over r
//! ```
//!
//! The expected factor of a conversion is linear in the probability that it is the candidate's, and 1 at th0; so it is
//! at most 1 under the hypothesis, at any number of users, and however rates change with the hour. It is the bet of the
//! judge on failures, without what is granted there for bursts: users do not buy in bursts because a process pauses.
//!
//! # Values: asymptotic
//!
//! Of means and ratios the difference to what is tolerated, `candidate - r0 baseline`, has the bet of the always-valid
//! interval ([`super::always_valid`]). It mixes both directions evenly and counts in the bad one, where it is at most
//! the bet that mixes that direction alone.
//!
//! The variance is that of all users, since they are alike under the hypothesis. A small arm that lacks its few large
//! orders by chance has a small mean and a small variance of its own, and would prove harm by both. And few large
//! orders are not normally distributed: `(sum x)^2/(n sum of x^2)` is the part of the users that it would be if they
//! all were alike, all of those who spend the same, and one of ten where one of ten spends at all. Below [`ENOUGH`] of
//! them in an arm nothing is proved of a value. So a thin metric of money proves late; the conversion beside it proves
//! early.

use std::sync::Arc;

use super::always_valid::ln_evidence;
use super::effect::Effect;
use super::estimate::{ArmEstimate, Measure, estimate};
use super::experiment_result::{CROSSED_MAX, ExperimentCounts, MetricCounts};
use super::metric_result::{Better, ENOUGH, MetricResult, ShareSums, conversions};
use super::metric_sums::MetricSums;
use super::sample_ratio::SampleRatio;
use crate::rollout::judge::guardrail::{ArmNumber, Guardrail, GuardrailArm, GuardrailFinding, GuardrailStanding};
use crate::rollout::judge::ratio::RatioInterval;
use crate::rollout::judge::wealth::ln_sum;
use crate::rollout::judge::{CandidateShare, JudgeSettings, PerVersion};
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;

/// How many times the tolerated ratio the true one may be, where more is better; its inverse where less is.
const WORSE: [f64; 8] = [0.95, 0.9, 0.8, 0.65, 0.5, 0.3, 0.1, 0.02];

/// Fewer conversions than this on the side that has too many are an anecdote.
const CONVERSIONS_MIN: u64 = 3;

/// What a release asks of its guardrails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardrailTerms<'a> {
    /// The candidate's share in the step.
    pub(crate) share: CandidateShare,
    /// How sure it has to be.
    pub(crate) settings: &'a JudgeSettings,
}

/// What the counts of a step say of its guardrails; the metrics of the counts are theirs, in their order.
#[must_use]
pub(crate) fn findings(
    guardrails: &[Arc<Guardrail>],
    counts: &ExperimentCounts,
    terms: GuardrailTerms<'_>,
) -> Vec<GuardrailFinding> {
    let mut ratio = SampleRatio::default();
    let mut users = PerArm::<u64>::default();
    for seen in &counts.users {
        ratio.add(seen.share, seen.users);
        users.control += seen.users.control;
        users.treatment += seen.users.treatment;
    }
    // Who was seen in both arms is in no sum: of services that draw apart hardly anybody is left, and not by the share.
    let lopsided = ratio.alarms() || counts.crossed as f64 > CROSSED_MAX * counts.seen as f64;
    let finding = |(guardrail, metric): (&Arc<Guardrail>, &MetricCounts)| {
        let evidence = Harm::of(guardrail, metric, terms.settings.ln_guardrail());
        let standing = evidence.standing(lopsided, guardrail, users, terms);
        GuardrailFinding {
            guardrail: Arc::clone(guardrail),
            share: terms.share,
            standing,
            arms: evidence.arms(users),
            times: evidence.times,
            ln_e: evidence.ln_e,
            ln_alarm: terms.settings.ln_guardrail(),
        }
    };
    guardrails.iter().zip(&counts.metrics).map(finding).collect()
}

/// How much speaks for harm, and what it is made of.
struct Harm {
    ln_e: f64,
    numbers: PerArm<ArmNumber>,
    times: Option<RatioInterval>,
    /// Whether the totals say it too.
    is_told: bool,
}

impl Harm {
    fn of(guardrail: &Guardrail, metric: &MetricCounts, ln_alarm: f64) -> Self {
        let result = MetricResult::of(&metric.plan, &metric.sums, Probability::FIVE_PER_CENT);
        let tolerated =
            Tolerated { worse_is_less: metric.plan.better == Better::Higher, by: guardrail.tolerate.value() };
        if metric.plan.measure == Measure::Conversion {
            return Self::of_conversions(tolerated, &metric.sums, &result);
        }
        let strata: Vec<_> = metric.sums.iter().map(|sums| sums.arms).collect();
        let arms = estimate(metric.plan.measure, &strata);
        let usable = arms.filter(|_| is_enough(&result.sums));
        let all = result.sums.control.plus(&result.sums.treatment);
        let of_all = estimate(metric.plan.measure, &[PerArm { control: all, treatment: all }]);
        let variance = of_all.map(|of_all| of_all.control.variance * all.count());
        let difference = usable.zip(variance).map(|(arms, variance)| tolerated.difference(&arms, variance));
        let difference = difference.filter(|effect| effect.variance > 0.0);
        let alpha = Probability::new((-ln_alarm).exp()).unwrap_or(Probability::FIVE_PER_CENT);
        let bad = difference.filter(|effect| tolerated.is_bad(effect.value));
        let number = |mean: f64| ArmNumber::Mean(mean);
        let numbers = arms.map(|arms| arms.map(|arm| number(arm.mean))).unwrap_or_default();
        let relative = result.relative.and_then(|effect| effect.always);
        let times = relative.map(|interval| RatioInterval { low: 1.0 + interval.low, high: 1.0 + interval.high });
        Self { ln_e: bad.map_or(0.0, |effect| ln_evidence(&effect, alpha)), numbers, times, is_told: bad.is_some() }
    }

    fn of_conversions(tolerated: Tolerated, sums: &[ShareSums], result: &MetricResult) -> Self {
        let converted = result.sums.map(conversions);
        let too_many = if tolerated.worse_is_less { converted.control } else { converted.treatment };
        let rate = |sums: &MetricSums| if sums.users == 0 { 0.0 } else { sums.mean_x() };
        let beyond = rate(&result.sums.treatment) - tolerated.ratio() * rate(&result.sums.control);
        Self {
            ln_e: ln_conversions(tolerated, sums),
            numbers: converted.map(|count| ArmNumber::Conversions(*count)),
            times: result.exact.map(|exact| exact.interval),
            is_told: too_many >= CONVERSIONS_MIN && tolerated.is_bad(beyond),
        }
    }

    fn standing(
        &self,
        lopsided: bool,
        guardrail: &Guardrail,
        users: PerArm<u64>,
        terms: GuardrailTerms<'_>,
    ) -> GuardrailStanding {
        if lopsided {
            GuardrailStanding::Lopsided
        } else if self.is_told && self.ln_e >= terms.settings.ln_guardrail() {
            GuardrailStanding::Worse
        } else if self.ln_e >= terms.settings.ln_suspicion() {
            GuardrailStanding::Suspected
        } else if users.control.min(users.treatment) < guardrail.users_min {
            GuardrailStanding::TooFewUsers
        } else {
            GuardrailStanding::Unharmed
        }
    }

    fn arms(&self, users: PerArm<u64>) -> PerVersion<GuardrailArm> {
        PerVersion {
            candidate: GuardrailArm { users: users.treatment, number: self.numbers.treatment },
            baseline: GuardrailArm { users: users.control, number: self.numbers.control },
        }
    }
}

/// What is tolerated.
#[derive(Clone, Copy)]
struct Tolerated {
    worse_is_less: bool,
    by: f64,
}

impl Tolerated {
    /// How many times the baseline's number is tolerated.
    fn ratio(self) -> f64 {
        if self.worse_is_less { 1.0 - self.by } else { 1.0 + self.by }
    }

    /// How many times that an alternative is.
    fn times(self, worse: f64) -> f64 {
        if self.worse_is_less { worse } else { 1.0 / worse }
    }

    /// Whether a difference to what is tolerated is on the bad side.
    fn is_bad(self, difference: f64) -> bool {
        if self.worse_is_less { difference < 0.0 } else { difference > 0.0 }
    }

    /// What the candidate has beyond what is tolerated, where a user's value has this variance. Of a negative number,
    /// too, less is on the bad side.
    fn difference(self, arms: &PerArm<ArmEstimate>, variance: f64) -> Effect {
        let away = if arms.control.mean < 0.0 { 2.0 - self.ratio() } else { self.ratio() };
        let of = |arm: &ArmEstimate, times: f64| ArmEstimate {
            mean: times * arm.mean,
            variance: times * times * variance / arm.users as f64,
            ..*arm
        };
        Effect::absolute(&PerArm { control: of(&arms.control, away), treatment: of(&arms.treatment, 1.0) })
    }
}

/// ln E of users who have converted, by share.
fn ln_conversions(tolerated: Tolerated, sums: &[ShareSums]) -> f64 {
    let of_alternative = |worse: &f64| {
        let of_share = |sums: &ShareSums| {
            let (w, converted) = (sums.share.value(), sums.arms.map(conversions));
            let odds = |ratio: f64| (w * ratio / (w * ratio + 1.0 - w)).ln();
            let against = |ratio: f64| ((1.0 - w) / (w * ratio + 1.0 - w)).ln();
            let (null, suspected) = (tolerated.ratio(), tolerated.ratio() * tolerated.times(*worse));
            converted.treatment as f64 * (odds(suspected) - odds(null))
                + converted.control as f64 * (against(suspected) - against(null))
        };
        sums.iter().map(of_share).sum::<f64>() - (WORSE.len() as f64).ln()
    };
    ln_sum(WORSE.iter().map(of_alternative))
}

/// Whether the smaller arm has enough users, counted as if all were alike.
fn is_enough(sums: &PerArm<MetricSums>) -> bool {
    let all = sums.control.plus(&sums.treatment);
    let part = if all.x_squares > 0.0 { all.x * all.x / (all.x_squares * all.count()) } else { 0.0 };
    sums.control.users.min(sums.treatment.users) as f64 * part >= ENOUGH as f64
}

#[cfg(test)]
mod tests;

//! Results in one sentence each, in words that need no statistics.

use super::effect::EffectInterval;
use super::estimate::Measure;
use super::experiment_result::{ExperimentResult, ExperimentWarning};
use super::metric_result::{ENOUGH, ExperimentFinding, MetricResult, Missing};

/// All of a result in one sentence: what is wrong with the experiment, else a broken guardrail, else the first metric
/// that has come to a finding, else the first.
#[must_use]
pub(crate) fn headline(result: &ExperimentResult) -> String {
    if !result.is_comparable() {
        return of_warning(result, ExperimentWarning::SampleRatio);
    }
    let found = |metric: &&MetricResult| {
        matches!(metric.finding, ExperimentFinding::TreatmentBetter | ExperimentFinding::TreatmentWorse)
    };
    let broken = result.metrics.iter().find(|metric| metric.breaks_guardrail());
    let goals = || result.metrics.iter().filter(|metric| !metric.plan.guardrail);
    match broken.or_else(|| goals().find(found)).or_else(|| goals().next()).or(result.metrics.first()) {
        Some(metric) => of_metric(result, metric),
        None => without_metrics(result),
    }
}

/// What a metric says.
#[must_use]
pub(crate) fn of_metric(result: &ExperimentResult, metric: &MetricResult) -> String {
    let (control, treatment) = (&result.names.control, &result.names.treatment);
    let seen = seen(result, metric);
    let name = &metric.plan.name;
    let guardrail = if metric.plan.guardrail { "guardrail " } else { "" };
    match metric.finding {
        ExperimentFinding::TooEarly(Missing::Users(users)) => {
            format!("{guardrail}{name}: too early, {users} of {ENOUGH} users in the smaller arm so far{seen}")
        }
        ExperimentFinding::TooEarly(Missing::Conversions(count)) => {
            let so_far = format!("{count} of {ENOUGH} conversions in the arm with fewer so far");
            format!("{guardrail}{name}: too early, {so_far}{seen}")
        }
        ExperimentFinding::Open => {
            let holds = if metric.plan.guardrail { "no harm is proved" } else { "not decided" };
            format!("{guardrail}{name}: {holds}{seen}{}", range(result, metric))
        }
        ExperimentFinding::TreatmentBetter => {
            format!("{guardrail}{name}: {treatment} is better than {control}{seen}{}", range(result, metric))
        }
        ExperimentFinding::TreatmentWorse => {
            let broken = if metric.plan.guardrail { ", which it must not be" } else { "" };
            format!("{guardrail}{name}: {treatment} is worse than {control}{broken}{seen}{}", range(result, metric))
        }
    }
}

/// What is wrong with the experiment.
#[must_use]
pub(crate) fn of_warning(result: &ExperimentResult, warning: ExperimentWarning) -> String {
    let users = &result.users;
    match warning {
        ExperimentWarning::SampleRatio => {
            let odds = odds(result.sample_ratio.ln_evidence());
            format!(
                "do not compare the arms: {} users in {} and {} in {} are not what was planned (odds of chance below 1 in \
                 {odds}); something loses or moves users of one arm",
                users.control, result.names.control, users.treatment, result.names.treatment
            )
        }
        ExperimentWarning::Crossed(part) => format!(
            "{} of {} users ({}) were seen in both arms and are left out; something does not keep users where they are",
            result.crossed,
            result.seen,
            percent(part)
        ),
        ExperimentWarning::Full(turned_away) => format!(
            "the experiment is full: it admits no more users, and {turned_away} exposures of others are not in it"
        ),
    }
}

/// Of an experiment that measures nothing.
fn without_metrics(result: &ExperimentResult) -> String {
    let users = &result.users;
    let (control, treatment) = (&result.names.control, &result.names.treatment);
    format!("{} users in {control} and {} in {treatment}, no metric to compare", users.control, users.treatment)
}

/// ` (13 % in treatment, 10 % in control)`
fn seen(result: &ExperimentResult, metric: &MetricResult) -> String {
    let Some(arms) = &metric.arms else { return String::new() };
    let number = |value: f64| match metric.plan.measure {
        Measure::Conversion => percent(value),
        Measure::Mean | Measure::AdjustedMean | Measure::Ratio => significant(value),
    };
    let (treatment, control) = (number(arms.treatment.mean), number(arms.control.mean));
    format!(" ({treatment} in {}, {control} in {})", result.names.treatment, result.names.control)
}

/// `; the difference is -20.9 % to +80.9 % of control (95 %, whenever you look)`
fn range(result: &ExperimentResult, metric: &MetricResult) -> String {
    let confidence = significant(100.0 * (1.0 - result.alpha));
    let control = &result.names.control;
    let relative = metric.relative.as_ref().and_then(|effect| effect.always);
    let absolute = metric.absolute.as_ref().and_then(|effect| effect.always);
    // The relative interval is not exactly the other one in other units: one may hold zero, just, and the other not.
    let same_side = |interval: &EffectInterval| {
        absolute.is_some_and(|absolute| absolute.excludes_zero() == interval.excludes_zero())
    };
    match (relative.filter(same_side), absolute, metric.exact) {
        (Some(interval), _, _) => format!(
            "; the difference is {} to {} of {control} ({confidence} %, whenever you look)",
            signed_percent(interval.low),
            signed_percent(interval.high)
        ),
        (None, Some(interval), _) => format!(
            "; the difference is {} to {} ({confidence} %, whenever you look)",
            significant(interval.low),
            significant(interval.high)
        ),
        (None, None, Some(exact)) => {
            let high = exact.interval.high;
            let high = if high.is_finite() { significant(high) } else { "any number".to_owned() };
            let low = significant(exact.interval.low);
            format!("; {low} to {high} times as often as in {control} ({confidence} %, whenever you look)")
        }
        (None, None, None) => String::new(),
    }
}

/// How many to one it is, in words that are read at one sight.
fn odds(ln_evidence: f64) -> String {
    let exponent = (ln_evidence / std::f64::consts::LN_10).floor();
    match exponent {
        e if e < 6.0 => thousands(10_f64.powf(e)),
        e if e < 9.0 => "a million".to_owned(),
        _ => "a thousand million".to_owned(),
    }
}

fn thousands(number: f64) -> String {
    if number < 1000.0 { format!("{number}") } else { format!("{},000", (number / 1000.0).floor()) }
}

/// A part as per cent, with three digits that mean something.
#[must_use]
pub(crate) fn percent(part: f64) -> String {
    format!("{} %", significant(100.0 * part))
}

fn signed_percent(part: f64) -> String {
    let text = percent(part);
    if part > 0.0 { format!("+{text}") } else { text }
}

/// A number with three digits that mean something, more only in front of the point.
#[must_use]
pub(crate) fn significant(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return if number == 0.0 { "0".to_owned() } else { number.to_string() };
    }
    let magnitude = number.abs().log10().floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 12")]
    let decimals = (2.0 - magnitude).clamp(0.0, 12.0) as usize;
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

//! A decision in one sentence with its numbers, as it is shown, logged and kept.
//!
//! An operator who is woken by it should not have to open anything else: what was done to which version, on how many
//! requests of both, and how sure that is. The odds are the promise (1/alpha), not the E of the moment, which is a
//! matter of when one looked.

mod found;

use std::time::Duration;

use self::found::{on_endpoint, on_endpoint_or, responses_text, route_text};
use super::baseline_health::RECENT;
use super::evidence::OutcomeCounts;
use super::figures::{percent, thousands};
use super::guardrail::{GuardrailFinding, GuardrailStanding};
use super::guardrail_text;
use super::judge_settings::JudgeSettings;
use super::metric_text;
use super::per_version::PerVersion;
use super::quantiles::{LatencyCounts, QUANTILES};
use super::stretch::{Stretch, Totals};
use super::verdict::{HoldReason, InCharge, JudgeDecision, JudgeFindings, Names, RollbackCause};

/// The summary.
pub(crate) fn of(decision: JudgeDecision, findings: &JudgeFindings, settings: &JudgeSettings, names: &Names) -> String {
    let Names { service, candidate, .. } = names;
    match decision {
        // No matter of chance: nothing is known of that.
        JudgeDecision::RollBack(RollbackCause::Metric) => {
            format!("rolled back {service} {candidate}: {}", metric_text::leading(findings, names))
        }
        JudgeDecision::RollBack(cause) => {
            let odds = thousands((1.0 / settings.alpha.value()).round());
            let why = cause_text(cause, Said::Proved, findings, settings, names);
            format!(
                "rolled back {service} {candidate}: {why}, odds of chance below 1 in {odds}{}",
                decider(cause, findings, settings)
            )
        }
        JudgeDecision::Advance => {
            let (errors, guardrails) = (errors_text(findings, names), guardrail_text::all(findings, names));
            format!("advanced {service} {candidate}: {errors}, E {}{guardrails}", e_text(findings))
        }
        JudgeDecision::Hold { why, expired } => {
            let last = if expired { ", held as long as allowed" } else { "" };
            format!("holding {service} {candidate}: {}{last}", hold_text(why, findings, settings, names))
        }
    }
}

/// The same where nothing is done about it any more: what was found, and why nothing follows.
pub(crate) fn looking_on(
    in_charge: InCharge,
    decision: JudgeDecision,
    findings: &JudgeFindings,
    settings: &JudgeSettings,
    names: &Names,
) -> String {
    let Names { service, candidate, .. } = names;
    let why = if in_charge == InCharge::Operator {
        "an operator has changed what it moves by hand, so nothing is done"
    } else {
        "it is on its way back"
    };
    match decision {
        JudgeDecision::RollBack(RollbackCause::Metric) => {
            format!("{service} {candidate} is worse: {}; {why}", metric_text::leading(findings, names))
        }
        JudgeDecision::RollBack(cause) => {
            let odds = thousands((1.0 / settings.alpha.value()).round());
            let found = cause_text(cause, Said::Proved, findings, settings, names);
            format!("{service} {candidate} is worse: {found}, odds of chance below 1 in {odds}; {why}")
        }
        JudgeDecision::Advance | JudgeDecision::Hold { .. } => {
            format!("watching {service} {candidate}: {}, E {}; {why}", errors_text(findings, names), e_text(findings))
        }
    }
}

/// What proves that the candidate is worse, without what is done about it.
pub(crate) fn proof(cause: RollbackCause, findings: &JudgeFindings, settings: &JudgeSettings, names: &Names) -> String {
    cause_text(cause, Said::Proved, findings, settings, names)
}

fn cause_text(
    cause: RollbackCause,
    said: Said,
    findings: &JudgeFindings,
    settings: &JudgeSettings,
    names: &Names,
) -> String {
    match cause {
        RollbackCause::Errors => late_errors_text(findings, names),
        RollbackCause::Latency => latency_text(findings, settings, names),
        RollbackCause::FailureCeiling => {
            let allowed = findings.ceilings.failures.map_or(0.0, |ceiling| ceiling.value());
            let counted = CountedPart::of(findings, |totals| {
                let counts = totals.outcomes.candidate;
                (counts.failures, counts.requests)
            });
            let failed = with_users(counted.text("requests failed"), &counted_failures(findings));
            let (sure, whose) =
                (beyond(said, counted.found(), allowed), whose(settings.ceilings.failures.as_ref(), names));
            format!("{failed}{} {sure}{whose}{}", on_endpoint_or(",", findings), counted.before())
        }
        RollbackCause::Responses => responses_text(findings, names),
        RollbackCause::Metric => metric_text::leading(findings, names),
        RollbackCause::Guardrail => guardrail_text::leading(findings, names),
        RollbackCause::Route => route_text(findings, settings, names),
        RollbackCause::SlowCeiling => {
            let ceiling = findings.ceilings.slow;
            let (limit, allowed) =
                ceiling.map_or((Duration::ZERO, 0.0), |ceiling| (ceiling.longer_than, ceiling.at_most.value()));
            let counted = CountedPart::of(findings, |totals| {
                let counts = totals.latencies.candidate;
                (counts.slow, counts.timed)
            });
            let slow = counted.text(&format!("requests took longer than {}", time(limit)));
            let (sure, whose) = (beyond(said, counted.found(), allowed), whose(settings.ceilings.slow.as_ref(), names));
            format!("{slow}, {sure}{whose}{}", counted.before())
        }
    }
}

/// Some requests of all, in the stretch that proves it if that is a late one, and before it.
struct CountedPart {
    some: u64,
    all: u64,
    /// How long the stretch is, and what was before it.
    late: Option<(Duration, [u64; 2])>,
}

impl CountedPart {
    fn of(findings: &JudgeFindings, counts: impl Fn(&Totals) -> (u64, u64)) -> Self {
        match &findings.stretch {
            Some(Stretch { before, found }) => {
                let ((some, all), (some_before, all_before)) = (counts(found), counts(before));
                Self { some, all, late: Some((found.at, [some_before, all_before])) }
            }
            None => {
                let totals = Totals { at: Duration::ZERO, outcomes: findings.outcomes, latencies: findings.latencies };
                let (some, all) = counts(&totals);
                Self { some, all, late: None }
            }
        }
    }

    fn found(&self) -> f64 {
        ratio(self.some, self.all)
    }

    /// `9 of 212 requests failed (4.2 %)`, `8 of the last 21 requests failed in 0.9 s (38 %)`.
    fn text(&self, what: &str) -> String {
        let Some((took, _)) = self.late else { return part(self.some, self.all, what) };
        let [some, all] = [self.some, self.all].map(|count| thousands(count as f64));
        format!("{some} of the last {all} {what} in {} ({})", time(took), percent(self.found()))
    }

    /// `, after 17 of 2,235 before`; nothing where nothing could be counted, as of latencies without a threshold.
    fn before(&self) -> String {
        match self.late {
            None | Some((_, [_, 0])) => String::new(),
            Some((_, [some, all])) => format!(", after {} of {} before", thousands(some as f64), thousands(all as f64)),
        }
    }
}

/// The candidate's failures in the stretch, or in all.
fn counted_failures(findings: &JudgeFindings) -> OutcomeCounts {
    findings.stretch.map_or(findings.outcomes, |stretch| stretch.found.outcomes).candidate
}

/// Where a ceiling comes from.
fn whose<T>(of_the_plan: Option<&T>, names: &Names) -> String {
    if of_the_plan.is_some() { String::new() } else { format!(" by what {} did", names.baseline) }
}

/// `9 of 212 requests failed (4.2 %) against 21 of 20,340 (0.1 %) on v1`.
pub(crate) fn errors_text(findings: &JudgeFindings, names: &Names) -> String {
    let candidate = failed_text(&findings.outcomes.candidate, "requests failed");
    let baseline = failed_text(&findings.outcomes.baseline, "");
    format!("{candidate} against {baseline} on {}", names.baseline)
}

/// The same of the stretch that proves it, with what was before.
fn late_errors_text(findings: &JudgeFindings, names: &Names) -> String {
    let counted = CountedPart::of(findings, |totals| {
        let counts = totals.outcomes.candidate;
        (counts.failures, counts.requests)
    });
    let candidate = with_users(counted.text("requests failed"), &counted_failures(findings));
    let outcomes = findings.stretch.map_or(findings.outcomes, |stretch| stretch.found.outcomes);
    let baseline = failed_text(&outcomes.baseline, "");
    let lost = lost_text(findings, &outcomes);
    let (on, versus) = (on_endpoint(findings), names.baseline);
    format!("{candidate}{on} against {baseline} on {versus}{lost}{}", counted.before())
}

/// The users who are lost, if that is what speaks.
fn lost_text(findings: &JudgeFindings, counts: &PerVersion<OutcomeCounts>) -> String {
    if !findings.standing.lost_users_lead() {
        return String::new();
    }
    let (candidate, baseline) = (thousands(counts.candidate.lost as f64), thousands(counts.baseline.lost as f64));
    format!(", {candidate} users against {baseline} had nothing but failures")
}

/// The number that decided, where it is not that of each request for itself.
fn decider(cause: RollbackCause, findings: &JudgeFindings, settings: &JudgeSettings) -> String {
    if settings.tolerate_burst.is_zero() || cause == RollbackCause::Guardrail {
        return String::new();
    }
    let (e, burst) = (number_text(findings.standing.highest()), time(settings.tolerate_burst));
    format!(" (E {e}, a burst of {burst} counts once)")
}

/// `9 of 212 requests failed (4.2 %)`, with the number of users where they are counted once.
fn failed_text(counts: &OutcomeCounts, what: &str) -> String {
    with_users(part(counts.failures, counts.requests, what), counts)
}

fn with_users(text: String, counts: &OutcomeCounts) -> String {
    if counts.counted_failures == counts.failures {
        text
    } else {
        format!("{} of {} users", text, thousands(counts.counted_failures as f64))
    }
}

fn latency_text(findings: &JudgeFindings, settings: &JudgeSettings, names: &Names) -> String {
    let quantile = findings.leading_quantile;
    let above = |counts: &LatencyCounts| (counts.above(quantile), counts.compared(quantile));
    let times = settings.slower.map_or(1.0, |slower| slower.value());
    let what = format!("requests took more than {times} times the {} of {}", quantile_name(quantile), names.baseline);
    let counted = CountedPart::of(findings, |totals| above(&totals.latencies.candidate));
    let latencies = findings.stretch.map_or(findings.latencies, |stretch| stretch.found.latencies);
    let (some, all) = above(&latencies.baseline);
    let baseline = part(some, all, "above it");
    let quantiles = findings.quantiles.map_or_else(String::new, |both| {
        let list = |quantiles: &super::quantiles::Quantiles| quantiles.0.map(time).join("/");
        format!(", p50/p90/p99 {} against {}", list(&both.candidate), list(&both.baseline))
    });
    let (on, versus) = (on_endpoint(findings), names.baseline);
    format!("{}{on} against {baseline} on {versus}{}{quantiles}", counted.text(&what), counted.before())
}

/// Why neither is proved, without what is done about it.
pub(crate) fn hold_text(why: HoldReason, findings: &JudgeFindings, settings: &JudgeSettings, names: &Names) -> String {
    match why {
        HoldReason::Suspicion => {
            // Of the test that speaks: a ceiling does not compare with the other version.
            let leading = cause_text(findings.standing.leading(), Said::Hinted, findings, settings, names);
            let hint = number_text(settings.ln_suspicion());
            format!("{hint} <= E ({}): {leading}", e_text(findings))
        }
        HoldReason::Responses => format!("{}: promote or abort", responses_text(findings, names)),
        HoldReason::Metric | HoldReason::NoMetricData => metric_text::leading(findings, names),
        HoldReason::Guardrail => guardrail_hold(findings, names),
        HoldReason::NoGuardrailData => guardrail_text::leading(findings, names),
        HoldReason::Budget => findings.budget.map_or_else(String::new, |budget| budget.text()),
        HoldReason::SilentReplica => findings.silent.as_deref().unwrap_or_default().to_owned(),
        // Said of pairs only, by their own words.
        HoldReason::Differences => "responses to copies differ".to_owned(),
        HoldReason::BaselineUnhealthy => {
            let (requests, failures) = findings.baseline_recent;
            let failed = part(failures, requests, &format!("requests of {} failed", names.baseline));
            format!("baseline ill: {failed} in the last {}", time(RECENT))
        }
        HoldReason::WarmingUp => {
            let left = findings.warm_up_left.map_or(0.0, |left| left.as_secs_f64().ceil());
            format!("warming up, {left:.0} s left")
        }
        HoldReason::Baking => format!("baking: {}, E {}", errors_text(findings, names), e_text(findings)),
        HoldReason::NotEnoughData { judged, needed: Some(needed) } => {
            let drawn = drawn(findings);
            let left =
                findings.time_to(needed).map_or_else(String::new, |left| format!(", about {} more", about(left)));
            format!("not enough data: {} of {} {drawn}{left}", thousands(judged as f64), thousands(needed as f64))
        }
        HoldReason::NotEnoughData { judged, needed: None } => {
            let baseline = failed_text(&findings.outcomes.baseline, "requests failed");
            let (judged, drawn) = (thousands(judged as f64), drawn(findings));
            format!(
                "not enough data: {judged} {drawn}, and no number is enough beside {}, where {baseline}",
                names.baseline
            )
        }
    }
}

/// What a guardrail says against the candidate, with the hint where that is one.
fn guardrail_hold(findings: &JudgeFindings, names: &Names) -> String {
    let text = guardrail_text::leading(findings, names);
    let hints = |found: &GuardrailFinding| found.standing == GuardrailStanding::Suspected;
    if findings.guardrail.as_ref().is_some_and(hints) { format!("10 <= E: {text}") } else { text }
}

/// What is counted: what the lot fell on.
fn drawn(findings: &JudgeFindings) -> &'static str {
    if findings.counts_users() { "users" } else { "requests" }
}

fn quantile_name(quantile: usize) -> String {
    if quantile == 0 { "median".to_owned() } else { format!("{}th percentile", QUANTILES[quantile] * 100.0) }
}

/// How sure a summary is of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It is proved.
    Proved,
    /// There is a hint.
    Hinted,
}

/// That a part is more than a ceiling allows. The totals are of the whole rollout; what a test has seen may be its last
/// stretch, and then the totals do not say so.
fn beyond(said: Said, found: f64, allowed: f64) -> String {
    let text = match (said, found > allowed) {
        (Said::Proved, true) => "more than the allowed",
        (Said::Proved, false) => "lately more than the allowed",
        (Said::Hinted, true) => "where the plan allows",
        (Said::Hinted, false) => "lately more, where the plan allows",
    };
    format!("{text} {}", percent(allowed))
}

fn ratio(some: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

/// `9 of 212 requests failed (4.2 %)`.
pub(crate) fn part(some: u64, all: u64, what: &str) -> String {
    let space = if what.is_empty() { "" } else { " " };
    format!("{} of {}{space}{what} ({})", thousands(some as f64), thousands(all as f64), percent(ratio(some, all)))
}

/// The E that an alarm would be raised on, and which one if it is a ceiling's.
fn e_text(findings: &JudgeFindings) -> String {
    let number = number_text(findings.standing.highest());
    match findings.standing.leading() {
        RollbackCause::Errors | RollbackCause::Latency | RollbackCause::Metric | RollbackCause::Guardrail => number,
        RollbackCause::FailureCeiling => format!("{number} for errors_max"),
        RollbackCause::SlowCeiling => format!("{number} for slow_max"),
        RollbackCause::Responses => format!("{number} for responses"),
        RollbackCause::Route => format!("{number} for a route"),
    }
}

/// A number by its logarithm, with two significant digits below 10.
pub(crate) fn number_text(ln: f64) -> String {
    let e = ln.exp();
    if ln > 100.0 {
        format!("10^{:.0}", ln / std::f64::consts::LN_10)
    } else if e >= 10.0 {
        thousands(e.floor())
    } else if e >= 0.01 {
        format!("{e:.2}")
    } else {
        "below 0.01".to_owned()
    }
}

/// `84 ms`, `1.2 s`.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 0.001 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    let text = if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// A time as people say it: `40 s`, `12 min`, `19 h`, `3 days`.
#[must_use]
pub(crate) fn about(time: Duration) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    match time.as_secs_f64() {
        s if s < 90.0 => format!("{:.0} s", s.ceil()),
        s if s < 90.0 * MINUTE => format!("{:.0} min", s / MINUTE),
        s if s < 10.0 * HOUR => format!("{:.1} h", s / HOUR),
        s if s < 48.0 * HOUR => format!("{:.0} h", s / HOUR),
        s => format!("{:.0} days", s / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let said = [0, 40, 100, 2_400, 6_000, 68_400, 260_000].map(|seconds| about(Duration::from_secs(seconds)));
        assert_eq!(said, ["0 s", "40 s", "2 min", "40 min", "1.7 h", "19 h", "3 days"]);
    }

    #[test]
    fn what_could_not_be_counted_before_a_stretch_is_not_told() {
        let part = |before| CountedPart { some: 17, all: 20, late: Some((Duration::from_secs(12), before)) };
        assert_eq!(part([1, 2_235]).before(), ", after 1 of 2,235 before");
        assert_eq!(part([0, 0]).before(), "");
    }
}

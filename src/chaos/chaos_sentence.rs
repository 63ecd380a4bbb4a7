//! A run in one sentence with its numbers, as it is shown, told and kept.
//!
//! Its requests and users are those of the slices beside it. The judge has another number of users: how many of the
//! failures are evidence, of which an address or a user has one in a while. That is no number of people.

use super::chaos_ending::{ChaosEndedBy, ChaosEnding, ChaosState};
use super::chaos_run::{ChaosEnd, ChaosInjection, ChaosRun, PerSlice};
use super::chaos_time::written;
use crate::rollout::judge::figures::{percent, thousands};
use crate::rollout::judge::verdict::JudgeFindings;
use crate::rollout::judge::{HoldReason, Names, summary};
use crate::shared::fault_stats::SliceTotals;

/// The sentence; `totals` is what was counted since the fault is done.
#[must_use]
pub(super) fn of(run: &ChaosRun, totals: &PerSlice) -> String {
    let name = &run.definition().name;
    match (&run.end, &run.injection) {
        (None, None) => {
            let SliceTotals { requests, failed, .. } = run.before();
            let begins = written(run.started.later(run.definition().baseline).at);
            format!("{name}: {} before the fault, which begins at {begins}", failures(failed, requests))
        }
        (None, Some(injection)) => {
            let until = written(injection.until.at);
            format!("{name}: {}, until {until} at the latest", comparison(run, injection, totals))
        }
        (Some(end), None) => format!("{name}: {} before the fault began: {}", end.ending.text(), why(end)),
        (Some(end), Some(injection)) => ended(run, injection, end, totals),
    }
}

/// Of a run that the end of the process has ended.
#[must_use]
pub(super) fn of_restart(name: &str, state: ChaosState) -> String {
    let when = if state == ChaosState::Baseline { " before the fault began" } else { "" };
    format!("{name}: {}{when}: {}", ChaosEnding::NotEnoughData.text(), ChaosEndedBy::Restart.text())
}

fn ended(run: &ChaosRun, injection: &ChaosInjection, end: &ChaosEnd, totals: &PerSlice) -> String {
    let name = &run.definition().name;
    let took = summary::time(end.at.since_zero().saturating_sub(injection.since.since_zero()));
    let (findings, settings) = (of_requests(injection.slices.findings()), injection.slices.settings());
    let names = names(run);
    match (end.ending, end.cause, end.hold) {
        (ChaosEnding::Broken, Some(cause), _) => {
            let odds = thousands((1.0 / settings.alpha.value()).round());
            let (proof, users) = (summary::proof(cause, &findings, settings, &names), users(run, totals));
            format!("{name}: hypothesis broken after {took}: {proof}{users}, odds of chance below 1 in {odds}")
        }
        (ChaosEnding::Held, ..) => {
            format!("{name}: hypothesis held for {took}: {}", comparison(run, injection, totals))
        }
        (ChaosEnding::NotEnoughData, _, Some(hold)) => {
            let held = || summary::hold_text(hold, &findings, settings, &names);
            let text = if injection.slices.is_blind() {
                let SliceTotals { requests, .. } = run.before();
                format!("not enough data: only {} requests in the baseline to compare with", thousands_of(requests))
            } else if hold == HoldReason::Suspicion {
                format!("not enough data: a hint and no proof, {}", held())
            } else {
                held()
            };
            format!("{name}: {text}; the fault was there for {took}")
        }
        _ => {
            let (ending, why) = (end.ending.text(), why(end));
            format!("{name}: {ending} after {took}: {why}; {}", comparison(run, injection, totals))
        }
    }
}

fn why(end: &ChaosEnd) -> String {
    match &end.why {
        Some(more) => format!("{} ({more})", end.by.text()),
        None => end.by.text().to_owned(),
    }
}

/// Both slices beside each other; or after and before, where a command reaches everyone.
fn comparison(run: &ChaosRun, injection: &ChaosInjection, totals: &PerSlice) -> String {
    let e = summary::number_text(injection.slices.findings().standing.highest());
    let PerSlice { fault, control } = totals;
    let found = failures(fault.failed, fault.requests);
    if run.definition().command().is_none() {
        let other = summary::part(control.failed, control.requests, "");
        return format!("{found} against {other} on {}{}, E {e}", names(run).baseline, users(run, totals));
    }
    let SliceTotals { requests, failed, .. } = run.before();
    format!("{found} after {} in the baseline, E {e}", failures(failed, requests))
}

/// The users of both slices, where there are two and users have keys.
fn users(run: &ChaosRun, totals: &PerSlice) -> String {
    let PerSlice { fault, control } = totals;
    let none_has_keys = fault.users == 0 && control.users == 0;
    if run.definition().command().is_some() || none_has_keys {
        return String::new();
    }
    format!(", {} against {} users", thousands_of(fault.users), thousands_of(control.users))
}

/// The findings without how many of the failures are evidence.
fn of_requests(mut findings: JudgeFindings) -> JudgeFindings {
    let stretch = findings.stretch.as_mut().map(|stretch| &mut stretch.found.outcomes);
    for outcomes in [Some(&mut findings.outcomes), stretch].into_iter().flatten() {
        for counts in [&mut outcomes.candidate, &mut outcomes.baseline] {
            counts.counted_failures = counts.failures;
        }
    }
    findings
}

/// How the slices are called where the judge calls versions by name.
fn names(run: &ChaosRun) -> Names<'_> {
    let definition = run.definition();
    let baseline = if definition.command().is_some() { "the baseline" } else { "the control slice" };
    Names { service: definition.target.service.as_str(), candidate: "the fault slice", baseline }
}

/// `9 of 212 requests failed (4.2 %)`
fn failures(failed: u64, requests: u64) -> String {
    summary::part(failed, requests, "requests failed")
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn thousands_of(count: u64) -> String {
    thousands(count as f64)
}

/// A part of some requests in per cent.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn part_of(failed: u64, requests: u64) -> String {
    if requests == 0 { "-".to_owned() } else { percent(failed as f64 / requests as f64) }
}

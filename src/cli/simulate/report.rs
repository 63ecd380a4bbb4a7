//! The report of a simulation: text for people, or JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::text::{Columns, TextTone};
use crate::rollout::event::RolloutEnding;
use crate::rollout::judge::summary::about;
use crate::rollout::judge::verdict::RollbackCause;
use crate::rollout::plan::{Plan, Strategy};
use crate::rollout::simulate::{SimulatedEnd, SimulatedRun, SimulatedWorld};

/// Everything that a report is about.
pub(crate) struct Facts<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) world: &'a SimulatedWorld,
    pub(crate) runs: &'a [SimulatedRun],
    /// The same releases where no burst is tolerated, if one is and the candidate is worse.
    pub(crate) intolerant: Option<&'a [SimulatedRun]>,
    /// The plan's own metrics.
    pub(crate) metrics: usize,
    pub(crate) seed: u64,
    pub(crate) passed: Duration,
}

/// The word for how a release ended.
fn word(outcome: SimulatedEnd) -> &'static str {
    match outcome {
        SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Errors)) => "rolled back: errors",
        SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Latency)) => "rolled back: latency",
        SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::FailureCeiling | RollbackCause::SlowCeiling)) => {
            "rolled back: ceiling"
        }
        SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Responses)) => "rolled back: responses",
        SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Metric)) => "rolled back: metric",
        SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Route)) => "rolled back: route",
        SimulatedEnd::Ended(RolloutEnding::HeldTooLong(_)) => "rolled back: held too long",
        SimulatedEnd::Ended(RolloutEnding::TaskFailed(_)) => "rolled back: task failed",
        SimulatedEnd::Ended(RolloutEnding::Aborted) => "aborted",
        SimulatedEnd::Ended(RolloutEnding::Completed) => "completed",
        SimulatedEnd::Paused => "paused: held too long",
        SimulatedEnd::Unfinished => "unfinished",
    }
}

fn is_proof(outcome: SimulatedEnd) -> bool {
    matches!(outcome, SimulatedEnd::Ended(RolloutEnding::RolledBack(_)))
}

/// A time as people say it.
fn said(time: Duration) -> String {
    if time < Duration::from_secs(90) { format!("{} s", time.as_secs_f64()) } else { about(time) }
}

/// The middle of some numbers, and what nine of ten stay below.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f64,
    median: f64,
    p90: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| values.get((values.len() * part / 100).min(values.len().saturating_sub(1))).copied();
        #[expect(clippy::cast_precision_loss, reason = "a million runs at the most")]
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Self { mean, median: at(50)?, p90: at(90)? })
    }

    fn to_json(self) -> Value {
        json!({ "mean": self.mean, "median": self.median, "p90": self.p90 })
    }
}

impl Facts<'_> {
    fn endings(&self) -> BTreeMap<&'static str, usize> {
        let mut endings = BTreeMap::new();
        for run in self.runs {
            *endings.entry(word(run.outcome)).or_default() += 1;
        }
        endings
    }

    /// Seconds from the moment in which the candidate became worse, of the runs that were turned back by a proof.
    fn seconds_to_roll_back(&self, runs: &[SimulatedRun]) -> Option<Spread> {
        let since = self.world.worse_since();
        let turned = runs.iter().filter(|run| is_proof(run.outcome));
        Spread::of(turned.map(|run| run.took.saturating_sub(since).as_secs_f64()))
    }

    /// The part of good releases that were turned back.
    fn false_rollbacks(&self) -> Option<f64> {
        let turned = self.runs.iter().filter(|run| is_proof(run.outcome)).count();
        #[expect(clippy::cast_precision_loss, reason = "a million runs at the most")]
        self.world.is_healthy().then(|| turned as f64 / self.runs.len() as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn counts(&self) -> [(&'static str, Option<Spread>); 4] {
        let of = |value: fn(&SimulatedRun) -> u64| Spread::of(self.runs.iter().map(move |run| value(run) as f64));
        [
            ("failed_requests", of(|run| run.failed)),
            ("failed_requests_with_shield", of(|run| run.failed_with_shield)),
            ("candidate_requests", of(|run| run.candidate_requests)),
            ("seconds", Spread::of(self.runs.iter().map(|run| run.took.as_secs_f64()))),
        ]
    }

    #[expect(clippy::cast_precision_loss, reason = "a million runs at the most")]
    fn part(&self, count: usize) -> f64 {
        count as f64 / self.runs.len() as f64
    }

    pub(crate) fn to_json(&self) -> Value {
        let endings: BTreeMap<_, _> =
            self.endings().into_iter().map(|(word, count)| (word, self.part(count))).collect();
        let mut all = json!({
            "runs": self.runs.len(),
            "seed": self.seed,
            "endings": endings,
            "seconds_to_roll_back": self.seconds_to_roll_back(self.runs).map(Spread::to_json),
            "seconds_to_roll_back_without_tolerance":
                self.intolerant.and_then(|runs| self.seconds_to_roll_back(runs)).map(Spread::to_json),
            "false_rollback_ratio": self.false_rollbacks(),
            "metrics_not_simulated": self.metrics,
        });
        for (name, spread) in self.counts() {
            all[name] = spread.map_or(Value::Null, Spread::to_json);
        }
        all
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = self.heading();
        let mut endings: Vec<_> = self.endings().into_iter().collect();
        endings.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut columns = Columns::with_heading(&["ending", "releases %"]);
        for (word, count) in endings {
            let percent = format!("{:.2}", 100.0 * self.part(count));
            columns.row(vec![(word.to_owned(), TextTone::Plain), (percent, TextTone::Plain)]);
        }
        text.push_str(&columns.render());
        text.push('\n');
        let mut columns = Columns::with_heading(&["", "mean", "median", "p90"]);
        let [failed, shielded, candidate, seconds] = self.counts();
        let intolerant = format!("  without the tolerance of {:?}", self.plan.judge().tolerate_burst);
        for (name, spread, decimals) in [
            ("seconds until rolled back", self.seconds_to_roll_back(self.runs), 1),
            (&*intolerant, self.intolerant.and_then(|runs| self.seconds_to_roll_back(runs)), 1),
            ("failed requests of the candidate", failed.1, 0),
            ("  users see with the shield", shielded.1, 0),
            ("requests of the candidate", candidate.1, 0),
            ("seconds in all", seconds.1, 0),
        ] {
            let Some(Spread { mean, median, p90 }) = spread else { continue };
            let numbers = [mean, median, p90].map(|number| (format!("{number:.decimals$}"), TextTone::Plain));
            columns.row([vec![(name.to_owned(), TextTone::Plain)], numbers.to_vec()].concat());
        }
        text.push_str(&columns.render());
        if let Some(part) = self.false_rollbacks() {
            let promised = 100.0 * self.plan.judge().alpha.value();
            writeln!(text, "\nGood releases turned back: {:.3} %, promised {promised} % at the most", 100.0 * part)
                .ok();
        }
        match self.metrics {
            0 => {}
            1 => text.push_str("\nThe plan's own metric is not simulated: it is taken for good.\n"),
            count => writeln!(text, "\nThe plan's own {count} metrics are not simulated: they are taken for good.")
                .unwrap_or_default(),
        }
        text
    }

    fn heading(&self) -> String {
        let SimulatedWorld {
            requests_per_second,
            baseline_failing,
            baseline_not_found,
            candidate,
            later,
            users,
            services,
            ..
        } = self.world;
        let users = users.map_or_else(String::new, |users| format!(" by {} users", users.count));
        let services = if *services > 1 { format!(" in each of {services} services") } else { String::new() };
        let percent = |ratio: f64| format!("{} %", (ratio * 1e7).round() / 1e5);
        let steps = match self.plan.strategy() {
            Strategy::Canary(canary) => {
                let steps: Vec<_> = canary.steps.iter().map(|step| step.weight.to_string()).collect();
                let bake = canary.steps.first().map_or(Duration::ZERO, |step| step.bake);
                let smoke = if canary.smoke { ", good answers to the smoke requests before each" } else { "" };
                format!("{} %, {} each{smoke}", steps.join(" -> "), said(bake))
            }
            Strategy::BlueGreen(_) => "blue/green".to_owned(),
            Strategy::Rolling(_) => "rolling".to_owned(),
        };
        let bad = later.map_or(*candidate, |later| later.behaviour);
        let when = later.map_or_else(String::new, |later| match later.ramp {
            Duration::ZERO => format!(" from {} on", said(later.at)),
            ramp => format!(" from {} on, rising for {}", said(later.at), said(ramp)),
        });
        let slower = if bad.slower == 1.0 { String::new() } else { format!(" and is {} times as slow", bad.slower) };
        let page = self
            .world
            .page
            .map_or_else(String::new, |page| format!(" on a page with {} of the requests", percent(page)));
        let not_found = match (*baseline_not_found, bad.not_found) {
            (0.0, 0.0) => String::new(),
            (baseline, candidate) => format!(", 404 {} and {}", percent(baseline), percent(candidate)),
        };
        format!(
            "plan:  {steps}\nworld: {requests_per_second} requests/s{services}{users}, baseline fails {}, candidate fails {}{slower}{not_found}{page}{when}\n\
             {} releases with seed {} in {:.1} s\n\n",
            percent(*baseline_failing),
            percent(bad.failing),
            self.runs.len(),
            self.seed,
            self.passed.as_secs_f64(),
        )
    }
}

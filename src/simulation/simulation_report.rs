//! What is said of a simulation: the figures, and the sentences and the table for people.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::release_batch::{BatchRun, ReleaseBatch};
use crate::rollout::event::RolloutEnding;
use crate::rollout::judge::summary::about;
use crate::rollout::judge::verdict::RollbackCause;
use crate::rollout::plan::{Plan, Strategy};
use crate::rollout::simulate::{SimulatedEnd, SimulatedRun, SimulatedWorld};

/// What a plan does to its releases, in the one shape that the API and the command line have for it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SimulationReport {
    /// Whether all releases were simulated that were asked for.
    pub(crate) complete: bool,
    /// How many releases were asked for.
    asked: u64,
    /// How many were simulated: the figures are of those.
    pub(crate) runs: usize,
    /// Asked with this seed, the same figures come again.
    pub(crate) seed: u64,
    /// The plan, in a line.
    pub(crate) plan: String,
    /// What happens to requests, in a line.
    pub(crate) world: String,
    /// The parts of the releases that ended so.
    #[schema(value_type = BTreeMap<String, f64>, example = json!({"completed": 0.99, "rolled back: errors": 0.01}))]
    pub(crate) endings: BTreeMap<&'static str, f64>,
    /// How long a release took.
    seconds: Option<SimulatedSpread>,
    /// Since the candidate became worse, of the releases that were turned back by a proof.
    seconds_to_roll_back: Option<SimulatedSpread>,
    /// The same where no burst is tolerated, if the plan tolerates some and the candidate is worse.
    seconds_to_roll_back_without_tolerance: Option<SimulatedSpread>,
    /// The part of the releases that were turned back although the candidate was good; none where it was not.
    false_rollback_ratio: Option<f64>,
    /// Requests that failed at the candidate.
    failed_requests: Option<SimulatedSpread>,
    /// Those that users would have seen fail with the shield.
    failed_requests_with_shield: Option<SimulatedSpread>,
    /// Requests that the candidate was given.
    candidate_requests: Option<SimulatedSpread>,
    /// Metrics and guardrails of the plan's own, which are taken for good.
    metrics_not_simulated: usize,
    /// The figures as people read them.
    pub(crate) table: Vec<SimulatedFigure>,
    /// What else is to be said.
    pub(crate) sentences: Vec<String>,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SimulatedFigure {
    /// What it is about.
    pub(crate) name: String,
    /// Its figures.
    #[serde(flatten)]
    pub(crate) spread: SimulatedSpread,
    /// How many decimals make sense.
    #[serde(skip)]
    pub(crate) decimals: usize,
}

/// The middle of some numbers, and what nine of ten stay below.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SimulatedSpread {
    /// The mean.
    pub(crate) mean: f64,
    /// Half of them are below.
    pub(crate) median: f64,
    /// Nine of ten are below.
    pub(crate) p90: f64,
}

/// What a report is about.
pub(crate) struct SimulationFacts<'a> {
    pub(crate) batch: &'a ReleaseBatch,
    pub(crate) runs: &'a [BatchRun],
    /// The plan's own metrics and its guardrails.
    pub(crate) metrics: usize,
    /// Whether the service keeps users on their version.
    pub(crate) sticky: bool,
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
        SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Guardrail)) => "rolled back: guardrail",
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

impl SimulatedSpread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| values.get((values.len() * part / 100).min(values.len().saturating_sub(1))).copied();
        #[expect(clippy::cast_precision_loss, reason = "a million runs at the most")]
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Self { mean, median: at(50)?, p90: at(90)? })
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn of_counts(values: impl Iterator<Item = u64>) -> Option<Self> {
        Self::of(values.map(|value| value as f64))
    }
}

impl SimulationFacts<'_> {
    /// What is said of them.
    pub(crate) fn report(&self) -> SimulationReport {
        let Self { batch, metrics, .. } = self;
        let count = |value: fn(&SimulatedRun) -> u64| SimulatedSpread::of_counts(self.runs().map(value));
        let mut report = SimulationReport {
            complete: self.runs.len() as u64 == batch.count,
            asked: batch.count,
            runs: self.runs.len(),
            seed: batch.seed,
            plan: plan(&batch.plan),
            world: world(&batch.world),
            endings: self.endings(),
            seconds: SimulatedSpread::of(self.runs().map(|run| run.took.as_secs_f64())),
            seconds_to_roll_back: self.seconds_to_roll_back(self.runs()),
            seconds_to_roll_back_without_tolerance: self
                .seconds_to_roll_back(self.runs.iter().filter_map(|run| run.without_tolerance.as_ref())),
            false_rollback_ratio: self.false_rollbacks(),
            failed_requests: count(|run| run.failed),
            failed_requests_with_shield: count(|run| run.failed_with_shield),
            candidate_requests: count(|run| run.candidate_requests),
            metrics_not_simulated: *metrics,
            table: Vec::new(),
            sentences: self.sentences(),
        };
        report.table = self.table(&report);
        report
    }

    fn runs(&self) -> impl Iterator<Item = &SimulatedRun> {
        self.runs.iter().map(|run| &run.run)
    }

    #[expect(clippy::cast_precision_loss, reason = "a million runs at the most")]
    fn part(&self, count: usize) -> f64 {
        count as f64 / self.runs.len() as f64
    }

    fn endings(&self) -> BTreeMap<&'static str, f64> {
        let mut endings = BTreeMap::<_, usize>::new();
        for run in self.runs() {
            *endings.entry(word(run.outcome)).or_default() += 1;
        }
        endings.into_iter().map(|(word, count)| (word, self.part(count))).collect()
    }

    /// Seconds from the moment in which the candidate became worse, of the runs that were turned back by a proof.
    fn seconds_to_roll_back<'r>(&self, runs: impl Iterator<Item = &'r SimulatedRun>) -> Option<SimulatedSpread> {
        let since = self.batch.world.worse_since();
        let turned = runs.filter(|run| is_proof(run.outcome));
        SimulatedSpread::of(turned.map(|run| run.took.saturating_sub(since).as_secs_f64()))
    }

    /// The part of good releases that were turned back.
    fn false_rollbacks(&self) -> Option<f64> {
        let turned = self.runs().filter(|run| is_proof(run.outcome)).count();
        (self.batch.world.is_healthy() && !self.runs.is_empty()).then(|| self.part(turned))
    }

    fn table(&self, report: &SimulationReport) -> Vec<SimulatedFigure> {
        let without = format!("  without the tolerance of {:?}", self.batch.plan.judge().tolerate_burst);
        let figures = [
            ("seconds until rolled back", report.seconds_to_roll_back, 1),
            (&*without, report.seconds_to_roll_back_without_tolerance, 1),
            ("failed requests of the candidate", report.failed_requests, 0),
            ("  users see with the shield", report.failed_requests_with_shield, 0),
            ("requests of the candidate", report.candidate_requests, 0),
            ("seconds in all", report.seconds, 0),
        ];
        let figures = figures.into_iter().filter_map(|(name, spread, decimals)| {
            Some(SimulatedFigure { name: name.to_owned(), spread: spread?, decimals })
        });
        figures.collect()
    }

    fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(part) = self.false_rollbacks() {
            let promised = 100.0 * self.batch.plan.judge().alpha.value();
            sentences
                .push(format!("Good releases turned back: {:.3} %, promised {promised} % at the most", 100.0 * part));
        }
        match self.metrics {
            0 => {}
            1 => sentences.push("The plan's own metric is not simulated: it is taken for good.".to_owned()),
            count => {
                sentences.push(format!("The plan's own {count} metrics are not simulated: they are taken for good."));
            }
        }
        if self.sticky && self.batch.world.users.is_none() {
            sentences.push(
                "Users stay on their version there, and here each request is another user's; say how many users there \
                 are, to have them come back."
                    .to_owned(),
            );
        }
        match (self.runs.len(), self.batch.count) {
            (0, _) => sentences.push(
                "No release was over when the time was up. Little traffic makes releases long, and a busy machine \
                 simulates slowly: say a higher rate or a shorter plan, or ask again."
                    .to_owned(),
            ),
            (done, asked) if (done as u64) < asked => {
                sentences.push(format!("The time was up after {done} of {asked} releases; the figures are of those."));
            }
            _ => {}
        }
        sentences
    }
}

/// A plan in a line.
fn plan(plan: &Plan) -> String {
    match plan.strategy() {
        Strategy::Canary(canary) => {
            let steps: Vec<_> = canary.steps.iter().map(|step| step.weight.to_string()).collect();
            let bake = canary.steps.first().map_or(Duration::ZERO, |step| step.bake);
            let smoke = if canary.smoke { ", good answers to the smoke requests before each" } else { "" };
            format!("{} %, {} each{smoke}", steps.join(" -> "), said(bake))
        }
        Strategy::BlueGreen(_) => "blue/green".to_owned(),
        Strategy::Rolling(_) => "rolling".to_owned(),
    }
}

/// A world in a line.
fn world(world: &SimulatedWorld) -> String {
    let SimulatedWorld {
        requests_per_second,
        baseline_failing,
        baseline_not_found,
        candidate,
        later,
        users,
        services,
        ..
    } = world;
    let users = users.map_or_else(String::new, |users| format!(" by {} users", users.count));
    let services = if *services > 1 { format!(" in each of {services} services") } else { String::new() };
    let percent = |ratio: f64| format!("{} %", (ratio * 1e7).round() / 1e5);
    let bad = later.map_or(*candidate, |later| later.behaviour);
    let when = later.map_or_else(String::new, |later| match later.ramp {
        Duration::ZERO => format!(" from {} on", said(later.at)),
        ramp => format!(" from {} on, rising for {}", said(later.at), said(ramp)),
    });
    let slower =
        if bad.slower == 1.0 { String::new() } else { format!(" and is {} times as slow", rounded(bad.slower)) };
    let page = world.page.map_or_else(String::new, |page| format!(" on a page with {} of the requests", percent(page)));
    let not_found = match (*baseline_not_found, bad.not_found) {
        (0.0, 0.0) => String::new(),
        (baseline, candidate) => format!(", 404 {} and {}", percent(baseline), percent(candidate)),
    };
    format!(
        "{} requests/s{services}{users}, baseline fails {}, candidate fails {}{slower}{not_found}{page}{when}",
        rounded(*requests_per_second),
        percent(*baseline_failing),
        percent(bad.failing),
    )
}

/// With three decimals at the most.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::RolloutSection;
    use crate::rollout::judge::Assignment;
    use crate::simulation::release_batch::BatchWatch;
    use crate::simulation::simulation_options::{PresentTraffic, WorldOptions};

    fn report(options: &WorldOptions, asked: u64, played: usize) -> SimulationReport {
        let release = RolloutSection::default().release().expect("the default");
        let plan = release.plan(1, Assignment::PerRequest).expect("a plan");
        let batch = ReleaseBatch::new(plan, options.world(&PresentTraffic::default()), asked, 7);
        let runs = batch.play(1, &BatchWatch::default());
        let runs = runs.get(..played).expect("so many");
        SimulationFacts { batch: &batch, runs, metrics: 2, sticky: true }.report()
    }

    #[test]
    fn a_bad_candidate_is_told_with_what_tolerance_costs() {
        let report = report(&WorldOptions { candidate_errors: Some(0.05), ..WorldOptions::default() }, 10, 10);
        assert_eq!(report.endings, [("rolled back: errors", 1.0)].into_iter().collect());
        assert_eq!(report.world, "1000 requests/s, baseline fails 0.1 %, candidate fails 5 %");
        assert_eq!(report.plan, "1 -> 10 -> 50 -> 100 %, 10 min each");
        let value = serde_json::to_value(&report).expect("JSON");
        let with = value["seconds_to_roll_back"]["median"].as_f64().expect("a number");
        let without = value["seconds_to_roll_back_without_tolerance"]["median"].as_f64().expect("a number");
        assert!(without > 0.0 && without <= with, "{value}");
        assert_eq!((&value["false_rollback_ratio"], &value["complete"]), (&Value::Null, &json!(true)));
        assert_eq!(value["table"][0]["name"], "seconds until rolled back");
        assert_eq!(value["table"][0]["median"], value["seconds_to_roll_back"]["median"]);
        let [metrics, users] = &report.sentences[..] else { panic!("{:?}", report.sentences) };
        assert!(metrics.starts_with("The plan's own 2 metrics are not simulated"), "{metrics}");
        assert!(users.starts_with("Users stay on their version"), "{users}");
    }

    #[test]
    fn what_was_not_simulated_is_said() {
        let some = report(&WorldOptions::default(), 4, 3);
        assert!(!some.complete && some.runs == 3, "{some:?}");
        assert!(some.sentences[3].starts_with("The time was up after 3 of 4 releases"), "{:?}", some.sentences);
        assert!(some.sentences[0].starts_with("Good releases turned back: 0.000 %"), "{:?}", some.sentences);
        let none = report(&WorldOptions::default(), 1, 0);
        assert!(none.sentences[2].starts_with("No release was over"), "{:?}", none.sentences);
        assert_eq!((none.endings.len(), none.seconds, none.false_rollback_ratio), (0, None, None));
        assert!(none.table.is_empty());
    }
}

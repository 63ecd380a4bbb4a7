//! How long a plan takes at so much traffic, and which one fits it: what its operator wants to know before it begins.
//!
//! A step lasts for its bake, or until enough requests of the candidate were judged, whichever is longer; with little
//! traffic that is what takes the time, and hours of it are better told at the start than found out. Tasks and gates
//! take the time of others and are left out.
//!
//! The plan that is suggested is the first of a few that takes about as long as the one that was written says of
//! itself: with larger first steps, because a step of 1 % is most of the wait, and with a larger regression to catch.
//! They are in the order of how little they change.

use std::time::Duration;

use super::judge::frozen::failures_at_most;
use super::judge::summary::about;
use super::judge::{CandidateShare, JudgeSettings};
use super::plan::{Canary, CanaryStep, Plan, Strategy};
use super::stage::{Stage, StageTask};
use crate::shared::probability::Probability;
use crate::table::Weight;

/// What a service has, of both versions together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SeenTraffic {
    /// Requests a second.
    pub requests_per_second: f64,
    /// The part of the baseline's that fail.
    pub failing: f64,
}

/// A plan that fits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Suggestion {
    /// The steps, where they are others.
    pub steps: Option<Vec<Weight>>,
    /// The regression to catch, where it is another one.
    pub catches: Option<f64>,
    /// How long it takes.
    pub takes: Duration,
}

/// How long a plan takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlanForecast {
    /// Requests a second of the service with the least.
    pub requests_per_second: f64,
    /// How long; none: it has no end, because a step will not get what it needs.
    pub takes: Option<Duration>,
    /// How often smoke requests are sent on the way, whose time is not in it.
    pub smoke: usize,
    /// The rule of a flag that draws, if rules before it decide on some of the requests: how many is not known.
    pub only_by: Option<String>,
    /// What fits, if this takes longer than its bakes.
    pub suggestion: Option<Suggestion>,
}

/// First steps that are tried where those of the plan take too long.
const FIRST_STEPS: [&[f64]; 2] = [&[10.0, 50.0, 100.0], &[50.0, 100.0]];

/// Regressions that are tried likewise.
const CATCHES: [f64; 3] = [0.05, 0.1, 0.2];

/// A plan fits that takes at most this many times as long as its bakes.
const FITS: f64 = 1.25;

/// The forecast for services that are released together.
pub(crate) fn of(plan: &Plan, services: &[SeenTraffic]) -> PlanForecast {
    let takes = longest(plan, services);
    let least = services.iter().map(|seen| seen.requests_per_second).fold(f64::INFINITY, f64::min);
    let fits = bakes(plan).mul_f64(FITS);
    let suggestion = if takes.is_some_and(|takes| takes <= fits) { None } else { suggestion(plan, services, fits) };
    let smoke = plan.stages().iter().filter(|stage| **stage == Stage::Do(StageTask::Smoke)).count();
    PlanForecast {
        requests_per_second: if least.is_finite() { least } else { 0.0 },
        takes,
        smoke,
        only_by: None,
        suggestion,
    }
}

/// The time of the service that takes longest; none if one takes for ever.
fn longest(plan: &Plan, services: &[SeenTraffic]) -> Option<Duration> {
    services.iter().map(|seen| takes(plan, *seen)).try_fold(Duration::ZERO, |most, takes| Some(most.max(takes?)))
}

/// How long a plan takes with this traffic; none if a step will not get what it needs.
pub(crate) fn takes(plan: &Plan, seen: SeenTraffic) -> Option<Duration> {
    let of_stage = |stage: Stage| match stage {
        Stage::Bake { weight, bake } => {
            let share = CandidateShare::at(weight);
            let (needed, a_second) = (needed(plan.judge(), share, seen)?, seen.requests_per_second * share.value());
            match needed {
                0 => Some(bake),
                // Where a request is rarer than a hold may be long, the hold ends first.
                _ if a_second * plan.judge().hold_max.as_secs_f64() < 1.0 => None,
                needed => Some(bake.max(Duration::try_from_secs_f64(needed as f64 / a_second).ok()?)),
            }
        }
        Stage::Mirror { share, bake, .. } => {
            let needed = plan.judge().requests_needed(CandidateShare::of_pairs(), seen.failing)?;
            let pairs = seen.requests_per_second * share.ratio();
            Some(bake.max(Duration::try_from_secs_f64(needed as f64 / pairs).ok()?))
        }
        Stage::Keep(keep) => Some(keep),
        Stage::Do(_) => Some(Duration::ZERO),
    };
    plan.stages().into_iter().try_fold(Duration::ZERO, |sum, stage| Some(sum.saturating_add(of_stage(stage)?)))
}

/// The judged requests that a step needs; at 100 % below the ceiling that the baseline's rate will have become.
fn needed(judge: &JudgeSettings, share: CandidateShare, seen: SeenTraffic) -> Option<u64> {
    if share.compares() || !judge.freezes || judge.ceilings.failures.is_some() {
        return judge.requests_needed(share, seen.failing);
    }
    // As after some thousand requests.
    const SEEN: u64 = 5_000;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of some thousand")]
    let failed = (seen.failing * SEEN as f64) as u64;
    Probability::new(failures_at_most(failed, SEEN, judge.margin))
        .map_or(Some(0), |most| judge.requests_for_frozen(most))
}

fn bakes(plan: &Plan) -> Duration {
    let of_stage = |stage: Stage| match stage {
        Stage::Bake { bake, .. } | Stage::Mirror { bake, .. } | Stage::Keep(bake) => bake,
        Stage::Do(_) => Duration::ZERO,
    };
    plan.stages().into_iter().map(of_stage).fold(Duration::ZERO, Duration::saturating_add)
}

fn suggestion(plan: &Plan, services: &[SeenTraffic], fits: Duration) -> Option<Suggestion> {
    let own = plan.judge().catches.value();
    let catches = || [None].into_iter().chain(CATCHES.into_iter().filter(|catches| *catches > own).map(Some));
    let tried = others_steps(plan).into_iter().flat_map(|steps| catches().map(move |catches| (steps.clone(), catches)));
    let mut tried = tried.filter(|(steps, catches)| steps.is_some() || catches.is_some());
    tried.find_map(|(steps, catches)| {
        let other = with(plan, steps.as_deref(), catches)?;
        let takes = longest(&other, services).filter(|takes| *takes <= fits)?;
        Some(Suggestion { steps, catches, takes })
    })
}

/// The plan's own steps, and such that begin higher.
fn others_steps(plan: &Plan) -> Vec<Option<Vec<Weight>>> {
    let Strategy::Canary(canary) = plan.strategy() else { return vec![None] };
    let first = canary.steps.first().map_or(Weight::FULL, |step| step.weight);
    let weights = |steps: &[f64]| steps.iter().copied().filter_map(Weight::from_percent).collect::<Vec<_>>();
    let others = FIRST_STEPS.map(weights).into_iter().filter(|steps| steps.first().is_some_and(|step| *step > first));
    [None].into_iter().chain(others.map(Some)).collect()
}

/// The plan with other steps, which bake as long as its own do, or with another regression to catch.
fn with(plan: &Plan, steps: Option<&[Weight]>, catches: Option<f64>) -> Option<Plan> {
    let strategy = match (plan.strategy(), steps) {
        (Strategy::Canary(canary), Some(weights)) => {
            let bake = canary.steps.first()?.bake;
            let step = |weight: &Weight| {
                let same = canary.steps.iter().find(|step| step.weight == *weight);
                CanaryStep { weight: *weight, bake: same.map_or(bake, |step| step.bake), gate: None }
            };
            Strategy::Canary(Canary { steps: weights.iter().map(step).collect(), ..canary.clone() })
        }
        (strategy, _) => strategy.clone(),
    };
    let catches = catches.map_or(Some(plan.judge().catches), Probability::new)?;
    Plan::new(strategy, JudgeSettings { catches, ..*plan.judge() }, plan.on_expired()).ok()
}

impl PlanForecast {
    /// In words for people: `at 1.0 requests/s this plan takes about 19 h; with steps 10,50,100 and catches 0.1: 40
    /// min`.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let rate = match self.requests_per_second {
            rate if rate >= 0.1 || rate == 0.0 => format!("{rate:.1} requests/s"),
            rate => format!("{:.1} requests a minute", rate * 60.0),
        };
        let (rate, least) = match &self.only_by {
            Some(rule) => (format!("{rate} at the most (only those count that rule {rule} draws)"), " or more"),
            None => (rate, ""),
        };
        let long = match self.takes {
            Some(takes) => format!("this plan takes about {}{least}", about(takes)),
            None => "this plan does not end, a step will not get the requests that it needs".to_owned(),
        };
        let other = self.suggestion.as_ref().map_or_else(String::new, |Suggestion { steps, catches, takes }| {
            let steps = steps.as_ref().map(|steps| {
                let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
                format!("steps {}", steps.join(","))
            });
            let catches = catches.map(|catches| format!("catches {catches}"));
            let changes: Vec<_> = steps.into_iter().chain(catches).collect();
            format!("; with {}: {}", changes.join(" and "), about(*takes))
        });
        let smoke = match self.smoke {
            0 => "",
            1 => ", and what smoke requests take",
            _ => ", and what the smoke requests before each step take",
        };
        format!("at {rate} {long}{smoke}{other}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Back, Expired};
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn plan(percents: &[f64]) -> Plan {
        let step = |percent: &f64| CanaryStep {
            weight: Weight::from_percent(*percent).unwrap(),
            bake: TEN_MINUTES,
            gate: None,
        };
        let steps = percents.iter().map(step).collect();
        let mirrors = Vec::new();
        let canary =
            Canary { smoke: false, mirrors, steps, watch: TEN_MINUTES, keep: Duration::ZERO, back: Back::AtOnce };
        Plan::new(Strategy::Canary(canary), JudgeSettings::default(), Expired::Pause).unwrap()
    }

    #[test]
    fn smoke_requests_come_on_top() {
        let Strategy::Canary(canary) = plan(&[10.0, 100.0]).strategy().clone() else { panic!("it is a canary") };
        let asks = Strategy::Canary(Canary { smoke: true, ..canary });
        let asks = Plan::new(asks, JudgeSettings::default(), Expired::Pause).unwrap();
        let text = of(&asks, &[SeenTraffic { requests_per_second: 1_000.0, failing: 0.001 }]).text();
        let wanted = "this plan takes about 20 min, and what the smoke requests before each step take";
        assert_eq!(text, format!("at 1000.0 requests/s {wanted}"));
    }

    fn forecast(requests_per_second: f64) -> PlanForecast {
        of(&plan(&[1.0, 10.0, 50.0, 100.0]), &[SeenTraffic { requests_per_second, failing: 0.001 }])
    }

    #[test]
    fn a_plan_says_how_long_it_takes_and_which_one_fits() {
        assert_eq!(forecast(1_000.0).text(), "at 1000.0 requests/s this plan takes about 40 min");
        let of_flag = PlanForecast { only_by: Some("launch".to_owned()), ..forecast(1_000.0) }.text();
        let counted = "at 1000.0 requests/s at the most (only those count that rule launch draws)";
        assert_eq!(of_flag, format!("{counted} this plan takes about 40 min or more"));
        let thin = forecast(1.0).text();
        assert!(thin.starts_with("at 1.0 requests/s this plan takes about 2"), "{thin}");
        assert!(thin.contains(" h; with steps 10,50,100 and catches 0.1: "), "{thin}");
        let suggested = forecast(1.0).suggestion.unwrap();
        assert!(suggested.takes <= 5 * TEN_MINUTES, "{suggested:?}");
    }

    #[test]
    fn where_nothing_comes_it_has_no_end_and_nothing_fits() {
        let none = forecast(0.0);
        assert_eq!((none.takes, &none.suggestion), (None, &None), "{none:?}");
        assert!(none.text().starts_with("at 0.0 requests/s this plan does not end"), "{}", none.text());
        let rare = forecast(0.02);
        assert!(rare.text().starts_with("at 1.2 requests a minute this plan does not end"), "{}", rare.text());
    }

    #[test]
    fn the_slowest_service_of_a_group_says_how_long() {
        let seen = [1_000.0, 5.0].map(|requests_per_second| SeenTraffic { requests_per_second, failing: 0.001 });
        let together = of(&plan(&[1.0, 100.0]), &seen);
        assert_eq!(together.takes, of(&plan(&[1.0, 100.0]), &seen[1..]).takes);
    }
}

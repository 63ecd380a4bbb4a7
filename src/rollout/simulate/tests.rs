use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::judge::settings::Margin;
use super::super::judge::verdict::RollbackCause;
use super::super::judge::{Assignment, JudgeSettings};
use super::super::plan::{Back, Canary, CanaryStep, Expired, Strategy};
use super::traffic::upper_tail;
use super::*;
use crate::table::Weight;

const MINUTE: Duration = Duration::from_secs(60);
/// Repeats all of it.
const SEED: u64 = 20_261_121;

fn plan(percents: &[f64], bake: Duration, judge: JudgeSettings) -> Plan {
    let step = |percent: &f64| CanaryStep { weight: Weight::from_percent(*percent).unwrap(), bake, gate: None };
    let steps = percents.iter().map(step).collect();
    Plan::new(Strategy::Canary(Canary { steps, back: Back::AtOnce }), judge, Expired::Pause).unwrap()
}

fn world(failing: f64, slower: f64) -> SimulatedWorld {
    let candidate = Behaviour { failing, slower };
    SimulatedWorld {
        requests_per_second: 1_000.0,
        baseline_failing: 0.001,
        candidate,
        later: None,
        spread: 0.5,
        users: None,
    }
}

fn runs(plan: &Plan, world: &SimulatedWorld, count: usize) -> Vec<SimulatedRun> {
    let mut random = StdRng::seed_from_u64(SEED);
    (0..count).map(|_| simulate(plan, world, 240 * MINUTE, &mut random)).collect()
}

fn mean(runs: &[SimulatedRun], of: impl Fn(&SimulatedRun) -> f64) -> f64 {
    runs.iter().map(of).sum::<f64>() / runs.len() as f64
}

#[test]
fn healthy_releases_complete() {
    let plan = plan(&[1.0, 10.0, 50.0, 100.0], 5 * MINUTE, JudgeSettings::default());
    let runs = runs(&plan, &world(0.001, 1.0), 100);
    let completed = runs.iter().filter(|run| run.outcome == SimulatedEnd::Ended(RolloutEnding::Completed)).count();
    assert!(completed >= 98, "{completed} of 100");
    assert!(
        runs.iter().all(|run| run.took >= 20 * MINUTE || run.outcome != SimulatedEnd::Ended(RolloutEnding::Completed))
    );
}

#[test]
fn releases_that_fail_are_caught_by_as_many_requests_as_the_theory_says() {
    // The mean of the unrestricted test is 233, 291 and 738 requests; a reserve for late starts costs up to a tenth, a
    // look every quarter of a second up to a tick's requests.
    let judge = JudgeSettings { margin: Margin::NONE, slower: None, ..JudgeSettings::default() };
    for (percent, want) in [(1.0, 233.0), (10.0, 291.0), (50.0, 738.0)] {
        let plan = plan(&[percent, 100.0], 60 * MINUTE, judge);
        let runs = runs(&plan, &world(0.02, 1.0), 300);
        assert!(
            runs.iter().all(|run| run.outcome == SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Errors)))
        );
        let found = mean(&runs, |run| run.candidate_requests as f64);
        let tick = 2.5 * percent;
        assert!((0.95 * want..1.12 * want + tick).contains(&found), "{found} at {percent} %, want about {want}");
    }
}

#[test]
fn slow_releases_and_leaks_are_caught() {
    let plan = plan(&[10.0, 50.0, 100.0], 20 * MINUTE, JudgeSettings::default());
    for run in runs(&plan, &world(0.001, 2.0), 50) {
        assert_eq!(run.outcome, SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Latency)));
        assert!(run.took < MINUTE, "{run:?}");
    }
    let behaviour = Behaviour { failing: 0.05, slower: 1.0 };
    let leak = Later { at: 10 * MINUTE, ramp: 5 * MINUTE, behaviour };
    let world = SimulatedWorld { later: Some(leak), ..world(0.001, 1.0) };
    assert_eq!((world.worse_since(), world.is_healthy()), (10 * MINUTE, false));
    assert!((world.candidate_at(Duration::from_secs(750)).failing - 0.0255).abs() < 1e-9, "half way");
    for run in runs(&plan, &world, 50) {
        assert_eq!(run.outcome, SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Errors)));
        assert!(run.took > 10 * MINUTE && run.took < 15 * MINUTE, "{run:?}");
        assert!(run.failed_with_shield <= run.failed / 4, "{run:?}");
    }
}

#[test]
fn users_who_come_back_are_one_draw() {
    // For one user in a hundred everything fails, on both versions alike, and activity is heavy-tailed. Requests as
    // draws of their own turn good releases back again and again; users do not.
    let users = Some(UserPopulation { count: 2_000, tail: 1.2, failures_stick: true });
    let world = SimulatedWorld { requests_per_second: 50.0, baseline_failing: 0.01, users, ..world(0.01, 1.0) };
    let turned_back = |assignment| {
        let judge = JudgeSettings { assignment, ..JudgeSettings::default() };
        let runs = runs(&plan(&[10.0, 100.0], 5 * MINUTE, judge), &world, 40);
        runs.iter().filter(|run| matches!(run.outcome, SimulatedEnd::Ended(RolloutEnding::RolledBack(_)))).count()
    };
    assert_eq!(turned_back(Assignment::PerKey), 0);
    assert!(turned_back(Assignment::PerRequest) >= 4, "the test can tell");
    // And a bad version is still caught.
    let judge = JudgeSettings { assignment: Assignment::PerKey, ..JudgeSettings::default() };
    let bad = SimulatedWorld { candidate: Behaviour { failing: 0.3, slower: 1.0 }, ..world };
    for run in runs(&plan(&[10.0, 100.0], 5 * MINUTE, judge), &bad, 10) {
        assert_eq!(run.outcome, SimulatedEnd::Ended(RolloutEnding::RolledBack(RollbackCause::Errors)));
    }
}

#[test]
fn without_traffic_it_waits_and_then_says_so() {
    let plan = plan(&[10.0, 100.0], MINUTE, JudgeSettings::default());
    let run = runs(&plan, &SimulatedWorld { requests_per_second: 0.0, ..world(0.001, 1.0) }, 1)[0];
    assert_eq!((run.outcome, run.took), (SimulatedEnd::Paused, 31 * MINUTE));
}

#[test]
fn the_tail_of_the_normal_distribution_is_right() {
    for (x, want) in [(0.0, 0.5), (1.281_551_565_545, 0.1), (2.326_347_874_041, 0.01), (-1.0, 0.841_344_746)] {
        assert!((upper_tail(x) - want).abs() < 2e-7, "{x}: {}", upper_tail(x));
    }
}

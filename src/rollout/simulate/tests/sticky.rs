//! Releases of sticky services: users who come back, as many as a product for companies or for everybody has.

use super::*;
use crate::rollout::simulate::RoughTime;

pub(super) fn sticky() -> JudgeSettings {
    JudgeSettings { assignment: Assignment::PerKey, ..JudgeSettings::default() }
}

pub(super) fn users(count: u32, tail: f64) -> Option<UserPopulation> {
    Some(UserPopulation { count, tail, failures_stick: false })
}

fn played_for(plan: &Plan, world: &SimulatedWorld, most: Duration, count: usize) -> Vec<SimulatedRun> {
    let mut random = StdRng::seed_from_u64(SEED);
    (0..count).map(|_| simulate(plan, world, most, &mut random)).collect()
}

fn is_turned_back(run: &SimulatedRun) -> bool {
    matches!(run.outcome, SimulatedEnd::Ended(RolloutEnding::RolledBack(_)))
}

#[test]
fn users_who_had_a_rough_time_testify_again() {
    // Both fail one in five for three minutes, and all users have had failures on both versions by then.
    let rough = Some(RoughTime { until: 3 * MINUTE, failing: 0.2 });
    // Everything fails on v2 while that lasts, after it, and one request in five when they were well for two minutes.
    for (at, failing, count, most) in
        [(150, 1.0, 60, 3 * SECOND), (200, 1.0, 60, 3 * SECOND), (300, 0.2, 2_000, 10 * SECOND)]
    {
        let at = Duration::from_secs(at);
        let later =
            Some(Later { at, ramp: Duration::ZERO, behaviour: Behaviour { failing, slower: 1.0, not_found: 0.03 } });
        let requests_per_second = 5.0 * f64::from(count.min(200));
        let world = SimulatedWorld { requests_per_second, users: users(count, 3.0), rough, later, ..world(0.001, 1.0) };
        let runs = played_for(&plan(&[20.0, 100.0], 60 * MINUTE, sticky()), &world, at + MINUTE, 5);
        let took = |run: &SimulatedRun| if is_turned_back(run) { run.took.saturating_sub(at) } else { Duration::MAX };
        let mut took: Vec<_> = runs.iter().map(took).collect();
        took.sort_unstable();
        let found = took.iter().filter(|took| **took < MINUTE).count();
        told(&format!("{failing} after {at:?}: {found} of {}, in the middle {:?}", took.len(), took[took.len() / 2]));
        assert!(took[took.len() / 2] <= most, "{failing} after {at:?}: {took:?}, seed {SEED}");
    }
}

#[test]
fn a_step_counts_users_and_holds_without_them() {
    // A thousand requests a second, of few users: at 1 % hardly any of them is on v2.
    let busy =
        |count, tail| SimulatedWorld { requests_per_second: 300.0, users: users(count, tail), ..world(0.001, 1.0) };
    let plan = |percent| plan(&[percent, 100.0], 10 * SECOND, sticky());
    let [few] = played_for(&plan(5.0), &busy(60, 3.0), 2 * MINUTE, 1)[..] else { panic!() };
    assert!(few.outcome == SimulatedEnd::Unfinished && few.candidate_requests > 400, "{few:?}");
    let [many] = played_for(&plan(50.0), &busy(50_000, 3.0), 2 * MINUTE, 1)[..] else { panic!() };
    assert_eq!(many.outcome, SimulatedEnd::Ended(RolloutEnding::Completed), "{many:?}");
}

use std::time::Duration;

use super::super::errors::ErrorTest;
use super::super::fixture::{Chance, Failures, mean, p90, probability, share, within};
use super::*;
use crate::rollout::judge::judge_settings::{Ceilings, Margin};

const SEED: u64 = 20_260_417;

fn planned(w: f64, failing: PerVersion<f64>) -> Option<Detection> {
    Detection::by_errors(&ErrorBets::new(share(w), Margin::NONE), share(w), failing, 1000_f64.ln())
}

#[test]
fn the_plan_agrees_with_simulation() {
    let mut chance = Chance::new(SEED);
    for (w, candidate, baseline) in [
        (0.01, 0.02, 0.001),
        (0.1, 0.02, 0.001),
        (0.5, 0.02, 0.001),
        (0.01, 0.01, 0.001),
        (0.1, 0.01, 0.001),
        (0.01, 0.1, 0.001),
        (0.05, 0.02, 0.005),
        (0.5, 0.03, 0.01),
        (0.1, 0.02, 0.000_1),
    ] {
        let failing = PerVersion { candidate, baseline };
        let release = Failures { share: w, failing };
        let mut found: Vec<_> =
            (0..3_000).map(|_| release.requests_to_alarm(&mut chance, &mut ErrorTest::unconditional(), 0.0)).collect();
        let plan = planned(w, failing).unwrap();
        let what = format!("{candidate} against {baseline} at {w}, seed {SEED}");
        within(0.16, plan.mean, mean(&found), &what);
        within(0.2, plan.p90, p90(&mut found), &what);
    }
}

#[test]
fn the_ninetieth_percentile_at_one_per_cent_is_437() {
    let plan = planned(0.01, PerVersion { candidate: 0.02, baseline: 0.001 }).unwrap();
    within(0.02, 437.0, plan.p90, "p90");
    within(0.15, 233.0, plan.mean, "mean");
}

#[test]
fn what_is_tolerated_is_never_caught() {
    assert_eq!(planned(0.1, PerVersion { candidate: 0.02, baseline: 0.02 }), None);
    assert_eq!(planned(0.1, PerVersion { candidate: 0.21, baseline: 0.2 }), None);
    assert_eq!(planned(1.0, PerVersion { candidate: 0.9, baseline: 0.0 }), None);
    let every_request = planned(0.01, PerVersion { candidate: 1.0, baseline: 0.0 }).unwrap();
    assert_eq!(every_request.mean, 3.0);
}

#[test]
fn a_ceiling_is_planned_as_well() {
    let (bets, failing, mut chance) = (CeilingBets::new(probability(0.01)), 0.05, Chance::new(SEED));
    let mut found: Vec<_> = (0..3_000)
        .map(|_| {
            let (mut test, mut requests) = (super::super::ceiling::CeilingTest::unconditional(probability(0.01)), 0);
            while test.wealth.ln_value() < 1000_f64.ln() {
                let good = chance.misses(failing);
                test.fold(1, good);
                requests += good + 1;
            }
            requests as f64
        })
        .collect();
    let plan = Detection::by_ceiling(&bets, failing, 1000_f64.ln()).unwrap();
    within(0.16, plan.mean, mean(&found), &format!("seed {SEED}"));
    within(0.2, plan.p90, p90(&mut found), &format!("seed {SEED}"));
}

#[test]
fn a_step_needs_what_its_settings_promise() {
    let settings = JudgeSettings::default();
    let needed = |w| settings.requests_needed(share(w), 0.001);
    assert!(needed(0.01) > Some(400) && needed(0.01) < Some(800), "{:?}", needed(0.01));
    assert!(needed(0.5) > needed(0.1) && needed(0.1) > needed(0.01));
    assert_eq!(needed(1.0), Some(0));
    assert_eq!(settings.requests_needed(share(0.1), 0.4), None);
    let fixed = JudgeSettings { requests_min: Some(50), ..settings };
    assert_eq!(fixed.requests_needed(share(0.1), 0.4), Some(50));
    let failures = Some(probability(0.01));
    let with_ceiling = JudgeSettings { ceilings: Ceilings { failures, slow: None }, ..settings };
    assert!(with_ceiling.requests_needed(share(1.0), 0.0) > Some(100));
}

#[test]
fn a_bake_that_cannot_collect_enough_is_known_beforehand() {
    let settings = JudgeSettings { requests_min: Some(437), ..JudgeSettings::default() };
    let traffic = |requests_per_second| ExpectedTraffic { requests_per_second, bake: Duration::from_secs(600) };
    assert_eq!(settings.shortfall(share(0.01), 0.001, traffic(1000.0)), None);
    let short = settings.shortfall(share(0.01), 0.001, traffic(10.0)).unwrap();
    assert_eq!((short.needed, short.expected, short.bake), (437, 60.0, Duration::from_secs(4370)));
    assert_eq!(settings.shortfall(share(0.01), 0.001, traffic(0.0)).unwrap().bake, Duration::MAX);
}

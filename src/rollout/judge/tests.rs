//! The judge as a whole: evidence by ticks in, verdicts out.

use std::time::Duration;

use super::endpoint_watch::EndpointCounts;
use super::evidence::{EpochCounts, Evidence, OutcomeCounts};
use super::fixture::{Chance, margin, mean, probability, share, within};
use super::judge_settings::{Assignment, Ceilings, JudgeSettings, Multiple, SlowCeiling};
use super::per_version::PerVersion;
use super::quantiles::{LatencyCounts, Quantiles};
use super::verdict::{Bake, HoldReason, JudgeDecision, Names, RollbackCause};
use super::*;
use crate::rollout::counts::CountsReader;
use crate::shared::canary_stats::{Arm, CanaryOutcome, CanaryStats, CanaryTerms, ResponseSeen};
use crate::shared::endpoint_tallies::EndpointTotals;
use crate::shared::flights::Told;
use crate::shared::response_counters::ResponseOutcome;
use crate::table::Weight;

const SEED: u64 = 20_260_417;
const TICK: Duration = Duration::from_millis(250);
const NAMES: Names = Names { service: "shop", candidate: "v2", baseline: "v1" };
const OVER: Bake = Bake::Over { ago: Duration::ZERO };

/// The default settings, by which each request counts for itself: what the bets say.
fn plain() -> JudgeSettings {
    JudgeSettings { tolerate_burst: Duration::ZERO, ..JudgeSettings::default() }
}

/// Only failures are judged, with nothing granted.
fn errors_only() -> JudgeSettings {
    JudgeSettings { slower: None, margin: margin(1.0, 0.0), ..plain() }
}

fn counts(requests: u64, failures: u64) -> OutcomeCounts {
    OutcomeCounts::of(requests, failures)
}

fn epoch(w: f64, candidate: OutcomeCounts, baseline: OutcomeCounts) -> EpochCounts {
    EpochCounts { outcomes: PerVersion { candidate, baseline }, ..EpochCounts::none(share(w)) }
}

fn tick(judge: &mut Judge, now: Duration, epoch: EpochCounts) {
    judge.tick(now, &Evidence { epochs: &[epoch], ..Evidence::default() });
}

/// A judge that was told one thing in one tick.
fn told(settings: JudgeSettings, epoch: EpochCounts) -> Judge {
    let mut judge = Judge::new(settings, epoch.share, Duration::ZERO);
    tick(&mut judge, TICK, epoch);
    judge
}

fn hold(judge: &Judge, bake: Bake) -> HoldReason {
    match judge.decision(bake) {
        JudgeDecision::Hold { why, .. } => why,
        other @ (JudgeDecision::RollBack(_) | JudgeDecision::Advance) => panic!("found {other:?}, want a hold"),
    }
}

/// What 250 requests bring in a tick.
struct TestTraffic {
    share: f64,
    failing: PerVersion<f64>,
    /// The probabilities to exceed the three thresholds.
    above: PerVersion<[f64; 3]>,
}

impl TestTraffic {
    const HEALTHY: Self = Self {
        share: 0.1,
        failing: PerVersion { candidate: 0.001, baseline: 0.001 },
        above: PerVersion { candidate: [0.5, 0.1, 0.01], baseline: [0.5, 0.1, 0.01] },
    };

    fn tick(&self, chance: &mut Chance) -> EpochCounts {
        let candidate = chance.binomial(250, self.share);
        let mut side = |requests, failing, above: [f64; 3]| {
            let first = chance.binomial(requests, above[0]);
            let second = chance.binomial(first, above[1] / above[0]);
            let third = chance.binomial(second, above[2] / above[1]);
            let latencies = LatencyCounts::of([requests - first, first - second, second - third, third]);
            (counts(requests, chance.binomial(requests, failing)), latencies.with_slow(third))
        };
        let candidate = side(candidate, self.failing.candidate, self.above.candidate);
        let baseline = side(250 - candidate.0.requests, self.failing.baseline, self.above.baseline);
        let mut epoch = epoch(self.share, candidate.0, baseline.0);
        epoch.latencies = PerVersion { candidate: candidate.1, baseline: baseline.1 };
        epoch
    }

    /// Ticks after `start` until a rollback, or `None` after `ticks` of them.
    fn run(&self, judge: &mut Judge, start: Duration, ticks: u32, chance: &mut Chance) -> Option<(u32, RollbackCause)> {
        (1..=ticks).find_map(|number| {
            tick(judge, start + number * TICK, self.tick(chance));
            match judge.decision(Bake::Running) {
                JudgeDecision::RollBack(cause) => Some((number, cause)),
                JudgeDecision::Advance | JudgeDecision::Hold { .. } => None,
            }
        })
    }
}

#[test]
fn a_rollback_says_on_what_evidence() {
    let judge = told(errors_only(), epoch(0.01, counts(212, 9), counts(20_340, 21)));
    let verdict = judge.verdict(Bake::Running, &NAMES);
    assert_eq!(verdict.decision, JudgeDecision::RollBack(RollbackCause::Errors));
    assert_eq!(
        verdict.summary,
        "rolled back shop v2: 9 of 212 requests failed (4.2 %) against 21 of 20,340 (0.1 %) on v1, \
         odds of chance below 1 in 1,000"
    );
    let findings = verdict.findings;
    assert_eq!((findings.share, findings.outcomes.candidate), (share(0.01), counts(212, 9)));
    assert!(findings.standing.comparison >= findings.ln_alarm);
    assert!(findings.ratio.is_some_and(|ratio| ratio.low > 9.0 && ratio.high < 160.0), "{:?}", findings.ratio);
}

#[test]
fn one_burst_is_no_proof_however_bad_it_is() {
    let settings = JudgeSettings { slower: None, ..JudgeSettings::default() };
    let mut judge = told(settings, epoch(0.1, counts(100, 100), counts(900, 1)));
    for number in 2..=5 {
        tick(&mut judge, number * TICK, epoch(0.1, counts(100, 100), counts(900, 1)));
        assert_eq!(hold(&judge, OVER), HoldReason::Suspicion, "after {number} ticks");
    }
    for number in 6..=9 {
        tick(&mut judge, number * TICK, epoch(0.1, counts(100, 100), counts(900, 1)));
    }
    let verdict = judge.verdict(Bake::Running, &NAMES);
    assert_eq!(verdict.decision, JudgeDecision::RollBack(RollbackCause::Errors));
    assert!(
        verdict.summary.contains(" (E ") && verdict.summary.ends_with(", a burst of 1 s counts once)"),
        "{}",
        verdict.summary
    );
}

#[test]
fn totals_that_speak_for_the_candidate_turn_nothing_back() {
    let settings = JudgeSettings { assignment: Assignment::PerKey, ..errors_only() };
    let candidate = OutcomeCounts::of(1_000, 9);
    let baseline = OutcomeCounts { counted_failures: 1, ..OutcomeCounts::of(9_000, 300) };
    let judge = told(settings, epoch(0.1, candidate, baseline));
    assert!(judge.standing().comparison > judge.settings().ln_alarm());
    assert_eq!(hold(&judge, OVER), HoldReason::Suspicion);
}

#[test]
fn a_late_regression_is_told_by_the_stretch_that_proves_it() {
    let mut judge = Judge::new(errors_only(), share(0.1), Duration::ZERO);
    for number in 1..=200 {
        tick(
            &mut judge,
            number * TICK,
            epoch(0.1, counts(10, u64::from(number % 10 == 0)), counts(90, u64::from(number % 2 == 0))),
        );
    }
    for number in 201..=206 {
        tick(&mut judge, number * TICK, epoch(0.1, counts(10, 5), counts(90, 0)));
    }
    let verdict = judge.verdict(Bake::Running, &NAMES);
    assert_eq!(verdict.decision, JudgeDecision::RollBack(RollbackCause::Errors));
    assert!(
        verdict.summary.starts_with(
            "rolled back shop v2: 30 of the last 60 requests failed in 1.5 s (50 %) against 0 of 540 (0 %) on v1, \
             after 20 of 2,000 before, odds"
        ),
        "{}",
        verdict.summary
    );
}

#[test]
fn a_summary_does_not_say_that_something_was_done_when_nothing_was() {
    let worse = told(errors_only(), epoch(0.1, counts(212, 30), counts(2_000, 2)));
    let by_hand = worse.verdict_under(InCharge::Operator, Bake::Running, &NAMES);
    assert!(matches!(by_hand.decision, JudgeDecision::RollBack(_)), "{}", by_hand.summary);
    assert_eq!(
        by_hand.summary,
        "shop v2 is worse: 30 of 212 requests failed (14.2 %) against 2 of 2,000 (0.1 %) on v1, odds of chance below 1 in \
         1,000; an operator has changed what it moves by hand, so nothing is done"
    );
    let fine = told(errors_only(), epoch(0.1, counts(200, 0), counts(2_000, 2)));
    let watching = fine.verdict_under(InCharge::WayBack, OVER, &NAMES).summary;
    assert!(
        watching.starts_with("watching shop v2: 0 of 200") && watching.ends_with("; it is on its way back"),
        "{watching}"
    );
}

#[test]
fn two_failures_are_an_anecdote_whatever_the_odds() {
    let settings = JudgeSettings { alpha: probability(0.01), ..errors_only() };
    let mut judge = told(settings, epoch(0.0001, counts(2, 2), counts(20_000, 0)));
    assert!(judge.standing().comparison > judge.settings().ln_alarm());
    assert_eq!(hold(&judge, OVER), HoldReason::Suspicion);
    tick(&mut judge, 2 * TICK, epoch(0.0001, counts(1, 1), counts(0, 0)));
    assert_eq!(judge.decision(Bake::Running), JudgeDecision::RollBack(RollbackCause::Errors));
}

#[test]
fn holds_are_named() {
    let enough = JudgeSettings { requests_min: Some(437), ..errors_only() };
    let sentence = |settings, bake, epoch| told(settings, epoch).verdict(bake, &NAMES).summary;
    assert_eq!(
        sentence(enough, OVER, epoch(0.01, counts(120, 0), counts(12_000, 12))),
        "holding shop v2: not enough data: 120 of 437 requests, about 1 s more"
    );
    assert_eq!(
        sentence(enough, OVER, epoch(0.01, counts(500, 3), counts(50_000, 20))),
        "holding shop v2: 10 <= E (37): 3 of 500 requests failed (0.6 %) against 20 of 50,000 (0.04 %) on v1"
    );
    assert_eq!(
        sentence(enough, OVER, epoch(0.1, counts(500, 100), counts(4_500, 900))),
        "holding shop v2: baseline ill: 900 of 4,500 requests of v1 failed (20 %) in the last 60 s"
    );
    assert_eq!(
        sentence(enough, Bake::Running, epoch(0.01, counts(500, 0), counts(50_000, 50))),
        "holding shop v2: baking: 0 of 500 requests failed (0 %) against 50 of 50,000 (0.1 %) on v1, E 0.39"
    );
    let (many, ill_at_half) = (counts(600, 200), probability(0.5));
    let settings = JudgeSettings { baseline_unhealthy: ill_at_half, ..errors_only() };
    assert_eq!(
        sentence(settings, OVER, epoch(0.5, many, many)),
        "holding shop v2: not enough data: 600 requests, and no number is enough beside v1, \
         where 200 of 600 requests failed (33.3 %)"
    );
}

#[test]
fn a_version_that_is_proved_better_goes_on_beside_an_ill_one() {
    let settings = JudgeSettings { slower: None, ..JudgeSettings::default() };
    let mut judge = told(settings, epoch(0.1, counts(892, 0), counts(8_554, 870)));
    assert_eq!(judge.decision(OVER), JudgeDecision::Advance, "{}", judge.verdict(OVER, &NAMES).summary);
    // The next step is judged by its own requests, and not by what would have to be told from one failure in ten.
    judge.begin_step(share(0.5));
    let HoldReason::NotEnoughData { judged: 0, needed: Some(needed) } = hold(&judge, OVER) else {
        panic!("{}", judge.verdict(OVER, &NAMES).summary)
    };
    assert!(needed < 2_500, "{needed}");
    tick(&mut judge, 2 * TICK, epoch(0.5, counts(needed, 0), counts(needed, needed / 10)));
    assert_eq!(judge.decision(OVER), JudgeDecision::Advance);
    // As ill as the other, or not proved to be better, it waits.
    for (candidate, baseline) in [(counts(892, 89), counts(8_554, 870)), (counts(20, 1), counts(180, 18))] {
        let ill = told(settings, epoch(0.1, candidate, baseline));
        assert_eq!(hold(&ill, OVER), HoldReason::BaselineUnhealthy, "{candidate:?}");
    }
    // What was better once and is ill now is no remedy.
    tick(&mut judge, Duration::from_secs(120), epoch(0.5, counts(900, 90), counts(900, 90)));
    assert_eq!(hold(&judge, OVER), HoldReason::BaselineUnhealthy);
}

#[test]
fn a_hold_expires() {
    let judge = told(errors_only(), EpochCounts::none(share(0.01)));
    let expired = |ago| match judge.verdict(Bake::Over { ago }, &NAMES) {
        Verdict { decision: JudgeDecision::Hold { expired, .. }, summary, .. } => {
            (expired, summary.ends_with("as allowed"))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(expired(Duration::from_secs(1799)), (false, false));
    assert_eq!(expired(Duration::from_secs(1800)), (true, true));
}

#[test]
fn a_hold_for_lack_of_data_lasts_as_long_as_something_comes() {
    // At one request a second, of which v2 has one in a hundred.
    let mut judge = Judge::new(JudgeSettings::default(), share(0.01), Duration::ZERO);
    let at = |seconds: u64| Duration::from_secs(seconds);
    let is_expired = |judge: &Judge, now| {
        let bake = Bake::Over { ago: now - at(600) };
        matches!(judge.decision(bake), JudgeDecision::Hold { expired: true, .. })
    };
    for hundred in 1..=360 {
        tick(&mut judge, at(hundred * 100), epoch(0.01, counts(1, 0), counts(99, 0)));
        assert!(hundred < 6 || !is_expired(&judge, at(hundred * 100)), "after {hundred}");
    }
    let text = judge.verdict(Bake::Over { ago: at(35_400) }, &NAMES).summary;
    assert!(text.starts_with("holding shop v2: not enough data: 360 of ") && text.ends_with(" h more"), "{text}");
    // Nothing comes any more.
    tick(&mut judge, at(37_799), EpochCounts::none(share(0.01)));
    assert!(!is_expired(&judge, at(37_799)));
    tick(&mut judge, at(37_800), EpochCounts::none(share(0.01)));
    assert!(is_expired(&judge, at(37_800)));
}

#[test]
fn a_hint_names_the_test_that_speaks() {
    let mut settings = errors_only();
    settings.ceilings.failures = Some(probability(0.01));
    // As v1, and above what is allowed.
    let judge = told(settings, epoch(0.5, counts(400, 12), counts(400, 12)));
    let (standing, verdict) = (judge.standing(), judge.verdict(OVER, &NAMES));
    assert!(standing.comparison < 0.0 && standing.failure_ceiling > Some(10_f64.ln()), "{standing:?}");
    assert_eq!((standing.leading(), hold(&judge, OVER)), (RollbackCause::FailureCeiling, HoldReason::Suspicion));
    let (head, tail) = verdict.summary.split_once(" for errors_max): ").expect("it names the ceiling");
    assert!(head.starts_with("holding shop v2: 10 <= E ("), "{}", verdict.summary);
    assert_eq!(tail, "12 of 400 requests failed (3 %), where the plan allows 1 %");
}

#[test]
fn totals_below_a_ceiling_are_not_said_to_be_above_it() {
    let mut settings = errors_only();
    settings.ceilings.failures = Some(probability(0.05));
    let mut judge = Judge::new(settings, share(0.5), Duration::ZERO);
    for number in 1..=160 {
        tick(&mut judge, number * TICK, epoch(0.5, counts(2, 0), counts(2, 0)));
    }
    for number in 161..=168 {
        tick(&mut judge, number * TICK, epoch(0.5, counts(1, 1), counts(1, 0)));
        let verdict = judge.verdict(Bake::Running, &NAMES);
        let above = verdict.summary.contains("more than the allowed 5 %");
        let lately = verdict.summary.contains("of the last");
        assert!(!above || lately, "{}", verdict.summary);
    }
    let verdict = judge.verdict(Bake::Running, &NAMES);
    assert_eq!(verdict.decision, JudgeDecision::RollBack(RollbackCause::FailureCeiling), "{}", verdict.summary);
    assert!(
        verdict
            .summary
            .contains("8 of the last 8 requests failed in 2 s (100 %), more than the allowed 5 %, after 0 of 320"),
        "{}",
        verdict.summary
    );
}

#[test]
fn a_warm_up_is_said_where_there_is_nothing_to_say_yet() {
    let warming = |left| Evidence { warm_up_left: Some(Duration::from_millis(left)), ..Evidence::default() };
    let mut judge = Judge::new(errors_only(), share(0.1), Duration::ZERO);
    judge.tick(TICK, &warming(6_750));
    for bake in [Bake::Running, OVER] {
        assert_eq!(hold(&judge, bake), HoldReason::WarmingUp);
        assert_eq!(judge.verdict(bake, &NAMES).summary, "holding shop v2: warming up, 7 s left");
    }
    judge.tick(2 * TICK, &Evidence { epochs: &[epoch(0.1, counts(9, 9), counts(90, 0))], ..warming(500) });
    assert_eq!(judge.decision(Bake::Running), JudgeDecision::RollBack(RollbackCause::Errors), "a proof does not wait");
    let mut healthy = told(errors_only(), epoch(0.1, counts(2_000, 2), counts(18_000, 18)));
    healthy.tick(2 * TICK, &warming(500));
    assert_eq!(healthy.decision(OVER), JudgeDecision::Advance, "a step that has enough goes on");
    healthy.tick(3 * TICK, &Evidence::default());
    assert_eq!(hold(&healthy, Bake::Running), HoldReason::Baking);
}

#[test]
fn without_traffic_nothing_is_decided() {
    let mut judge = Judge::new(plain(), share(0.1), Duration::ZERO);
    for number in 1..10_000 {
        judge.tick(number * TICK, &Evidence::default());
    }
    assert!(matches!(hold(&judge, OVER), HoldReason::NotEnoughData { judged: 0, needed: Some(200..) }));
    assert!(judge.standing().comparison.abs() < 1e-12, "nothing was bet");
}

#[test]
fn a_healthy_version_advances_step_by_step() {
    let mut judge = told(errors_only(), epoch(0.1, counts(2_000, 2), counts(18_000, 18)));
    assert_eq!(hold(&judge, Bake::Running), HoldReason::Baking);
    let verdict = judge.verdict(OVER, &NAMES);
    assert_eq!(
        (verdict.decision, verdict.summary.as_str()),
        (
            JudgeDecision::Advance,
            "advanced shop v2: 2 of 2,000 requests failed (0.1 %) against 18 of 18,000 (0.1 %) on v1, E 0.37"
        )
    );
    judge.begin_step(share(0.5));
    tick(&mut judge, 2 * TICK, epoch(0.5, counts(10, 0), counts(10, 0)));
    assert!(matches!(hold(&judge, OVER), HoldReason::NotEnoughData { judged: 10, .. }));
    assert_eq!(judge.findings().outcomes.candidate.requests, 2_010);
}

#[test]
fn a_slower_version_is_rolled_back_with_its_quantiles() {
    let millis = |quantiles: [u64; 3]| Quantiles(quantiles.map(Duration::from_millis));
    let quantiles = PerVersion { candidate: millis([84, 251, 1200]), baseline: millis([60, 120, 500]) };
    let mut slow = epoch(0.1, counts(178, 0), counts(1_600, 1));
    slow.latencies.candidate = LatencyCounts::of([60, 57, 41, 20]);
    slow.latencies.baseline = LatencyCounts::of([800, 640, 144, 16]);
    let mut judge = Judge::new(plain(), share(0.1), Duration::ZERO);
    judge.tick(TICK, &Evidence { epochs: &[slow], quantiles: Some(quantiles), ..Evidence::default() });
    let verdict = judge.verdict(Bake::Running, &NAMES);
    assert_eq!(
        (verdict.decision, verdict.summary.as_str()),
        (
            JudgeDecision::RollBack(RollbackCause::Latency),
            "rolled back shop v2: 61 of 178 requests took more than 1.2 times the 90th percentile of v1 (34.3 %) \
             against 160 of 1,600 above it (10 %) on v1, p50/p90/p99 84 ms/251 ms/1.2 s against 60 ms/120 ms/500 ms, \
             odds of chance below 1 in 1,000"
        )
    );
    assert_eq!(verdict.findings.quantiles, Some(quantiles));
}

#[test]
fn a_verdict_names_the_endpoint_that_makes_nearly_all_of_what_is_bad() {
    let address = |last: u8| std::net::SocketAddr::from(([10, 0, 0, last], 8080));
    let of = |last, totals| EndpointCounts { address: address(last), totals };
    let failing = |requests, failures| EndpointTotals { requests, failures, ..EndpointTotals::default() };
    let sentence = |epoch: EpochCounts, ceilings, of_endpoints: &[EndpointCounts]| {
        let settings = JudgeSettings { ceilings, ..plain() };
        let mut judge = Judge::new(settings, share(0.01), Duration::ZERO);
        judge.tick(TICK, &Evidence { epochs: &[epoch], of_endpoints, ..Evidence::default() });
        judge.verdict(Bake::Running, &NAMES).summary
    };
    let failed = epoch(0.01, counts(212, 9), counts(20_340, 21));
    assert_eq!(
        sentence(failed, Ceilings::default(), &[of(6, failing(108, 0)), of(7, failing(104, 9))]),
        "rolled back shop v2: 9 of 212 requests failed (4.2 %), all on 10.0.0.7:8080, against 21 of 20,340 (0.1 %) \
         on v1, odds of chance below 1 in 1,000"
    );
    let both = sentence(failed, Ceilings::default(), &[of(6, failing(108, 4)), of(7, failing(104, 5))]);
    assert!(both.contains("failed (4.2 %) against"), "{both}");
    let ceilings = Ceilings { failures: Some(probability(0.01)), slow: None };
    let alone = epoch(1.0, counts(212, 30), counts(0, 0));
    assert_eq!(
        sentence(alone, ceilings, &[of(6, failing(108, 3)), of(7, failing(104, 27))]),
        "rolled back shop v2: 30 of 212 requests failed (14.2 %), 90 % of them on 10.0.0.7:8080, more than the allowed \
         1 %, odds of chance below 1 in 1,000"
    );
    let mut slow = epoch(0.1, counts(178, 0), counts(1_600, 1));
    slow.latencies.candidate = LatencyCounts::of([60, 57, 41, 20]);
    slow.latencies.baseline = LatencyCounts::of([800, 640, 144, 16]);
    let timed = |above| EndpointTotals { requests: 89, compared: 89, above, ..EndpointTotals::default() };
    let slow = sentence(slow, Ceilings::default(), &[of(6, timed([44, 5, 0])), of(7, timed([74, 56, 20]))]);
    assert!(slow.contains(" the 90th percentile of v1 (34.3 %), all on 10.0.0.7:8080, against 160 of"), "{slow}");
}

#[test]
fn ceilings_hold_without_a_baseline_and_share_alpha() {
    let slow = SlowCeiling { longer_than: Duration::from_millis(500), at_most: probability(0.01) };
    let settings =
        JudgeSettings { ceilings: Ceilings { failures: Some(probability(0.01)), slow: Some(slow) }, ..plain() };
    let failing = told(settings, epoch(1.0, counts(212, 18), counts(0, 0)));
    let verdict = failing.verdict(Bake::Running, &NAMES);
    assert_eq!(verdict.decision, JudgeDecision::RollBack(RollbackCause::FailureCeiling));
    assert_eq!(
        verdict.summary,
        "rolled back shop v2: 18 of 212 requests failed (8.5 %), more than the allowed 1 %, \
         odds of chance below 1 in 1,000"
    );
    let mut epoch = epoch(1.0, counts(212, 0), counts(0, 0));
    epoch.latencies.candidate = LatencyCounts { timed: 212, slow: 18, first_slow: 18, ..LatencyCounts::default() };
    let verdict = told(settings, epoch).verdict(Bake::Running, &NAMES);
    assert_eq!(verdict.decision, JudgeDecision::RollBack(RollbackCause::SlowCeiling));
    assert!(verdict.summary.contains("18 of 212 requests took longer than 500 ms (8.5 %), more than the allowed 1 %"));
}

#[test]
fn a_ceiling_sees_a_version_that_breaks_late() {
    let settings = JudgeSettings { ceilings: Ceilings { failures: Some(probability(0.01)), slow: None }, ..plain() };
    let mut judge = Judge::new(settings, share(0.1), Duration::ZERO);
    let second = Duration::from_secs;
    for now in 1..=1_200 {
        tick(&mut judge, second(now), epoch(1.0, counts(1_000, 1), counts(0, 0)));
    }
    for now in 1_201..1_204 {
        tick(&mut judge, second(now), epoch(1.0, counts(1_000, 50), counts(0, 0)));
    }
    assert_eq!(judge.decision(Bake::Running), JudgeDecision::RollBack(RollbackCause::FailureCeiling));
}

#[test]
fn the_sum_of_the_tests_counts_and_with_keys_the_largest() {
    let mut both = epoch(0.1, counts(400, 3), counts(3_600, 3));
    both.latencies.candidate = LatencyCounts::of([90, 75, 30, 5]);
    both.latencies.baseline = LatencyCounts::of([900, 720, 162, 18]);
    let judged = |assignment| {
        let judge = told(JudgeSettings { assignment, ..plain() }, both);
        let standing = judge.standing();
        (standing.errors.exp(), standing.latency.unwrap().exp(), standing.comparison.exp())
    };
    let (errors, latency, comparison) = judged(Assignment::PerRequest);
    assert!(errors > 0.8 && latency > 0.2 && (errors + latency - comparison).abs() < 1e-9);
    let (errors, halved, comparison) = judged(Assignment::PerKey);
    assert!((errors.max(halved) - comparison).abs() < 1e-9);
    assert!(halved < latency, "the first window has half of alpha");
}

#[test]
fn epochs_of_one_tick_and_their_order_make_no_difference() {
    let epochs = [
        epoch(0.01, counts(10, 1), counts(990, 2)),
        epoch(0.1, counts(25, 0), counts(225, 1)),
        epoch(0.5, counts(125, 1), counts(125, 0)),
    ];
    let judged = |order: [usize; 3], at_once: bool| {
        let mut judge = Judge::new(plain(), share(0.1), Duration::ZERO);
        let epochs = order.map(|number| epochs[number]);
        for epochs in epochs.chunks(if at_once { 3 } else { 1 }) {
            judge.tick(TICK, &Evidence { epochs, ..Evidence::default() });
        }
        judge.standing().comparison
    };
    let first = judged([0, 1, 2], true);
    for order in [[0, 2, 1], [1, 0, 2], [2, 1, 0]] {
        assert!((judged(order, true) - first).abs() < 1e-12 && (judged(order, false) - first).abs() < 1e-12);
    }
}

#[test]
fn users_are_named_where_they_count_once() {
    let settings = JudgeSettings { assignment: Assignment::PerKey, ..errors_only() };
    let candidate = OutcomeCounts { counted_failures: 9, ..OutcomeCounts::of(212, 30) };
    let judge = told(settings, epoch(0.01, candidate, counts(20_340, 21)));
    assert_eq!(
        judge.verdict(Bake::Running, &NAMES).summary,
        "rolled back shop v2: 30 of 212 requests failed (14.2 %) of 9 users against 21 of 20,340 (0.1 %) on v1, \
         odds of chance below 1 in 1,000"
    );
}

#[test]
fn a_bad_version_is_caught_through_ticks_as_without_them() {
    let traffic = TestTraffic { failing: PerVersion { candidate: 0.02, baseline: 0.001 }, ..TestTraffic::HEALTHY };
    let mut chance = Chance::new(SEED);
    let requests: Vec<_> = (0..2_000)
        .map(|_| {
            let mut judge = Judge::new(errors_only(), share(0.1), Duration::ZERO);
            let (ticks, _) = traffic.run(&mut judge, Duration::ZERO, 1_000, &mut chance).unwrap();
            f64::from(ticks) * 25.0
        })
        .collect();
    // 291 without a reserve, a tenth more with it, and half a tick until one looks.
    within(0.06, 291.0 * 1.1 + 12.5, mean(&requests), &format!("seed {SEED}"));
}

#[test]
fn a_version_that_turns_bad_after_a_quarter_of_an_hour_is_caught_soon() {
    let bad = TestTraffic { failing: PerVersion { candidate: 0.02, baseline: 0.001 }, ..TestTraffic::HEALTHY };
    let mut chance = Chance::new(SEED);
    let requests: Vec<_> = (0..60)
        .filter_map(|_| {
            let mut judge = Judge::new(errors_only(), share(0.1), Duration::ZERO);
            let quarter = TestTraffic::HEALTHY.run(&mut judge, Duration::ZERO, 3_600, &mut chance);
            let (ticks, _) = bad.run(&mut judge, 3_600 * TICK, 1_000, &mut chance).unwrap();
            quarter.is_none().then_some(f64::from(ticks) * 25.0)
        })
        .collect();
    assert!(mean(&requests) < 650.0, "found {}, seed {SEED}", mean(&requests));
}

#[test]
fn both_versions_failing_rolls_nothing_back_and_promotes_nothing() {
    let outage = TestTraffic { failing: PerVersion { candidate: 0.5, baseline: 0.5 }, ..TestTraffic::HEALTHY };
    let mut chance = Chance::new(SEED);
    for _ in 0..50 {
        let mut judge = Judge::new(plain(), share(0.1), Duration::ZERO);
        assert_eq!(outage.run(&mut judge, Duration::ZERO, 200, &mut chance), None, "seed {SEED}");
        assert!(matches!(hold(&judge, OVER), HoldReason::BaselineUnhealthy | HoldReason::Suspicion));
    }
}

#[test]
fn healthy_versions_are_not_rolled_back() {
    let mut chance = Chance::new(SEED);
    let mut judge = || {
        let mut judge = Judge::new(plain(), share(0.1), Duration::ZERO);
        TestTraffic::HEALTHY.run(&mut judge, Duration::ZERO, 400, &mut chance)
    };
    let alarms = (0..300).filter(|_| judge().is_some()).count();
    assert!(alarms <= 2, "{alarms} of 300 at 1 in 1,000, seed {SEED}");
}

/// A user of the simulations below.
struct TestUser {
    arm: Arm,
    activity: u64,
    /// The probability that a request fails, or exceeds every threshold; the same on any version.
    failing: f64,
    slow: f64,
}

/// The slots of both versions.
fn shares(w: f64) -> [u32; 2] {
    let candidate = Weight::from_percent(w * 100.0).unwrap().slots();
    [candidate, Weight::FULL.slots() - candidate]
}

/// Ticks of users with very unequal activity, of whom some fail and some are slow wherever they go; whether a
/// healthy candidate was rolled back.
fn sticky_release(assignment: Assignment, w: f64, chance: &mut Chance) -> bool {
    let settings = JudgeSettings { alpha: probability(0.01), assignment, ..plain() };
    let mut judge = Judge::new(settings, share(0.1), Duration::ZERO);
    let terms = CanaryTerms {
        candidate: NAMES.candidate.into(),
        baseline: NAMES.baseline.into(),
        per_key: assignment == Assignment::PerKey,
        slow_us: None,
        failed_calls: 0,
        burst_ticks: settings.burst_ticks(),
        responses: false,
        except: [].into(),
        routes: false,
        flag: None,
        flags: [].into(),
    };
    let canary = CanaryStats::new(terms, 1);
    let (split, mut counts) = (canary.epoch(shares(w)), CountsReader::default());
    canary.compare_with([[1; 3]; 2]);
    let users: Vec<_> = (0..150)
        .map(|_| TestUser {
            arm: if chance.happens(w) { Arm::Candidate } else { Arm::Baseline },
            activity: chance.activity(),
            failing: if chance.happens(0.1) { 0.3 } else { 0.001 },
            slow: if chance.happens(0.1) { 0.9 } else { 0.01 },
        })
        .collect();
    (1..=40).any(|number| {
        for (slot, user) in (0..).zip(&users) {
            for _ in 0..user.activity {
                let (failed, is_slow) = (chance.happens(user.failing), chance.happens(user.slow));
                let micros = if is_slow { 2 } else { 1 };
                let outcome = CanaryOutcome {
                    arm: user.arm,
                    slot: Some(slot),
                    client: None,
                    failed,
                    seen: ResponseSeen::Whole,
                    timed: true,
                    micros,
                    response: ResponseOutcome::NONE,
                    route: None,
                    endpoint: None,
                };
                split.count(0, &outcome, Told::default());
            }
        }
        let users = counts.look_at_users(&canary, judge.windows());
        let epochs = counts.read(&canary);
        judge.tick(number * TICK, &Evidence { epochs: &epochs, users, ..Evidence::default() });
        matches!(judge.decision(Bake::Running), JudgeDecision::RollBack(_))
    })
}

#[test]
fn users_who_come_back_are_one_draw() {
    let mut chance = Chance::new(SEED);
    for w in [0.02, 0.2] {
        let mut alarms = |assignment, runs| (0..runs).filter(|_| sticky_release(assignment, w, &mut chance)).count();
        let (per_request, per_key) = (alarms(Assignment::PerRequest, 100), alarms(Assignment::PerKey, 500));
        assert!(per_request >= 20, "counted per request {per_request} of 100 at {w}, seed {SEED}");
        assert!(per_key <= 5, "counted once {per_key} of 500 at {w}, alpha 1 in 100, seed {SEED}");
    }
}

#[test]
fn a_slower_version_is_caught_through_windows_of_users() {
    let settings = JudgeSettings { assignment: Assignment::PerKey, ..plain() };
    let slower = TestTraffic {
        above: PerVersion { candidate: [0.8, 0.4, 0.1], baseline: TestTraffic::HEALTHY.above.baseline },
        ..TestTraffic::HEALTHY
    };
    let mut chance = Chance::new(SEED);
    let mut judge = Judge::new(settings, share(0.1), Duration::ZERO);
    let healthy = TestTraffic::HEALTHY.run(&mut judge, Duration::ZERO, 6_000, &mut chance);
    assert_eq!((healthy, judge.windows().latency.number), (None, 3), "seed {SEED}");
    let (ticks, cause) = slower.run(&mut judge, 6_000 * TICK, 100, &mut chance).unwrap();
    assert!(ticks <= 20 && cause == RollbackCause::Latency, "{ticks} ticks, {cause:?}, seed {SEED}");
}

/// Why the counters have to leave out both sides alike.
#[test]
fn a_candidate_whose_requests_are_not_reported_is_suspected_of_being_slow() {
    let mut lopsided = epoch(0.5, counts(0, 0), counts(40, 0));
    lopsided.latencies.baseline = LatencyCounts::of([20, 16, 4, 0]);
    let judge = told(plain(), lopsided);
    assert!(matches!(hold(&judge, OVER), HoldReason::Suspicion), "{:?}", judge.standing());
}

#[test]
fn latency_is_not_judged_unless_asked() {
    let slower = TestTraffic {
        above: PerVersion { candidate: [0.9, 0.9, 0.9], baseline: [0.5, 0.1, 0.01] },
        ..TestTraffic::HEALTHY
    };
    let mut chance = Chance::new(SEED);
    let mut judge = |slower_than| {
        let settings = JudgeSettings { slower: slower_than, ..plain() };
        slower.run(&mut Judge::new(settings, share(0.1), Duration::ZERO), Duration::ZERO, 20, &mut chance)
    };
    assert_eq!(judge(None), None);
    assert!(matches!(judge(Multiple::new(1.2)), Some((1..=3, RollbackCause::Latency))));
}

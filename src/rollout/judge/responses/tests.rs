use super::super::fixture::{Chance, share};
use super::super::response_rules::ResponseRules;
use super::super::verdict::RollbackCause;
use super::super::{Assignment, Bake, Evidence, HoldReason, Judge, JudgeDecision, Names, OutcomeCounts, Side};
use super::*;
use crate::rollout::TICK;

/// Repeats everything here.
const SEED: u64 = 20_261_129;

/// Requests a second.
const RATE: u64 = 1_000;

/// What becomes of a class, by version.
#[derive(Clone, Copy)]
struct World {
    share: f64,
    class: ResponseClass,
    candidate: f64,
    baseline: f64,
}

/// A tick of a world.
fn tick(world: &World, chance: &mut Chance) -> EpochCounts {
    let mut counts = EpochCounts::none(share(world.share));
    let of_candidate = chance.binomial(RATE / 4, world.share);
    for (side, requests, part) in
        [(Side::Candidate, of_candidate, world.candidate), (Side::Baseline, RATE / 4 - of_candidate, world.baseline)]
    {
        *counts.outcomes.of_mut(side) = OutcomeCounts::of(requests, 0);
        let found = chance.binomial(requests, part);
        let totals = counts.responses.of_mut(side);
        (totals.asked, totals.compared) = (requests, requests);
        (totals.by_class[world.class.index()], totals.counted[world.class.index()]) = (found, found);
    }
    counts
}

fn judge(rules: ResponseRules) -> Judge {
    let settings =
        JudgeSettings { responses: rules, slower: None, requests_min: Some(100), ..JudgeSettings::default() };
    Judge::new(settings, share(0.1), Duration::ZERO)
}

/// The decision after a while, and when it was first one of those that turn back or hold because of responses.
fn decided(judge: &mut Judge, world: &World, seconds: u32) -> (JudgeDecision, Option<Duration>) {
    let (mut chance, mut first) = (Chance::new(SEED), None);
    let over = Bake::Over { ago: Duration::ZERO };
    for number in 1..=4 * seconds {
        let now = number * TICK;
        judge.tick(now, &Evidence { epochs: &[tick(world, &mut chance)], ..Evidence::default() });
        let decision = judge.decision(over);
        let of_responses = JudgeDecision::Hold { why: HoldReason::Responses, expired: false };
        if decision == of_responses || decision == JudgeDecision::RollBack(RollbackCause::Responses) {
            first.get_or_insert(now);
        }
        if matches!(decision, JudgeDecision::RollBack(_)) {
            return (decision, first);
        }
    }
    (judge.decision(over), first)
}

const TURNED_BACK: JudgeDecision = JudgeDecision::RollBack(RollbackCause::Responses);
const HELD: JudgeDecision = JudgeDecision::Hold { why: HoldReason::Responses, expired: false };

#[test]
fn what_follows_depends_on_the_class_and_on_how_much_has_changed() {
    let world = |class, baseline, candidate| World { share: 0.1, class, candidate, baseline };
    for (class, baseline, candidate, want) in [
        (ResponseClass::NotFound, 0.03, 1.0, TURNED_BACK),
        (ResponseClass::NotFound, 0.0, 0.3, TURNED_BACK),
        (ResponseClass::NotFound, 0.0, 0.2, HELD),
        (ResponseClass::NotFound, 0.0, 0.033, JudgeDecision::Advance),
        (ResponseClass::Unauthorized, 0.0, 0.033, HELD),
        (ResponseClass::Redirect, 0.4, 0.9, TURNED_BACK),
        (ResponseClass::NotModified, 0.6, 0.6, JudgeDecision::Advance),
        (ResponseClass::TooMany, 0.5, 0.2, JudgeDecision::Advance),
        (ResponseClass::UnusualStatus, 0.0, 1.0, TURNED_BACK),
        (ResponseClass::Empty, 0.0, 1.0, HELD),
        (ResponseClass::Empty, 0.0, 0.2, HELD),
        (ResponseClass::Long, 0.01, 0.04, JudgeDecision::Advance),
        (ResponseClass::OtherType, 0.0, 1.0, HELD),
    ] {
        let (found, at) = decided(&mut judge(ResponseRules::default()), &world(class, baseline, candidate), 60);
        assert_eq!(found, want, "{class:?} {baseline} {candidate}, first at {at:?}, seed {SEED}");
    }
}

#[test]
fn everything_as_a_404_is_found_within_two_bursts() {
    for (share, baseline, within) in [(0.01, 0.03, 8), (0.1, 0.03, 4), (0.5, 0.03, 4)] {
        let world = World { share, class: ResponseClass::NotFound, candidate: 1.0, baseline };
        let (found, at) = decided(&mut judge(ResponseRules::default()), &world, 30);
        assert_eq!(found, TURNED_BACK);
        assert!(at.unwrap() <= Duration::from_secs(within), "{share}: {at:?}, seed {SEED}");
    }
}

#[test]
fn the_plan_says_what_follows() {
    let action = |action| ResponseRules { status: action, length: action, media_type: action };
    for class in [ResponseClass::NotFound, ResponseClass::Short, ResponseClass::OtherType] {
        let world = World { share: 0.1, class, candidate: 1.0, baseline: 0.0 };
        for (rules, want) in [
            (action(ResponseAction::RollBack), TURNED_BACK),
            (action(ResponseAction::Hold), HELD),
            (ResponseRules::OFF, JudgeDecision::Advance),
        ] {
            assert_eq!(decided(&mut judge(rules), &world, 60).0, want, "{class:?}");
        }
    }
}

#[test]
fn the_sentence_names_both_shares_and_what_to_do() {
    let names = Names { service: "shop", candidate: "v2", baseline: "v1" };
    let over = Bake::Over { ago: Duration::ZERO };
    let told = |class, candidate: [u64; 2], baseline: [u64; 2]| {
        let mut judge = judge(ResponseRules::default());
        // In parts, so that it is no single burst.
        for number in 1..=20_u32 {
            let mut counts = EpochCounts::none(share(0.1));
            for (side, [found, asked]) in [(Side::Candidate, candidate), (Side::Baseline, baseline)] {
                let totals = counts.responses.of_mut(side);
                (totals.asked, totals.compared) = (asked, asked);
                (totals.by_class, totals.counted) = ([0; 11], [0; 11]);
                (totals.by_class[class], totals.counted[class]) = (found, found);
                counts.outcomes.of_mut(side).requests = asked;
            }
            judge.tick(number * 8 * TICK, &Evidence { epochs: &[counts], ..Evidence::default() });
        }
        judge.verdict(over, &names)
    };
    let found = told(ResponseClass::NotFound.index(), [10, 10], [3, 90]);
    assert_eq!(
        found.summary,
        "rolled back shop v2: 200 of 200 responses are 404 or 410 (100 %) against 60 of 1,800 (3.3 %) on v1, odds of \
         chance below 1 in 1,000 (E 1,250,958,483,361, a burst of 1 s counts once)",
    );
    let found = told(ResponseClass::OtherType.index(), [10, 10], [0, 90]);
    assert_eq!(
        found.summary,
        "holding shop v2: 200 of 200 responses are of a content type that v1 hardly has (100 %) against 0 of 1,800 \
         (0 %) on v1: promote or abort",
    );
    assert_eq!(found.responses.len(), 1);
    assert!(!found.responses[0].is_large);
}

#[test]
fn what_an_operator_promoted_over_holds_no_more() {
    let world = World { share: 0.1, class: ResponseClass::Long, candidate: 1.0, baseline: 0.0 };
    let mut judge = judge(ResponseRules::default());
    assert_eq!(decided(&mut judge, &world, 20).0, HELD);
    judge.accept_findings();
    assert_eq!(judge.decision(Bake::Over { ago: Duration::ZERO }), JudgeDecision::Advance);
    let names = Names { service: "shop", candidate: "v2", baseline: "v1" };
    let found = judge.verdict(Bake::Running, &names).responses;
    assert!(found.len() == 1 && found[0].is_accepted, "{found:?}");
}

#[test]
fn a_finding_goes_when_nothing_of_it_is_left() {
    let bad = World { share: 0.1, class: ResponseClass::Redirect, candidate: 0.1, baseline: 0.0 };
    let mut judge = judge(ResponseRules::default());
    assert_eq!(decided(&mut judge, &bad, 10).0, HELD);
    let good = World { candidate: 0.0, ..bad };
    let mut chance = Chance::new(SEED);
    for number in 41..=4 * 900 {
        judge.tick(number * TICK, &Evidence { epochs: &[tick(&good, &mut chance)], ..Evidence::default() });
    }
    assert_eq!(judge.decision(Bake::Over { ago: Duration::ZERO }), JudgeDecision::Advance);
}

#[test]
fn a_version_that_turns_late_is_told_by_its_last_stretch() {
    let mut judge = judge(ResponseRules::default());
    let good = World { share: 0.1, class: ResponseClass::NotFound, candidate: 0.03, baseline: 0.03 };
    let mut chance = Chance::new(SEED);
    let mut now = Duration::ZERO;
    let mut go = |judge: &mut Judge, world: &World| {
        now += TICK;
        judge.tick(now, &Evidence { epochs: &[tick(world, &mut chance)], ..Evidence::default() });
        matches!(judge.decision(Bake::Running), JudgeDecision::RollBack(_))
    };
    assert!(!(0..4 * 300).any(|_| go(&mut judge, &good)));
    let bad = World { candidate: 1.0, ..good };
    let ticks = (1..200).find(|_| go(&mut judge, &bad));
    assert!(ticks.is_some_and(|ticks| ticks <= 6 * 4), "{ticks:?}, seed {SEED}");
    let finding = judge.findings().response.unwrap();
    assert!(finding.lately.is_some_and(|lately| lately < Duration::from_secs(10)), "{finding:?}");
}

/// A healthy version is turned back or held in at most alpha of the rollouts; here at the edge of what is tolerated,
/// with an alpha at which chance shows.
#[test]
fn healthy_versions_are_held_no_more_often_than_promised() {
    for (assignment, share) in [(Assignment::PerRequest, 0.1), (Assignment::PerKey, 0.5)] {
        let mut chance = Chance::new(SEED);
        let mut false_ones = 0;
        for _ in 0..60 {
            let alpha = super::super::fixture::probability(0.25);
            let settings = JudgeSettings { alpha, assignment, slower: None, ..JudgeSettings::default() };
            let mut judge = Judge::new(settings, super::super::fixture::share(share), Duration::ZERO);
            let classes =
                [(ResponseClass::NotFound, 0.03), (ResponseClass::Unauthorized, 0.0), (ResponseClass::Long, 0.01)];
            let held = (1..=80_u32).any(|number| {
                let mut counts = EpochCounts::none(super::super::fixture::share(share));
                for (class, baseline) in classes {
                    let delta = if is_content(class) { OF_CONTENT } else { OF_STATUS };
                    let candidate = baseline + delta * (1.0 - baseline);
                    let more = tick(&World { share, class, candidate, baseline }, &mut chance);
                    for side in [Side::Candidate, Side::Baseline] {
                        let totals = counts.responses.of_mut(side);
                        let (found, asked) =
                            (more.responses.of(side).by_class[class.index()], more.responses.of(side).asked);
                        totals.by_class[class.index()] = found;
                        totals.counted[class.index()] = found;
                        // Each class has a lot of its own here: the bets know the successes only.
                        (totals.asked, totals.compared) = (asked, asked);
                    }
                }
                judge.tick(number * TICK, &Evidence { epochs: &[counts], ..Evidence::default() });
                judge.responses.as_ref().is_some_and(|tests| tests.objection().is_some())
            });
            false_ones += u32::from(held);
        }
        // A twentieth of alpha is theirs: less than one of 60.
        assert!(false_ones <= 4, "{assignment:?}: {false_ones} of 60, seed {SEED}");
    }
}

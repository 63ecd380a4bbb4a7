//! Metrics alone, and in the judge: what an answer of each kind does.

use proptest::prelude::*;

use super::*;
use crate::rollout::judge::verdict::{HoldReason, RollbackCause};
use crate::rollout::judge::{
    Bake, EpochCounts, Evidence, Judge, JudgeDecision, JudgeSettings, Names, OutcomeCounts, PerVersion,
};

const NAMES: Names<'_> = Names { service: "shop", candidate: "v2", baseline: "v1" };
const OVER: Bake = Bake::Over { ago: Duration::ZERO };
const AT_MOST_5: MetricRule = MetricRule { bound: MetricBound::AtMost, limit: MetricLimit::Number(5.0) };
const TWICE: MetricRule =
    MetricRule { bound: MetricBound::AtMost, limit: MetricLimit::OfBaseline { times: 2.0, slack: 1.0 } };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn share(value: f64) -> CandidateShare {
    CandidateShare::new(value).unwrap()
}

fn metric(rule: MetricRule) -> Arc<OwnMetric> {
    Arc::new(OwnMetric {
        name: Name::new("orders").unwrap(),
        url: "http://m.example".parse().unwrap(),
        query: "x{v=\"{version}\", s=\"{service}\"}".into(),
        rule,
        failures: 3,
        interval: seconds(10),
        timeout: seconds(5),
        token_file: None,
    })
}

fn no_data() -> MetricSample {
    Err("the query answered no series, want 1".into())
}

fn answer(step: u32, candidate: Option<MetricSample>, baseline: Option<MetricSample>) -> MetricAnswer {
    MetricAnswer { at_ms: 1_700_000_000_000, step, candidate, baseline }
}

/// A judge in a step that nothing else speaks against, and that has all the requests it needs.
fn judge(rule: MetricRule, at: f64) -> Judge {
    let settings = JudgeSettings { requests_min: Some(1), warm_up: Duration::ZERO, ..JudgeSettings::default() };
    let mut judge = Judge::new(settings, share(at), seconds(0));
    judge.watch_metrics(std::iter::once(metric(rule)), None);
    let outcomes = PerVersion { candidate: OutcomeCounts::of(900, 0), baseline: OutcomeCounts::of(900, 0) };
    let epoch = EpochCounts { outcomes, ..EpochCounts::none(share(at)) };
    judge.tick(seconds(1), &Evidence { epochs: &[epoch], ..Evidence::default() });
    judge
}

fn quiet(judge: &mut Judge, now: u64) {
    judge.tick(seconds(now), &Evidence::default());
}

/// Asks as the judge wants it, and answers by these numbers.
fn ask(judge: &mut Judge, now: u64, candidate: &MetricSample, baseline: &MetricSample) {
    quiet(judge, now);
    let Some(question) = judge.metric_question(0) else { return };
    let of = |asked: bool, sample: &MetricSample| asked.then(|| sample.clone());
    let answer = answer(question.step, of(question.candidate, candidate), of(question.baseline, baseline));
    judge.metric_answered(seconds(now), 0, &answer);
}

fn summary(judge: &Judge) -> String {
    judge.verdict(OVER, &NAMES).summary
}

fn held(judge: &Judge) -> Option<HoldReason> {
    match judge.decision(OVER) {
        JudgeDecision::Hold { why, .. } => Some(why),
        JudgeDecision::Advance | JudgeDecision::RollBack(_) => None,
    }
}

#[test]
fn limits_are_on_the_right_side_of_any_baseline() {
    let rule = |bound, times, slack| MetricRule { bound, limit: MetricLimit::OfBaseline { times, slack } };
    for (rule, baseline, wanted) in [
        (rule(MetricBound::AtMost, 1.2, 0.0), 100.0, 120.0),
        (rule(MetricBound::AtMost, 1.2, 5.0), 100.0, 125.0),
        (rule(MetricBound::AtMost, 1.2, 5.0), 0.0, 5.0),
        (rule(MetricBound::AtMost, 1.2, 0.0), -100.0, -80.0),
        (rule(MetricBound::AtLeast, 0.8, 0.0), 100.0, 80.0),
        (rule(MetricBound::AtLeast, 0.8, 5.0), 100.0, 75.0),
        (rule(MetricBound::AtLeast, 0.8, 0.0), -100.0, -120.0),
    ] {
        let limit = rule.limit(Some(baseline)).unwrap();
        assert!((limit - wanted).abs() < 1e-9, "{rule:?} of {baseline}: {limit}");
    }
    assert_eq!(AT_MOST_5.limit(None), Some(5.0));
    assert_eq!(TWICE.limit(None), None);
}

#[test]
fn a_step_goes_on_with_a_good_answer_of_its_own() {
    let mut judge = judge(AT_MOST_5, 0.1);
    assert_eq!(held(&judge), Some(HoldReason::NoMetricData));
    assert_eq!(summary(&judge), "holding shop v2: no data of metric orders: it has not answered in this step yet");
    ask(&mut judge, 2, &Ok(5.0), &no_data());
    assert_eq!(judge.decision(OVER), JudgeDecision::Advance);
    judge.begin_step(share(0.5));
    let late = answer(0, Some(Ok(1.0)), None);
    judge.metric_answered(seconds(3), 0, &late);
    assert_ne!(
        judge.decision(OVER),
        JudgeDecision::Advance,
        "what was asked in the step before says nothing of this one"
    );
}

#[test]
fn a_bad_answer_holds_and_some_in_a_row_turn_back() {
    let mut judge = judge(AT_MOST_5, 0.1);
    ask(&mut judge, 2, &Ok(5.1), &no_data());
    assert_eq!(held(&judge), Some(HoldReason::Metric));
    assert_eq!(summary(&judge), "holding shop v2: metric orders is 5.1, want at most 5, 1 of 3 answers in a row");
    ask(&mut judge, 3, &Ok(4.0), &no_data());
    assert_eq!(judge.decision(OVER), JudgeDecision::Advance, "one bad scrape is no proof");
    for now in 4..6 {
        ask(&mut judge, now, &Ok(6.0), &no_data());
        assert_eq!(held(&judge), Some(HoldReason::Metric));
        // A server that is away for a moment is no remedy.
        ask(&mut judge, now, &no_data(), &no_data());
        assert_eq!(held(&judge), Some(HoldReason::NoMetricData));
    }
    ask(&mut judge, 6, &Ok(7.0), &no_data());
    assert_eq!(
        judge.decision(Bake::Running),
        JudgeDecision::RollBack(RollbackCause::Metric),
        "it does not wait for the bake"
    );
    let verdict = judge.verdict(OVER, &NAMES);
    assert_eq!(verdict.summary, "rolled back shop v2: metric orders is 7, want at most 5, 3 answers in a row");
    let found = &verdict.metrics[0];
    assert_eq!((found.value, found.limit, found.bad_in_a_row), (Some(7.0), Some(5.0), 3));
    assert_eq!(
        (found.at_ms, &*found.metric.query_for("shop", "v2")),
        (Some(1_700_000_000_000), "x{v=\"v2\", s=\"shop\"}")
    );
}

#[test]
fn no_data_holds_for_as_long_as_the_plan_allows_and_not_from_the_end_of_the_bake() {
    let mut judge = judge(AT_MOST_5, 0.1);
    let hold_max = judge.settings().hold_max.as_secs();
    ask(&mut judge, 5_000, &Ok(1.0), &no_data());
    ask(&mut judge, 5_010, &no_data(), &no_data());
    let long_over = Bake::Over { ago: seconds(4_000) };
    let why = HoldReason::NoMetricData;
    assert_eq!(judge.decision(long_over), JudgeDecision::Hold { why, expired: false });
    quiet(&mut judge, 5_000 + hold_max);
    assert_eq!(judge.decision(long_over), JudgeDecision::Hold { why, expired: true });
}

#[test]
fn an_answer_that_is_long_ago_is_none() {
    let mut judge = judge(AT_MOST_5, 0.1);
    ask(&mut judge, 2, &Ok(1.0), &no_data());
    quiet(&mut judge, 2 + 45);
    assert_eq!(judge.decision(OVER), JudgeDecision::Advance);
    quiet(&mut judge, 2 + 46);
    assert_eq!(summary(&judge), "holding shop v2: no data of metric orders: no answer for 46 s");
}

#[test]
fn a_comparison_asks_for_both_and_keeps_the_old_number_when_nothing_is_left_to_compare_with() {
    let mut judge = judge(TWICE, 0.1);
    ask(&mut judge, 2, &Ok(200.0), &Ok(100.0));
    assert_eq!(judge.decision(OVER), JudgeDecision::Advance);
    ask(&mut judge, 3, &Ok(202.0), &Ok(100.0));
    let text = "holding shop v2: metric orders is 202 against 100 on v1, want at most 201 (2 times v1 + 1), 1 of 3 answers in a row";
    assert_eq!(summary(&judge), text);
    ask(&mut judge, 4, &Ok(1.0), &no_data());
    assert_eq!(
        summary(&judge),
        "holding shop v2: no data of metric orders: of the old version: the query answered no series, want 1"
    );
    judge.begin_step(share(1.0));
    let question = judge.metric_question(0).unwrap();
    assert!(question.candidate && !question.baseline, "v1 has nothing any more");
    ask(&mut judge, 5, &Ok(202.0), &no_data());
    assert_eq!(held(&judge), Some(HoldReason::Metric));
    assert_eq!(judge.metric_baselines(), [("orders".to_owned(), 100.0)].into());
}

#[test]
fn without_a_comparison_before_the_old_version_is_asked_until_it_has_answered() {
    let mut judge = judge(TWICE, 0.0);
    let question = judge.metric_question(0).unwrap();
    assert!(question.baseline && !question.candidate, "before the flip");
    assert_eq!(judge.decision(Bake::Running), JudgeDecision::Hold { why: HoldReason::Baking, expired: false });
    judge.begin_step(share(1.0));
    ask(&mut judge, 2, &Ok(9.0), &no_data());
    assert_eq!(judge.metric_question(0).map(|question| question.baseline), Some(true));
    ask(&mut judge, 3, &Ok(9.0), &Ok(4.0));
    assert_eq!(judge.metric_question(0).map(|question| question.baseline), Some(false));
    assert_eq!(judge.metric_findings()[0].standing, MetricStanding::Good);
}

#[test]
fn what_the_old_version_had_is_known_after_a_restart() {
    let mut judge = judge(TWICE, 1.0);
    judge.watch_metrics(std::iter::once(metric(TWICE)), Some(&[("orders".to_owned(), 100.0)].into()));
    assert_eq!(judge.metric_question(0).map(|question| question.baseline), Some(false));
    ask(&mut judge, 2, &Ok(202.0), &no_data());
    assert_eq!(judge.metric_findings()[0].limit, Some(201.0));
    assert_eq!(held(&judge), Some(HoldReason::Metric));
}

#[test]
fn a_plan_without_metrics_asks_nothing() {
    let mut judge = judge(AT_MOST_5, 0.1);
    judge.watch_metrics(std::iter::empty(), None);
    assert_eq!(judge.decision(OVER), JudgeDecision::Advance);
    assert_eq!((judge.metric_question(0), judge.metric_findings().len()), (None, 0));
    judge.metric_answered(seconds(2), 0, &answer(0, Some(Ok(9.0)), None));
}

proptest! {
    /// Whatever a server says: it is turned back exactly by three bad answers without a good one between them, and
    /// goes on exactly if the last answer is good.
    #[test]
    fn bad_answers_in_a_row_turn_back_and_nothing_else(kinds in proptest::collection::vec(0..3_u8, 1..60)) {
        let mut judge = judge(AT_MOST_5, 0.1);
        let mut row = 0;
        for (now, kind) in (2..).zip(kinds) {
            let sample = match kind {
                0 => Ok(5.0),
                1 => Ok(f64::from(kind) + 5.0),
                _ => no_data(),
            };
            row = match kind { 0 => 0, 1 => row + 1, _ => row };
            ask(&mut judge, now, &sample, &no_data());
            let wanted = match kind {
                _ if row >= 3 => JudgeDecision::RollBack(RollbackCause::Metric),
                0 => JudgeDecision::Advance,
                1 => JudgeDecision::Hold { why: HoldReason::Metric, expired: false },
                _ => JudgeDecision::Hold { why: HoldReason::NoMetricData, expired: false },
            };
            prop_assert_eq!(judge.decision(OVER), wanted);
            prop_assert!(summary(&judge).contains("shop v2"));
        }
    }
}

//! What a result says, and when it says nothing.

use super::*;
use crate::experiment::experiment_result::ExperimentWarning;
use crate::experiment::metric_result::{ExperimentFinding, Missing};
use crate::experiment::sentence;

fn names() -> PerArm<String> {
    PerArm { control: "v1".to_owned(), treatment: "v2".to_owned() }
}

fn experiment(users: [u64; 2], metrics: Vec<MetricCounts>) -> ExperimentResult {
    let [control, treatment] = users;
    let users = vec![ShareUsers { share: Probability::HALF, users: PerArm { control, treatment } }];
    ExperimentResult::of(
        names(),
        &ExperimentCounts { users, seen: control + treatment, metrics, ..ExperimentCounts::default() },
        alpha(),
    )
}

fn purchase(control: [u64; 2], treatment: [u64; 2]) -> MetricCounts {
    let [control, treatment] = conversions(control, treatment);
    MetricCounts { plan: plan("purchase", Measure::Conversion), sums: halves(control, treatment) }
}

fn finding(control: [u64; 2], treatment: [u64; 2]) -> ExperimentFinding {
    let [control, treatment] = conversions(control, treatment);
    result(Measure::Conversion, control, treatment).finding
}

#[test]
fn nothing_is_said_of_few_users_or_few_conversions() {
    assert_eq!(finding([30, 99], [31, 1000]), ExperimentFinding::TooEarly(Missing::Users(99)));
    assert_eq!(finding([20, 1000], [22, 1000]), ExperimentFinding::TooEarly(Missing::Conversions(20)));
    assert_eq!(finding([0, 0], [0, 0]), ExperimentFinding::TooEarly(Missing::Users(0)));
    assert_eq!(finding([100, 1000], [130, 1000]), ExperimentFinding::Open);
    assert_eq!(finding([1000, 10_000], [1300, 10_000]), ExperimentFinding::TreatmentBetter);
    let [control, treatment] = conversions([20, 1000], [22, 1000]);
    let held_back = result(Measure::Conversion, control, treatment);
    assert!(held_back.absolute.unwrap().always.is_none() && held_back.exact.is_some());
    let means = |users| MetricSums { users, x: users as f64, x_squares: 2.0 * users as f64, ..MetricSums::default() };
    assert_eq!(result(Measure::Mean, means(99), means(99)).finding, ExperimentFinding::TooEarly(Missing::Users(99)));
    assert_eq!(result(Measure::Mean, means(100), means(100)).finding, ExperimentFinding::Open);
}

/// Ten conversions against thirty are evidence of one in a hundred, which is not enough this early; none against thirty
/// are.
#[test]
fn few_conversions_are_found_by_the_exact_bet_when_they_prove_much() {
    assert_eq!(finding([10, 1000], [30, 1000]), ExperimentFinding::TooEarly(Missing::Conversions(10)));
    assert_eq!(finding([0, 1000], [30, 1000]), ExperimentFinding::TreatmentBetter);
    assert_eq!(finding([30, 1000], [0, 1000]), ExperimentFinding::TreatmentWorse);
    let [control, treatment] = conversions([10, 1000], [30, 1000]);
    let exact = result(Measure::Conversion, control, treatment).exact.unwrap();
    assert!(exact.interval.low > 1.0 && exact.interval.low < 3.0 && exact.interval.high > 3.0, "{exact:?}");
    assert!(exact.p < 0.05 && exact.p > 0.005, "{exact:?}");
    let [control, treatment] = conversions([10, 1000], [10, 1000]);
    assert!(result(Measure::Conversion, control, treatment).exact.unwrap().p > 0.99);
}

#[test]
fn less_is_better_where_it_says_so() {
    let [control, treatment] = conversions([1000, 10_000], [1300, 10_000]);
    let plan = MetricPlan { better: Better::Lower, guardrail: true, ..plan("refund", Measure::Conversion) };
    let result = MetricResult::of(&plan, &halves(control, treatment), alpha());
    assert_eq!(result.finding, ExperimentFinding::TreatmentWorse);
    assert!(result.breaks_guardrail());
    let [fewer, more] = [treatment, control];
    assert_eq!(MetricResult::of(&plan, &halves(fewer, more), alpha()).finding, ExperimentFinding::TreatmentBetter);
}

#[test]
fn a_result_is_one_sentence() {
    let said = |users, metrics| sentence::headline(&experiment(users, metrics));
    assert_eq!(
        said([10_000, 10_000], vec![purchase([1000, 10_000], [1300, 10_000])]),
        "purchase: v2 is better than v1 (13 % in v2, 10 % in v1); the difference is +13.9 % to +46.1 % of v1 (95 %, \
         whenever you look)"
    );
    assert_eq!(
        said([1000, 1000], vec![purchase([100, 1000], [130, 1000])]),
        "purchase: not decided (13 % in v2, 10 % in v1); the difference is -20.9 % to +80.9 % of v1 (95 %, whenever you \
         look)"
    );
    assert_eq!(
        said([1000, 1000], vec![purchase([10, 1000], [30, 1000])]),
        "purchase: too early, 10 of 100 conversions in the arm with fewer so far (3 % in v2, 1 % in v1)"
    );
    assert_eq!(
        said([1000, 1000], vec![purchase([0, 1000], [30, 1000])]),
        "purchase: v2 is better than v1 (3 % in v2, 0 % in v1); 4.99 to any number times as often as in v1 (95 %, \
         whenever you look)"
    );
    assert_eq!(said([5, 6], vec![]), "5 users in v1 and 6 in v2, no metric to compare");
    assert!(said([5, 6], vec![purchase([1, 5], [1, 6])]).contains("too early, 5 of 100 users in the smaller arm"));
}

#[test]
fn arms_without_the_users_they_should_have_are_not_compared() {
    let result = experiment([10_000, 9000], vec![purchase([1000, 10_000], [1300, 9000])]);
    assert_eq!(result.warnings, [ExperimentWarning::SampleRatio]);
    let said = sentence::headline(&result);
    assert!(said.starts_with("do not compare the arms: 10000 users in v1 and 9000 in v2"), "{said}");
    assert!(said.contains("(odds of chance below 1 in"), "{said}");
}

#[test]
fn a_broken_guardrail_comes_first_and_users_in_both_arms_are_told() {
    let mut refund = purchase([1000, 10_000], [1300, 10_000]);
    refund.plan = MetricPlan { better: Better::Lower, guardrail: true, ..plan("refund", Measure::Conversion) };
    let metrics = vec![purchase([1000, 10_000], [1300, 10_000]), refund];
    let users = vec![ShareUsers { share: Probability::HALF, users: PerArm { control: 10_000, treatment: 10_000 } }];
    let counts = ExperimentCounts { users, seen: 20_000, crossed: 250, turned_away: 3, metrics };
    let result = ExperimentResult::of(names(), &counts, alpha());
    let said = sentence::headline(&result);
    assert!(said.starts_with("guardrail refund: v2 is worse than v1, which it must not be (13 %"), "{said}");
    assert_eq!(result.warnings, [ExperimentWarning::Crossed(0.0125), ExperimentWarning::Full(3)]);
    let told: Vec<_> = result.warnings.iter().map(|warning| sentence::of_warning(&result, *warning)).collect();
    assert!(told[0].starts_with("250 of 20000 users (1.25 %) were seen in both arms"), "{told:?}");
    assert!(told[1].contains("admits no more users, and 3 exposures of others"), "{told:?}");
}

#[test]
fn numbers_have_three_digits_that_mean_something() {
    let shown = [0.0, 0.123_456, 12.0, 1234.5, -0.000_123_4, 99.96, 5.3].map(sentence::significant);
    assert_eq!(shown, ["0", "0.123", "12", "1234", "-0.000123", "100", "5.3"]);
    assert_eq!(sentence::percent(0.012_5), "1.25 %");
}

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::experiment::experiment_result::ShareUsers;
use crate::experiment::metric_result::MetricPlan;
use crate::rollout::judge::guardrail::Tolerance;
use crate::shared::probability::Probability;

/// One guardrail, proved at 5 %.
fn settings() -> JudgeSettings {
    JudgeSettings { alpha: Probability::new(0.25).unwrap(), guardrails: 1, ..JudgeSettings::default() }
}

fn guardrail(tolerate: f64) -> Arc<Guardrail> {
    Arc::new(Guardrail { metric: "purchase".into(), tolerate: Tolerance::new(tolerate).unwrap(), users_min: 100 })
}

fn plan(measure: Measure, better: Better) -> MetricPlan {
    MetricPlan { name: "purchase".to_owned(), measure, better, guardrail: true }
}

/// What was counted in one step.
struct Step {
    share: f64,
    plan: MetricPlan,
    arms: PerArm<MetricSums>,
}

impl Step {
    fn new(share: f64, plan: MetricPlan) -> Self {
        Self { share, plan, arms: PerArm::default() }
    }

    fn of_conversions(share: f64, better: Better, treatment: (u64, u64), control: (u64, u64)) -> Self {
        let sums = |(converted, users)| MetricSums::of_conversions(users, converted);
        let arms = PerArm { control: sums(control), treatment: sums(treatment) };
        Self { share, plan: plan(Measure::Conversion, better), arms }
    }

    fn share(&self) -> Probability {
        Probability::new(self.share).unwrap()
    }

    fn found(&self, tolerate: f64, settings: &JudgeSettings) -> GuardrailFinding {
        self.found_with(0, tolerate, settings)
    }

    /// With this number of users who were seen in both arms.
    fn found_with(&self, crossed: u64, tolerate: f64, settings: &JudgeSettings) -> GuardrailFinding {
        let users = vec![ShareUsers { share: self.share(), users: self.arms.map(|sums| sums.users) }];
        let sums = vec![ShareSums { share: self.share(), arms: self.arms }];
        let metrics = vec![MetricCounts { plan: self.plan.clone(), sums }];
        let seen = self.arms.map(|sums| sums.users).total();
        let counts = ExperimentCounts { users, seen, crossed, metrics, ..ExperimentCounts::default() };
        let terms = GuardrailTerms { share: CandidateShare::new(self.share).unwrap(), settings };
        findings(&[guardrail(tolerate)], &counts, terms).remove(0)
    }
}

/// Over all orders in which ten conversions can come, the expectation of E is 1 where the candidate is as bad as is
/// tolerated, and below where it is better.
#[test]
fn the_bet_on_conversions_is_fair_at_the_edge_of_what_is_tolerated() {
    for (worse_is_less, by, share) in [(true, 0.0, 0.1), (true, 0.2, 0.5), (false, 0.0, 0.01), (false, 0.3, 0.5)] {
        let tolerated = Tolerated { worse_is_less, by };
        let expectation = |ratio: f64| -> f64 {
            let candidates = share * ratio / (share * ratio + 1.0 - share);
            (0..1_u32 << 10)
                .map(|order| {
                    let treatment = u64::from(order.count_ones());
                    let step = Step::of_conversions(share, Better::Higher, (treatment, 100), (10 - treatment, 100));
                    let sums = [ShareSums { share: step.share(), arms: step.arms }];
                    let probability =
                        (0..10).map(|bit| if order >> bit & 1 == 1 { candidates } else { 1.0 - candidates });
                    probability.product::<f64>() * ln_conversions(tolerated, &sums).exp()
                })
                .sum()
        };
        let edge = expectation(tolerated.ratio());
        assert!((edge - 1.0).abs() < 1e-9, "{edge}");
        let better = expectation(tolerated.ratio() * if worse_is_less { 1.1 } else { 0.9 });
        assert!(better < 1.0, "{better}");
    }
}

/// Users come one by one; each look after a conversion is a look of the judge.
fn first_proof(random: &mut StdRng, share: f64, rates: PerArm<f64>, users: u64, tolerate: f64) -> Option<u64> {
    let tolerated = Tolerated { worse_is_less: true, by: tolerate };
    let mut step = Step::of_conversions(share, Better::Higher, (0, 0), (0, 0));
    for user in 1..=users {
        let is_candidate = random.random_bool(share);
        let (arm, rate) = match is_candidate {
            true => (&mut step.arms.treatment, rates.treatment),
            false => (&mut step.arms.control, rates.control),
        };
        let converted = random.random_bool(rate);
        arm.add_user(f64::from(u8::from(converted)), 0.0);
        let sums = [ShareSums { share: step.share(), arms: step.arms }];
        if converted && ln_conversions(tolerated, &sums) >= 20.0_f64.ln() {
            return Some(user);
        }
    }
    None
}

/// A thousand releases of a version that is no worse, looked at after each conversion: at most one of twenty is turned
/// back where the plan says one of twenty.
#[test]
fn equal_versions_are_turned_back_as_rarely_as_the_plan_says_however_often_one_looks() {
    let mut random = StdRng::seed_from_u64(18);
    for (share, tolerate) in [(0.5, 0.0), (0.1, 0.0), (0.01, 0.0), (0.5, 0.1)] {
        let rates = PerArm { control: 0.1, treatment: 0.1 * (1.0 - tolerate) };
        let runs = 1000;
        let proofs = (0..runs).filter(|_| first_proof(&mut random, share, rates, 2000, tolerate).is_some()).count();
        assert!(proofs * 20 <= runs, "{proofs} of {runs} at a share of {share}");
    }
}

#[test]
fn a_fall_from_ten_to_four_per_cent_is_found() {
    let mut random = StdRng::seed_from_u64(4);
    for (share, users) in [(0.5, 2000), (0.1, 6000)] {
        let rates = PerArm { control: 0.1, treatment: 0.04 };
        let mut found: Vec<u64> =
            (0..100).filter_map(|_| first_proof(&mut random, share, rates, 20_000, 0.0)).collect();
        assert_eq!(found.len(), 100, "all are found");
        found.sort_unstable();
        assert!(found[50] < users / 2 && found[90] < users, "median {}, p90 {} at {share}", found[50], found[90]);
    }
}

/// What a user spends: nine of ten nothing, the others very different sums.
fn spent(random: &mut StdRng, times: f64) -> f64 {
    if random.random_bool(0.9) {
        return 0.0;
    }
    let normal: f64 = (0..12).map(|_| random.random_range(0.0..1.0)).sum::<f64>() - 6.0;
    times * normal.exp()
}

fn first_proof_of_means(random: &mut StdRng, share: f64, times: f64, settings: &JudgeSettings) -> Option<u64> {
    let mut step = Step::new(share, plan(Measure::Mean, Better::Higher));
    for user in 1..=16_000 {
        match random.random_bool(share) {
            true => step.arms.treatment.add_user(spent(random, times), 0.0),
            false => step.arms.control.add_user(spent(random, 1.0), 0.0),
        }
        if user % 200 == 0 && step.found(0.0, settings).standing == GuardrailStanding::Worse {
            return Some(user);
        }
    }
    None
}

#[test]
fn equal_means_of_very_different_users_are_no_harm_and_half_of_them_is() {
    let mut random = StdRng::seed_from_u64(5);
    let settings = settings();
    for share in [0.5, 0.2] {
        let runs = 60;
        let found = |random: &mut StdRng, times| {
            (0..runs).filter(|_| first_proof_of_means(random, share, times, &settings).is_some()).count()
        };
        let proofs = found(&mut random, 1.0);
        assert!(proofs <= 3, "{proofs} of {runs} at a share of {share}");
        let proofs = found(&mut random, 0.5);
        assert!(proofs >= 50, "{proofs} of {runs} at a share of {share}");
    }
}

#[test]
fn each_standing_has_its_counts() {
    let settings = settings();
    let found =
        |treatment, control| Step::of_conversions(0.5, Better::Higher, treatment, control).found(0.0, &settings);
    let standing = |treatment, control| found(treatment, control).standing;
    assert_eq!(standing((0, 0), (0, 0)), GuardrailStanding::TooFewUsers);
    assert_eq!(standing((10, 99), (10, 110)), GuardrailStanding::TooFewUsers);
    assert_eq!(standing((10, 100), (10, 110)), GuardrailStanding::Unharmed);
    assert_eq!(standing((30, 500), (50, 500)), GuardrailStanding::Unharmed);
    assert_eq!(standing((20, 500), (50, 500)), GuardrailStanding::Worse);
    assert_eq!(standing((26, 500), (50, 500)), GuardrailStanding::Suspected);
    // Beyond doubt before an arm has as many users as are enough to go on.
    assert_eq!(standing((0, 60), (20, 60)), GuardrailStanding::Worse);
    assert_eq!(standing((20, 300), (50, 500)), GuardrailStanding::Lopsided);
    let crossed = Step::of_conversions(0.5, Better::Higher, (20, 500), (50, 500)).found_with(11, 0.0, &settings);
    assert_eq!(crossed.standing, GuardrailStanding::Lopsided);
    let worse = found((20, 500), (50, 500));
    let number = ArmNumber::Conversions(20);
    assert_eq!(worse.arms.candidate, GuardrailArm { users: 500, number });
    let times = worse.times.unwrap();
    assert!(times.low > 0.1 && times.high < 1.0, "{times:?}");
}

#[test]
fn what_is_tolerated_and_which_side_is_bad_decide() {
    let settings = settings();
    let fallen = Step::of_conversions(0.5, Better::Higher, (400, 5000), (500, 5000));
    assert_eq!(fallen.found(0.0, &settings).standing, GuardrailStanding::Worse);
    assert_eq!(fallen.found(0.25, &settings).standing, GuardrailStanding::Unharmed);
    let complaints = |treatment, control| Step::of_conversions(0.5, Better::Lower, treatment, control);
    assert_eq!(complaints((400, 5000), (500, 5000)).found(0.0, &settings).standing, GuardrailStanding::Unharmed);
    assert_eq!(complaints((500, 5000), (400, 5000)).found(0.0, &settings).standing, GuardrailStanding::Worse);
    assert_eq!(complaints((500, 5000), (400, 5000)).found(0.3, &settings).standing, GuardrailStanding::Unharmed);
    // A loss that grows is a mean that falls.
    let mut loss = Step::new(0.5, plan(Measure::Mean, Better::Higher));
    for user in 0..999 {
        loss.arms.control.add_user(f64::from(user % 3) - 11.0, 0.0);
        loss.arms.treatment.add_user(f64::from(user % 3) - 12.0, 0.0);
    }
    assert_eq!(loss.found(0.0, &settings).standing, GuardrailStanding::Worse);
    assert_eq!(loss.found(0.2, &settings).standing, GuardrailStanding::Unharmed);
    assert_eq!(loss.found(0.0, &settings).arms.baseline.number, ArmNumber::Mean(-10.0));
}

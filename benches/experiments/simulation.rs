//! Simulated experiments, judged by the code that judges real ones. Users come one after the other and each is assigned
//! by chance; a hundred at a time are drawn as sums, which is the same and a hundred times as fast.

use pointsman::testing::experiment::{
    Better, ExperimentFinding, Measure, MetricPlan, MetricResult, MetricSums, PerArm, Probability, SampleRatio,
    ShareSums,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution};

/// Users between two looks.
pub(crate) const USERS_PER_LOOK: u64 = 100;

/// What users do, and what is measured of them.
#[derive(Clone, Copy)]
pub(crate) enum World {
    /// These parts of them convert, in control and treatment.
    Rates(f64, f64),
    /// One in ten buys, for very unequal amounts, in both arms alike.
    Revenue,
}

/// What one experiment looked like.
#[derive(Default)]
pub(crate) struct Looks {
    /// At which look, from 1, the arms were first found to differ: by what holds whenever one looks (the interval, and
    /// the exact bet before it), and by the interval for one look.
    pub(crate) always: Option<u64>,
    pub(crate) fixed: Option<u64>,
    /// The intervals of each look, relative to the control.
    pub(crate) seen: Vec<Seen>,
}

/// The intervals at one look.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) value: f64,
    pub(crate) always: Option<[f64; 2]>,
    pub(crate) fixed: [f64; 2],
}

/// Plays an experiment for a number of looks; the same seed is the same experiment.
pub(crate) fn play(world: World, looks: u64, seed: u64) -> Looks {
    let mut random = StdRng::seed_from_u64(seed);
    let measure = if matches!(world, World::Revenue) { Measure::Mean } else { Measure::Conversion };
    let plan = MetricPlan { name: "metric".to_owned(), measure, better: Better::Higher, guardrail: false };
    let alpha = Probability::new(0.05).unwrap();
    let mut arms = PerArm::<MetricSums>::default();
    let mut found = Looks::default();
    for look in 1..=looks {
        let treatment = binomial(USERS_PER_LOOK, 0.5, &mut random);
        add(&mut arms.control, world, USERS_PER_LOOK - treatment, false, &mut random);
        add(&mut arms.treatment, world, treatment, true, &mut random);
        let result = MetricResult::of(&plan, &[ShareSums { share: Probability::HALF, arms }], alpha);
        let Some(effect) = result.absolute else { continue };
        let ends = |low: f64, high: f64| [low, high];
        found.seen.push(Seen {
            value: effect.effect.value,
            always: effect.always.map(|interval| ends(interval.low, interval.high)),
            fixed: ends(effect.fixed.low, effect.fixed.high),
        });
        if matches!(result.finding, ExperimentFinding::TreatmentBetter | ExperimentFinding::TreatmentWorse) {
            found.always.get_or_insert(look);
        }
        // Held back alike: below that the t-test means nothing either.
        if effect.always.is_some() && effect.fixed.excludes_zero() {
            found.fixed.get_or_insert(look);
        }
    }
    found
}

fn add(sums: &mut MetricSums, world: World, users: u64, is_treatment: bool, random: &mut StdRng) {
    match world {
        World::Rates(control, treatment) => {
            let converted = binomial(users, if is_treatment { treatment } else { control }, random);
            *sums = sums.plus(&MetricSums::of_conversions(users, converted));
        }
        World::Revenue => {
            for _ in 0..users {
                // The largest of ten thousand is some hundred times the median.
                let amount = if random.random_bool(0.1) { (2.0 * normal(random)).exp() } else { 0.0 };
                sums.add_user(amount, 0.0);
            }
        }
    }
}

fn normal(random: &mut StdRng) -> f64 {
    rand_distr::StandardNormal.sample(random)
}

fn binomial(trials: u64, probability: f64, random: &mut StdRng) -> u64 {
    Binomial::new(trials, probability).unwrap().sample(random)
}

/// At which look the users' ratio is found to be wrong, if half in each arm was planned and `share` of them get the
/// treatment.
pub(crate) fn ratio_alarm(share: f64, looks: u64, seed: u64) -> Option<u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut ratio = SampleRatio::default();
    (1..=looks).find(|_| {
        let treatment = binomial(USERS_PER_LOOK, share, &mut random);
        ratio.add(Probability::HALF, PerArm { control: USERS_PER_LOOK - treatment, treatment });
        ratio.alarms()
    })
}

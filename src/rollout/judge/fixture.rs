//! Seeded chance and short ways to build settings, for the tests of the judge.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::errors::{ErrorBets, ErrorCounts, ErrorTest};
use super::evidence::CandidateShare;
use super::judge_settings::{Increase, Margin, Multiple};
use super::per_version::PerVersion;
use crate::shared::probability::Probability;

/// Seeded chance.
pub(crate) struct Chance(StdRng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Above 0 and up to 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        1.0 - self.0.random::<f64>()
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.uniform() <= probability
    }

    /// How many trials do not succeed before one does.
    pub(crate) fn misses(&mut self, probability: f64) -> u64 {
        whole(self.uniform().ln() / (-probability).ln_1p())
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// Requests of a user in a while, with a heavy tail (Pareto): most send one, some hundreds.
    pub(crate) fn activity(&mut self) -> u64 {
        whole(self.uniform().powf(-0.9).min(200.0))
    }

    /// Normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// How many of `trials` succeed, by skipping from one to the next.
    pub(crate) fn binomial(&mut self, trials: u64, probability: f64) -> u64 {
        let (mut left, mut hits) = (trials, 0);
        if probability <= 0.0 {
            return 0;
        }
        if probability > 0.5 {
            return trials - self.binomial(trials, 1.0 - probability);
        }
        loop {
            let misses = self.misses(probability);
            if misses >= left {
                return hits;
            }
            left -= misses + 1;
            hits += 1;
        }
    }
}

/// The whole part of a number that is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}

pub(crate) fn share(value: f64) -> CandidateShare {
    CandidateShare::new(value).unwrap()
}

pub(crate) fn probability(value: f64) -> Probability {
    Probability::new(value).unwrap()
}

pub(crate) fn margin(ratio: f64, increase: f64) -> Margin {
    Margin { ratio: Multiple::new(ratio).unwrap(), increase: Increase::new(increase).unwrap() }
}

/// One failure of the candidate, or one of the baseline.
pub(crate) fn failure(of_candidate: bool) -> ErrorCounts {
    let [candidate_failures, baseline_failures] = [u64::from(of_candidate), u64::from(!of_candidate)];
    ErrorCounts { candidate_failures, baseline_failures, baseline_successes: 0 }
}

/// Requests fail in sequence; only the failures are drawn, with the gaps between them. No increase is granted.
pub(crate) struct Failures {
    pub(crate) share: f64,
    pub(crate) failing: PerVersion<f64>,
}

impl Failures {
    /// Requests up to and with the next failure, and whether it is the candidate's.
    pub(crate) fn next(&self, chance: &mut Chance) -> (u64, bool) {
        let candidate = self.share * self.failing.candidate;
        let any = candidate + (1.0 - self.share) * self.failing.baseline;
        (chance.misses(any) + 1, chance.happens(candidate / any))
    }

    /// Candidate requests until `test` proves at level `alpha` that the candidate is worse, from the first failure
    /// drawn. `restart` is staked before each failure.
    pub(crate) fn requests_to_alarm(&self, chance: &mut Chance, test: &mut ErrorTest, restart: f64) -> f64 {
        let bets = ErrorBets::new(share(self.share), Margin::NONE);
        let (mut requests, mut candidate_failures) = (0, 0);
        while test.wealth.ln_value() < 1000_f64.ln() || candidate_failures < 3 {
            let (gap, of_candidate) = self.next(chance);
            requests += gap;
            candidate_failures += u64::from(of_candidate);
            test.wealth.restart(restart);
            test.fold(&bets, failure(of_candidate));
        }
        requests as f64 * self.share
    }
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub(crate) fn p90(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * 9 / 10]
}

/// Fails unless `found` is within `part` of `want`.
#[track_caller]
pub(crate) fn within(part: f64, want: f64, found: f64, what: &str) {
    assert!((found / want - 1.0).abs() <= part, "{what}: found {found:.1}, want {want} within {:.0} %", part * 100.0);
}

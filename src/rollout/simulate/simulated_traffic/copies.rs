//! Copies of requests, while a plan mirrors.

use rand::Rng;

use super::super::super::judge::PerVersion;
use super::super::super::judge::pair_counts::PairCounts;
use super::binomial;

/// What comes of copies of requests: both versions fail each for itself.
pub(super) fn pairs(failing: &PerVersion<f64>, pairs: u64, random: &mut impl Rng) -> PairCounts {
    let candidate = binomial(pairs, failing.candidate, random);
    let both_failed = binomial(candidate, failing.baseline, random);
    let baseline_failed_alone = binomial(pairs - candidate, failing.baseline, random);
    let candidate_failed_alone = candidate - both_failed;
    PairCounts { pairs, candidate_failed_alone, baseline_failed_alone, both_failed, differing: 0 }
}

use proptest::prelude::*;

use super::super::fixture::{Chance, mean, share, within};
use super::*;

const SEED: u64 = 20_260_417;

/// Latencies of the simulations: log-normal with a median of 181 ms and sigma 0.5, so that p90 is 344 ms and p99 579
/// ms.
const MEDIAN_MS: f64 = 181.0;
const SIGMA: f64 = 0.5;
/// The standard normal distribution's median, 90th and 99th percentile.
const NORMAL: [f64; 3] = [0.0, 1.281_551_565_545, 2.326_347_874_041];

fn thresholds() -> [f64; 3] {
    NORMAL.map(|z| MEDIAN_MS * (SIGMA * z).exp())
}

/// Candidate requests until the alarm, with what the candidate makes of a latency in milliseconds. The baseline's are
/// drawn by the threshold that they exceed, which is all that counts.
fn requests_to_alarm(chance: &mut Chance, w: f64, candidate: &impl Fn(&mut Chance, f64) -> f64) -> f64 {
    let (bets, mut test, thresholds) =
        (LatencyBets::new(share(w), Assignment::PerRequest), LatencyTest::unconditional(), thresholds());
    let mut requests = 0;
    while test.wealth.ln_value() < 1000_f64.ln() {
        requests += 1;
        let all = chance.misses(w);
        let above = chance.binomial(all, 0.5);
        let far_above = chance.binomial(above, 0.2);
        let farthest = chance.binomial(far_above, 0.1);
        let baseline = LatencyCounts::of([all - above, above - far_above, far_above - farthest, farthest]);
        let healthy = MEDIAN_MS * (SIGMA * chance.normal()).exp();
        let latency = candidate(chance, healthy);
        let mut by_exceeded = [0; 4];
        by_exceeded[thresholds.iter().filter(|threshold| latency > **threshold).count()] = 1;
        let counts = LatencyCounts::of(by_exceeded);
        test.fold(&bets, &counts, &baseline);
    }
    f64::from(requests)
}

#[track_caller]
fn caught_after(want: f64, candidate: impl Fn(&mut Chance, f64) -> f64) {
    let mut chance = Chance::new(SEED);
    let requests: Vec<_> = (0..2_000).map(|_| requests_to_alarm(&mut chance, 0.01, &candidate)).collect();
    within(0.05, want, mean(&requests), &format!("seed {SEED}"));
}

#[test]
fn a_fifth_slower_is_caught_after_204_requests() {
    caught_after(204.0, |_, latency| latency * 1.2);
}

#[test]
fn half_as_slow_again_is_caught_after_42_requests() {
    caught_after(42.0, |_, latency| latency * 1.5);
}

#[test]
fn twice_as_slow_is_caught_after_16_requests() {
    caught_after(16.0, |_, latency| latency * 2.0);
}

#[test]
fn half_a_second_more_for_a_twentieth_is_caught_after_178_requests() {
    caught_after(178.0, |chance, latency| if chance.happens(0.05) { latency + 500.0 } else { latency });
}

proptest! {
    /// Whatever the distribution and however wrong the thresholds: the game is fair when both are equal, and
    /// unfavourable when the candidate is faster.
    #[test]
    fn the_game_is_fair_whatever_the_distribution(
        w in 0.001..0.999_f64, above in 0.0..1.0_f64, faster in 0.0..1.0_f64,
    ) {
        for (_, factors) in LatencyBets::new(share(w), Assignment::PerRequest).iter() {
            let expected = |candidate: f64| {
                let [won, lost] = factors.candidate.map(f64::exp);
                let [high, low] = factors.baseline.map(f64::exp);
                w * (candidate * won + (1.0 - candidate) * lost) + (1.0 - w) * (above * high + (1.0 - above) * low)
            };
            prop_assert!((expected(above) - 1.0).abs() < 1e-12);
            prop_assert!(expected(above * faster) <= 1.0 + 1e-12);
        }
    }
}

#[test]
fn alternatives_are_all_that_leave_something_below_their_quantile() {
    let ratios = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];
    let all = (0..3).flat_map(|quantile| ratios.map(|ratio| (quantile, ratio)));
    let wanted: Vec<_> = all.filter(|(quantile, ratio)| ratio * (1.0 - QUANTILES[*quantile]) <= 0.97).collect();
    assert_eq!(ALTERNATIVES.to_vec(), wanted);
}

//! What requests to each route are compared with: the quantiles of the baseline's own requests to it.
//!
//! A rare page has few requests a minute, so what was before is not dropped but matters less with each look: what is
//! older than a minute is a fifth by then. Thresholds are made of requests of before, and later ones are compared with
//! them, on both sides.

use std::time::Duration;

use crate::rollout::judge::Side;
use crate::rollout::judge::judge_settings::Multiple;
use crate::rollout::judge::quantiles::{QUANTILES, Quantiles, Thresholds};
use crate::shared::octaves;
use crate::shared::route_stats::{ROUTE_LATENCY_BUCKETS, RouteStats};

/// Fewer requests than this say nothing of a 99th percentile.
const TIMED_MIN: u64 = 100;

/// At each look, every 5 s, one part in this many is forgotten.
const FORGOTTEN: u64 = 8;

/// The latencies of the baseline, by route and bucket.
#[derive(Debug, Default)]
pub(crate) struct RouteLatencies {
    counted: Vec<u64>,
    recent: Vec<u64>,
}

impl RouteLatencies {
    /// Looks what is new, and has the workers compare with it.
    pub(crate) fn look(&mut self, routes: &RouteStats, slower: Option<Multiple>) {
        let Some(slower) = slower else { return };
        let counted = routes.latencies();
        self.recent.resize(counted.len(), 0);
        self.counted.resize(counted.len(), 0);
        for ((recent, before), now) in self.recent.iter_mut().zip(&self.counted).zip(&counted) {
            *recent = *recent - recent.div_ceil(FORGOTTEN) + now.saturating_sub(*before);
        }
        self.counted = counted;
        for (number, buckets) in self.recent.chunks(ROUTE_LATENCY_BUCKETS).enumerate() {
            if buckets.iter().sum::<u64>() >= TIMED_MIN {
                let thresholds = Thresholds::new(&quantiles(buckets), slower);
                routes.compare_with(number, [Side::Candidate, Side::Baseline].map(|side| thresholds.micros(side)));
            }
        }
    }
}

/// The quantiles, each as the end of its bucket: what is in the same bucket does not exceed it.
fn quantiles(buckets: &[u64]) -> Quantiles {
    let all: u64 = buckets.iter().sum();
    Quantiles(QUANTILES.map(|q| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are far below 2^52"
        )]
        let rank = ((q * all as f64).ceil() as u64).clamp(1, all.max(1));
        let mut seen = 0;
        let bucket = buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        Duration::from_micros(bucket.map_or(0, |bucket| octaves::least_of(bucket + 1)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_ends_of_their_buckets() {
        let mut buckets = vec![0; ROUTE_LATENCY_BUCKETS];
        for micros in 1..=10_000 {
            buckets[octaves::bucket_of(micros, ROUTE_LATENCY_BUCKETS)] += 1;
        }
        for (found, want) in quantiles(&buckets).0.into_iter().zip([5_000, 9_000, 9_900]) {
            let found = u64::try_from(found.as_micros()).unwrap();
            assert!(found >= want && found <= want + want / 8, "{found} for {want}");
        }
    }
}

//! What requests to each route are compared with: the quantiles of the baseline's own requests to it.
//!
//! A rare page has few requests a minute, so what was before is not dropped but matters less with each look: of a busy
//! page, what is older than a minute is a fifth by then. Of a rare page as much is kept as its quantiles need, however
//! old: that costs power where its latency drifts, never validity. Thresholds are made of requests of before, and later
//! ones are compared with them, on both sides.

use std::time::Duration;

use crate::rollout::judge::Side;
use crate::rollout::judge::judge_settings::Multiple;
use crate::rollout::judge::quantiles::{QUANTILES, Quantiles, Thresholds};
use crate::shared::octaves;
use crate::shared::route_stats::{ROUTE_LATENCY_BUCKETS, RouteStats};

/// Fewer requests than this say nothing of a 99th percentile.
const TIMED_MIN: f64 = 100.0;

/// As many requests are kept of a page that has fewer of them than are forgotten.
const KEPT: f64 = 2.0 * TIMED_MIN;

/// At each look, every 5 s, this part of what was before is kept, or what is left of [`KEPT`].
const KEPT_PART: f64 = 7.0 / 8.0;

/// The latencies of the baseline, by route and bucket.
#[derive(Debug, Default)]
pub(crate) struct RouteLatencies {
    counted: Vec<u64>,
    /// Fractions of requests too: a page with few of them would lose most of them by rounding.
    recent: Vec<f64>,
}

impl RouteLatencies {
    /// Looks what is new, and has the workers compare with it.
    pub(crate) fn look(&mut self, routes: &RouteStats, slower: Option<Multiple>) {
        let Some(slower) = slower else { return };
        let counted = routes.latencies();
        for (number, thresholds) in self.take_in(counted).into_iter().enumerate() {
            if let Some(found) = thresholds {
                let thresholds = Thresholds::new(&found, slower);
                routes.compare_with(number, [Side::Candidate, Side::Baseline].map(|side| thresholds.micros(side)));
            }
        }
    }

    /// Takes in what was counted since the first look, by route and bucket: the quantiles of each route that has
    /// enough.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn take_in(&mut self, counted: Vec<u64>) -> Vec<Option<Quantiles>> {
        self.recent.resize(counted.len(), 0.0);
        self.counted.resize(counted.len(), 0);
        let of_routes = self.recent.chunks_mut(ROUTE_LATENCY_BUCKETS);
        let news = counted.chunks(ROUTE_LATENCY_BUCKETS).zip(self.counted.chunks(ROUTE_LATENCY_BUCKETS));
        let quantiles = of_routes.zip(news).map(|(recent, (now, before))| {
            let new: Vec<_> = now.iter().zip(before).map(|(now, before)| now.saturating_sub(*before) as f64).collect();
            let kept = kept_part(recent.iter().sum(), new.iter().sum());
            recent.iter_mut().zip(new).for_each(|(recent, new)| *recent = *recent * kept + new);
            (recent.iter().sum::<f64>() >= TIMED_MIN).then(|| quantiles(recent))
        });
        let quantiles = quantiles.collect();
        self.counted = counted;
        quantiles
    }
}

/// The part of what was before that is kept where so much is new.
fn kept_part(before: f64, new: f64) -> f64 {
    if before <= 0.0 { 1.0 } else { ((KEPT - new) / before).clamp(KEPT_PART, 1.0) }
}

/// The quantiles, each as the end of its bucket: what is in the same bucket does not exceed it.
fn quantiles(buckets: &[f64]) -> Quantiles {
    let all: f64 = buckets.iter().sum();
    Quantiles(QUANTILES.map(|q| {
        let rank = q * all;
        let mut seen = 0.0;
        let bucket = buckets.iter().position(|count| {
            seen += count;
            *count > 0.0 && seen >= rank
        });
        Duration::from_micros(bucket.map_or(0, |bucket| octaves::least_of(bucket + 1)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_ends_of_their_buckets() {
        let mut buckets = vec![0.0; ROUTE_LATENCY_BUCKETS];
        for micros in 1..=10_000 {
            buckets[octaves::bucket_of(micros, ROUTE_LATENCY_BUCKETS)] += 1.0;
        }
        for (found, want) in quantiles(&buckets).0.into_iter().zip([5_000, 9_000, 9_900]) {
            let found = u64::try_from(found.as_micros()).unwrap();
            assert!(found >= want && found <= want + want / 8, "{found} for {want}");
        }
    }

    /// Looks at a page with these requests a look, spread over as many buckets: after how many looks there are
    /// quantiles, and how many requests are kept in the end.
    fn looks(requests_a_look: &[u64], buckets: usize, looks: usize) -> (Option<usize>, f64) {
        let (mut latencies, mut counted, mut first) = (RouteLatencies::default(), vec![0; ROUTE_LATENCY_BUCKETS], None);
        let mut bucket = 0;
        for look in 0..looks {
            for _ in 0..requests_a_look[look % requests_a_look.len()] {
                counted[bucket % buckets] += 1;
                bucket += 7;
            }
            let found = latencies.take_in(counted.clone());
            assert!(first.is_none() || found[0].is_some(), "quantiles are gone at look {look}");
            first = first.or(found[0].as_ref().map(|_| look));
        }
        (first, latencies.recent.iter().sum())
    }

    #[test]
    fn a_page_is_compared_soon_however_its_latencies_are_spread_and_however_rare_it_is() {
        // Four a second: 20 a look.
        for buckets in [1, 15, 40] {
            let (first, kept) = looks(&[20], buckets, 100);
            assert!(first.is_some_and(|first| first <= 6) && (kept - 200.0).abs() < 1.0, "{buckets}: {first:?} {kept}");
        }
        // One in ten seconds.
        let (first, kept) = looks(&[0, 1], 15, 1_000);
        assert!(first.is_some_and(|first| first <= 200) && (kept - 200.0).abs() < 1.0, "{first:?} {kept}");
        // What a busy page had before matters little after a minute.
        let (_, kept) = looks(&[1_000], 15, 100);
        assert!((kept - 8_000.0).abs() < 10.0, "{kept}");
    }
}

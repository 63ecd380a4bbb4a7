//! Latencies in buckets whose width grows with the value: sixteen to each power of two, so that a bucket is at most
//! 1/16 of its value wide. That is fine enough for a quantile of a comparison and costs one increment.

use crate::shared::count::Count;

/// Buckets of one power of two, and of the linear part below.
const PER_OCTAVE: usize = 16;

/// Powers of two that are covered above the linear part: 16 us to 2^28 us, four and a half minutes.
const OCTAVES: usize = 24;

/// All buckets.
pub(crate) const LATENCY_BUCKETS: usize = PER_OCTAVE * (OCTAVES + 1);

/// One worker's latencies.
#[derive(Debug)]
pub(crate) struct Latency {
    buckets: Box<[Count; LATENCY_BUCKETS]>,
    sum_us: Count,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: Box::new(std::array::from_fn(|_| Count::default())), sum_us: Count::default() }
    }
}

impl Latency {
    /// Counts one latency. For the worker that owns it only.
    pub(crate) fn record(&self, micros: u64) {
        self.buckets[bucket_of(micros)].add(1);
        self.sum_us.add(micros);
    }

    /// Adds what was counted so far to `totals`.
    pub(crate) fn add_to(&self, totals: &mut LatencyTotals) {
        for (total, count) in totals.buckets.iter_mut().zip(&*self.buckets) {
            *total += count.value();
        }
        totals.sum_us += self.sum_us.value();
    }
}

/// The latencies of all workers at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyTotals {
    /// Count of each bucket.
    pub buckets: Vec<u64>,
    /// Sum of all latencies, in microseconds.
    pub sum_us: u64,
}

impl Default for LatencyTotals {
    fn default() -> Self {
        Self { buckets: vec![0; LATENCY_BUCKETS], sum_us: 0 }
    }
}

impl LatencyTotals {
    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Latencies in microseconds, each with how often it was counted.
    #[must_use]
    pub(crate) fn of(counted: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut totals = Self::default();
        for (micros, count) in counted {
            totals.buckets[bucket_of(micros)] += count;
            totals.sum_us = totals.sum_us.saturating_add(micros.saturating_mul(count));
        }
        totals
    }

    /// What was counted since `earlier`, an older state of the same totals.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&earlier.buckets).map(|(now, then)| now.saturating_sub(*then));
        Self { buckets: buckets.collect(), sum_us: self.sum_us.saturating_sub(earlier.sum_us) }
    }

    /// The `q`-quantile (0 to 1) in microseconds, the middle of its bucket; `None` when nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let total = self.count();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are far below 2^52"
        )]
        let rank = ((q * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        let position = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        position.map(bucket_middle)
    }
}

/// The bucket of a latency.
fn bucket_of(micros: u64) -> usize {
    let per = PER_OCTAVE as u64;
    if micros < per {
        return usize::try_from(micros).unwrap_or(0);
    }
    let octave = micros.ilog2() - PER_OCTAVE.ilog2();
    let within = (micros >> octave) - per;
    let index = (u64::from(octave) + 1) * per + within;
    usize::try_from(index).map_or(LATENCY_BUCKETS - 1, |index| index.min(LATENCY_BUCKETS - 1))
}

/// The middle of a bucket, in microseconds.
#[must_use]
pub(crate) fn bucket_middle(bucket: usize) -> u64 {
    let (octave, within) = (bucket / PER_OCTAVE, (bucket % PER_OCTAVE) as u64);
    match octave.checked_sub(1) {
        None => within,
        Some(shift) => ((PER_OCTAVE as u64 + within) << shift) + ((1 << shift) >> 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_a_sixteenth_wide() {
        let mut last = 0;
        for micros in (0..100_000).chain((17..28).map(|power| 1 << power)) {
            let bucket = bucket_of(micros);
            assert!(bucket >= last, "buckets ascend at {micros}");
            last = bucket;
            assert!(bucket_middle(bucket).abs_diff(micros) <= micros / 16, "{micros}");
        }
        assert_eq!(bucket_of(u64::MAX), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_uniform_sample() {
        let latency = Latency::default();
        for micros in 1..=10_000 {
            latency.record(micros);
        }
        let mut totals = LatencyTotals::default();
        assert_eq!(totals.quantile(0.5), None);
        latency.add_to(&mut totals);
        for (q, expected) in [(0.5, 5_000_u64), (0.9, 9_000), (0.99, 9_900), (0.0, 1)] {
            let found = totals.quantile(q).expect("counted");
            assert!(found.abs_diff(expected) <= expected / 16, "{q}: {found}");
        }
        assert_eq!((totals.count(), totals.sum_us), (10_000, 50_005_000));
        assert_eq!(totals.since(&totals).count(), 0);
    }
}

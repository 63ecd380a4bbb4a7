//! The latencies of the two variants of a flag that are compared: a version's own latencies are counted anyway, but the
//! variants are served by the same versions.

use std::sync::OnceLock;

use super::canary_outcome::Arm;
use super::count::Count;
use super::octaves;

/// Latencies up to 2^28 us, four and a half minutes.
const BUCKETS: usize = octaves::buckets_to(28);

/// The latencies of both variants, by worker.
#[derive(Debug)]
pub(crate) struct ArmLatencies(Box<[OnceLock<Box<[ArmBuckets; 2]>>]>);

#[derive(Debug)]
struct ArmBuckets([Count; BUCKETS]);

impl Default for ArmBuckets {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl ArmLatencies {
    /// Nothing yet, of this number of workers.
    #[must_use]
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OnceLock::new()).collect())
    }

    /// Counts a latency. For the worker itself only.
    pub(super) fn record(&self, worker: usize, arm: Arm, micros: u64) {
        let arms = self.0[worker].get_or_init(Box::default);
        arms[arm as usize].0[octaves::bucket_of(micros, BUCKETS)].add(1);
    }

    /// What was counted so far: the middle of each bucket that has some, and how many.
    pub(crate) fn counted(&self, arm: Arm) -> impl Iterator<Item = (u64, u64)> {
        let of = move |bucket: usize| {
            let cells = self.0.iter().filter_map(OnceLock::get);
            cells.map(|arms| arms[arm as usize].0[bucket].value()).sum::<u64>()
        };
        let middle = |bucket| octaves::least_of(bucket).midpoint(octaves::least_of(bucket + 1));
        (0..BUCKETS).map(move |bucket| (middle(bucket), of(bucket))).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_arm_has_its_own_latencies_of_all_workers() {
        let latencies = ArmLatencies::new(2);
        for (worker, arm, micros) in [(0, Arm::Candidate, 1_000), (1, Arm::Candidate, 1_010), (1, Arm::Baseline, 40)] {
            latencies.record(worker, arm, micros);
        }
        let of = |arm| latencies.counted(arm).collect::<Vec<_>>();
        let [(middle, 2)] = of(Arm::Candidate)[..] else { panic!("{:?}", of(Arm::Candidate)) };
        assert!((900..1_100).contains(&middle), "{middle}");
        assert_eq!(of(Arm::Baseline), [(42, 1)]);
    }
}

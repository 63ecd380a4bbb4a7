//! What the latencies of a rollout are compared with.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::flights::Told;
use super::threshold_count::THRESHOLDS;

/// No request takes so long.
const NOTHING_SLOW: u64 = u64::MAX;

/// Written by the control plane, read by the workers; in microseconds.
#[derive(Debug)]
pub(crate) struct LatencyThresholds {
    /// By arm, ascending; all zero while there are none.
    by_arm: [[AtomicU64; THRESHOLDS]; 2],
    /// Whether there are any.
    compares: AtomicBool,
    /// Longer than this is slow; [`NOTHING_SLOW`]: nothing is.
    slow_us: AtomicU64,
}

impl LatencyThresholds {
    /// None yet, but for what is slow.
    pub(crate) fn new(slow_us: Option<u64>) -> Self {
        Self {
            by_arm: Default::default(),
            compares: AtomicBool::new(false),
            slow_us: AtomicU64::new(slow_us.unwrap_or(NOTHING_SLOW)),
        }
    }

    pub(crate) fn compare_with(&self, thresholds: [[u64; THRESHOLDS]; 2]) {
        for (places, values) in self.by_arm.iter().zip(thresholds) {
            for (place, value) in places.iter().zip(values) {
                place.store(value, Relaxed);
            }
        }
        self.compares.store(true, Relaxed);
    }

    pub(crate) fn slow_above(&self, micros: u64) {
        self.slow_us.store(micros, Relaxed);
    }

    /// Whether requests are compared with the thresholds of their version.
    pub(crate) fn compares(&self) -> bool {
        self.compares.load(Relaxed)
    }

    /// Whether it is asked which requests are slow.
    pub(crate) fn asks_for_slow(&self) -> bool {
        self.slow_us.load(Relaxed) != NOTHING_SLOW
    }

    /// What a request of this length to an arm has exceeded.
    pub(crate) fn exceeded(&self, arm: usize, micros: u64) -> Told {
        let above = |threshold: &&AtomicU64| micros > threshold.load(Relaxed);
        let exceeded = if self.compares() { self.by_arm[arm].iter().filter(above).count() } else { 0 };
        Told { exceeded, slow: micros > self.slow_us.load(Relaxed), ..Told::default() }
    }
}

//! Rates and quantiles of the last seconds, for people who look at `status`.
//!
//! The counters only ever grow, so a rate needs two looks at them. A sampler keeps the last few; a caller that asks
//! compares the oldest one with this moment. A version without traffic costs one shared sample, not a history of
//! nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::stats::VersionTotals;
use crate::table::{Name, Service, Table, Version};

use crate::control::publish::Published;

/// Time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Samples that are kept: the window is as many seconds long. Short, because it is looked at during a switch.
const SAMPLES: usize = 6;

/// The last samples of every version.
#[derive(Debug, Default)]
pub struct RecentRates {
    rings: Mutex<HashMap<(Name, Name), Ring>>,
}

/// Samples with their times, oldest first.
#[derive(Debug, Default)]
struct Ring(VecDeque<(Instant, Arc<VersionTotals>)>);

/// A version's counters: since the start, and in the window.
#[derive(Clone, Debug)]
pub struct RateWindow {
    /// Since the start.
    pub totals: VersionTotals,
    /// In the window.
    pub recent: VersionTotals,
    /// The length of the window; zero before the first sample.
    pub length: Duration,
}

impl RecentRates {
    /// Samples until `shutdown` ends.
    pub async fn run(&self, published: Published, shutdown: impl Future<Output = ()>) {
        let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => self.sample(&published.load(), Instant::now()),
            }
        }
    }

    /// Takes a sample of every version that has been used.
    pub fn sample(&self, table: &Table, now: Instant) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashSet::new();
        for service in table.services() {
            for version in service.versions.iter().filter(|version| version.stats.is_used()) {
                let key = (service.spec.name.clone(), version.name.clone());
                rings.entry(key.clone()).or_default().push(now, version.stats.totals());
                seen.insert(key);
            }
        }
        rings.retain(|key, _| seen.contains(key));
    }

    /// The counters of a version at `now`.
    #[must_use]
    pub fn window(&self, service: &Service, version: &Version, now: Instant) -> RateWindow {
        let totals = version.stats.totals();
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = rings.get(&(service.spec.name.clone(), version.name.clone()));
        match ring.and_then(|ring| ring.0.front()) {
            Some((then, earlier)) => {
                RateWindow { recent: totals.since(earlier), length: now.duration_since(*then), totals }
            }
            None => RateWindow { recent: VersionTotals::default(), length: Duration::ZERO, totals },
        }
    }
}

impl Ring {
    fn push(&mut self, now: Instant, totals: VersionTotals) {
        let sample = match self.0.back() {
            Some((_, last)) if **last == totals => Arc::clone(last),
            _ => Arc::new(totals),
        };
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back((now, sample));
    }
}

impl RateWindow {
    /// How many of `count` there are a second.
    #[must_use]
    pub fn per_second(&self, count: u64) -> f64 {
        let seconds = self.length.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts of some seconds are far below 2^52")]
        let rate = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        rate
    }

    /// A quantile of the latency in the window, in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of some minutes are far below 2^52")]
        let ms = self.recent.latency.quantile(q).map(|micros| micros as f64 / 1_000.0);
        ms
    }
}

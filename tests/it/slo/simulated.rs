//! A window of 30 days that rolls, through many lives of the process: the sums are exact.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pointsman::testing::control::clock::Clock;
use pointsman::testing::control::{Store, Writer};
use pointsman::testing::slo::{LatencyObjective, SloHandle, SloKeeper, SloOutcome, SloSpec};
use pointsman::testing::stats::Registry;
use pointsman::testing::supervise::Part;
use pointsman::testing::table::{ServiceSpec, Weight};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::support::spec;

const HOUR_S: u64 = 3600;

/// Requests, failed and slow ones, then the same of those that faults met.
type Sums = [u64; 6];

/// What has to be known: by hours, and what of it is not written yet.
#[derive(Default)]
struct Expected {
    written: BTreeMap<u64, Sums>,
    unwritten: BTreeMap<u64, Sums>,
}

impl Expected {
    fn count(&mut self, now_s: u64, outcome: SloOutcome) {
        let sums = self.unwritten.entry(now_s / HOUR_S).or_default();
        let half = if outcome.by_fault { 3 } else { 0 };
        sums[half] += 1;
        sums[half + 1] += u64::from(outcome.failed);
        sums[half + 2] += u64::from(outcome.slow);
    }

    fn write(&mut self) {
        for (hour, sums) in std::mem::take(&mut self.unwritten) {
            let written = self.written.entry(hour).or_default();
            written.iter_mut().zip(sums).for_each(|(sum, more)| *sum += more);
        }
    }

    /// The last 720 hours, the one of this moment among them.
    fn window(&self, now_s: u64) -> Sums {
        let mut window = Sums::default();
        let now = now_s / HOUR_S;
        for sums in self.written.range(now - 719..=now).chain(self.unwritten.range(now - 719..=now)) {
            window.iter_mut().zip(sums.1).for_each(|(sum, more)| *sum += more);
        }
        window
    }
}

fn shop() -> Arc<ServiceSpec> {
    let percent = |percent| Weight::from_percent(percent).unwrap();
    let latency = Some(LatencyObjective { under: Duration::from_millis(300), share: percent(99.0) });
    let slo = SloSpec { availability: Some(percent(99.9)), latency, window_hours: 720, failed_calls: 0 };
    Arc::new(ServiceSpec { slo: Some(Arc::new(slo)), ..spec::service("shop", "v1=100") })
}

/// One life of the process, of this number of hours.
struct Life<'a> {
    random: &'a mut StdRng,
    expected: &'a mut Expected,
    now_s: &'a mut u64,
}

impl Life<'_> {
    async fn live(&mut self, state: &Path, hours: u64, orderly: bool) {
        let store = Store::open(state).unwrap();
        let registry = Arc::new(Registry::new(2));
        let writer = Writer::new(store, Arc::clone(&registry), vec![shop()]).unwrap();
        let published = writer.published();
        let (writer, thread) = writer.start(Part::alone("writer")).unwrap();
        let slo = SloHandle::new(Arc::clone(&published), Clock(Instant::now()));
        let keeper = SloKeeper::new(slo.clone(), writer, published);
        let end = *self.now_s + hours * HOUR_S;
        while *self.now_s < end {
            for _ in 0..self.random.random_range(0..40) {
                let of = |random: &mut StdRng, chance| random.random_bool(chance);
                let by_fault = of(self.random, 0.1);
                let outcome = SloOutcome { failed: of(self.random, 0.05), slow: of(self.random, 0.1), by_fault };
                registry.slo("shop").count(self.random.random_range(0..2), outcome);
                self.expected.count(*self.now_s, outcome);
            }
            keeper.look(*self.now_s).await;
            if self.random.random_bool(0.4) {
                keeper.save().await;
                self.expected.write();
            }
            let found = slo.budget("shop").unwrap().budget.counted;
            let sums = [found.requests, found.failed, found.slow, found.fault_requests, found.fault_failed];
            let wanted = self.expected.window(*self.now_s);
            assert_eq!((&sums[..], found.fault_slow), (&wanted[..5], wanted[5]), "at {}", *self.now_s);
            let left = slo.left("shop").unwrap();
            let gone = |bad: u64, allowed: f64| 100.0 - 100.0 * bad as f64 / (wanted[0].max(1) as f64 * allowed);
            let wanted = gone(wanted[1], 0.001).min(gone(wanted[2], 0.01));
            assert!((left - wanted).abs() < 1e-6, "{left}, want {wanted}");
            *self.now_s += self.random.random_range(1_000..5_000);
        }
        match orderly {
            true => {
                keeper.save().await;
                self.expected.write();
            }
            // What was not written is lost with it, and nothing else.
            false => self.expected.unwritten.clear(),
        }
        drop(keeper);
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn forty_days_with_ends_and_kills_sum_up_exactly() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u64>);
    println!("SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let (mut random, mut expected, mut now_s) = (StdRng::seed_from_u64(seed), Expected::default(), 490_000 * HOUR_S);
    let end = now_s + 40 * 24 * HOUR_S;
    let mut lives = 0;
    while now_s < end {
        let (hours, orderly) = (random.random_range(1..96), random.random_bool(0.6));
        Life { random: &mut random, expected: &mut expected, now_s: &mut now_s }.live(&state, hours, orderly).await;
        lives += 1;
    }
    println!("{lives} lives, {} hours with requests, {:?} in the last window", expected.written.len(), {
        expected.window(now_s)
    });
}

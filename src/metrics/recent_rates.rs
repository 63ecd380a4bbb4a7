//! Rates and quantiles of the last seconds, for people who look at `status`.
//!
//! The counters only ever grow, so a rate needs two looks at them. A sampler keeps the last few; a caller that asks
//! compares the oldest one with this moment. All versions are looked at in the same moments, so that their rates add up
//! to the traffic of their service, also just after a shift: a window of its own for each version, from its first
//! request on, would leave the first out and make the others seem many. At the start the window is as long as the
//! process, or the service, is old.
//!
//! A version without traffic costs one shared sample, not a history of nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::stats::VersionTotals;
use crate::table::{Name, Service, Table, Version, Weight};

use super::version_history::{HistoryPoint, StoredPoint, VersionHistory};
use crate::control::publish::Published;

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks that are kept: the window is as many seconds long. Short, because it is looked at during a switch.
const LOOKS: usize = 6;

/// The shortest time that counts are divided by: two requests in the first tenth of a second are not twenty a second.
const DIVISOR_MIN: Duration = Duration::from_secs(1);

/// The last looks at every version.
#[derive(Debug, Default)]
pub struct RecentRates(Mutex<Looks>);

/// The looks, and what was found in them.
#[derive(Debug, Default)]
struct Looks {
    /// When they were taken, oldest first.
    at: VecDeque<Instant>,
    /// Since when there are services; those of the first look are as old as the process.
    services: HashMap<Name, Instant>,
    /// What each version had counted, oldest first, for as many of the newest looks as it has been used for: it had
    /// counted nothing before. One that is gone from the table keeps its counts, as its counters do.
    versions: HashMap<(Name, Name), VecDeque<Arc<VersionTotals>>>,
    /// What was found in them in the last quarter of an hour.
    history: VersionHistory,
    /// Looks since the newest point of that.
    since_point: usize,
}

/// The last quarter of an hour of a service.
#[derive(Debug)]
pub struct ServiceRecord {
    /// The end of the newest interval; none before the first look.
    pub(crate) until: Option<Instant>,
    /// The points of its versions, in their order.
    pub(crate) versions: Vec<(Name, Vec<Option<HistoryPoint>>)>,
}

/// A version's counters: since the start, and in the window.
#[derive(Clone, Debug)]
pub struct RateWindow {
    /// Since the start.
    pub totals: VersionTotals,
    /// In the window.
    pub recent: VersionTotals,
    /// The length of the window; zero before the first look.
    pub length: Duration,
}

impl RecentRates {
    /// Looks until `shutdown` ends.
    pub async fn run(&self, published: Published, shutdown: impl Future<Output = ()>) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => self.look(&published.load(), Instant::now()),
            }
        }
    }

    /// Looks at every version that has been used.
    pub fn look(&self, table: &Table, now: Instant) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.note_services(table, now);
        let mut counted = HashMap::new();
        for service in table.services() {
            for version in service.versions.iter().filter(|version| version.stats.is_used()) {
                counted.insert((service.spec.name.clone(), version.name.clone()), version.stats.totals());
            }
        }
        looks.push(counted, now);
        looks.note_history(table, now);
    }

    /// The last quarter of an hour of a service.
    #[must_use]
    pub fn history(&self, service: &Service) -> ServiceRecord {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let points = |version: &Version| looks.history.points(&service.spec.name, &version.name);
        let versions = service.versions.iter().map(|version| (version.name.clone(), points(version))).collect();
        ServiceRecord { until: looks.history.until(), versions }
    }

    /// The counters of a version at `now`.
    #[must_use]
    pub fn window(&self, service: &Service, version: &Version, now: Instant) -> RateWindow {
        let totals = version.stats.totals();
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(oldest) = looks.at.front() else {
            return RateWindow { recent: VersionTotals::default(), length: Duration::ZERO, totals };
        };
        // A service that no look has seen yet is younger than the last one.
        let begun = looks.services.get(&service.spec.name).or(looks.at.back());
        let length = now.duration_since(*begun.unwrap_or(oldest).max(oldest));
        let recent = match looks.oldest(&service.spec.name, &version.name) {
            Some(earlier) => totals.since(earlier),
            None => totals.clone(),
        };
        RateWindow { totals, recent, length }
    }
}

impl Looks {
    /// Notes since when there are services. One that is new came at some time since the look before.
    fn note_services(&mut self, table: &Table, now: Instant) {
        let since = self.at.back().copied().unwrap_or(now);
        let there: HashSet<&Name> = table.services().map(|service| &service.spec.name).collect();
        self.services.retain(|name, _| there.contains(name));
        for name in there {
            if !self.services.contains_key(name) {
                self.services.insert(name.clone(), since);
            }
        }
    }

    fn push(&mut self, mut counted: HashMap<(Name, Name), VersionTotals>, now: Instant) {
        self.at.push_back(now);
        if self.at.len() > LOOKS {
            self.at.pop_front();
        }
        for (key, samples) in &mut self.versions {
            let new = counted.remove(key).map_or_else(|| samples.back().cloned(), |totals| Some(Arc::new(totals)));
            let same = samples.back().filter(|last| Some(*last) == new.as_ref()).cloned();
            samples.extend(same.or(new));
            if samples.len() > LOOKS {
                samples.pop_front();
            }
        }
        let new = counted.into_iter().map(|(key, totals)| (key, VecDeque::from([Arc::new(totals)])));
        self.versions.extend(new);
    }

    /// Adds a point to the history of each version, when an interval is over.
    fn note_history(&mut self, table: &Table, now: Instant) {
        if self.history.until().is_none() {
            return self.history.begin(now);
        }
        self.since_point += 1;
        if !self.history.is_due(now) {
            return;
        }
        let (since_point, versions) = (std::mem::take(&mut self.since_point), &self.versions);
        let points = table.services().flat_map(|service| {
            service.versions.iter().filter_map(move |version| {
                let key = (service.spec.name.clone(), version.name.clone());
                let point = point(versions.get(&key)?, since_point, version.weight);
                Some((key, point))
            })
        });
        self.history.record(now, points);
    }

    /// What a version had counted at the oldest look; nothing if it had not been used.
    fn oldest(&self, service: &Name, version: &Name) -> Option<&VersionTotals> {
        let samples = self.versions.get(&(service.clone(), version.clone()))?;
        samples.front().filter(|_| samples.len() == self.at.len()).map(|totals| &**totals)
    }
}

/// What a version did that had counted this at the last looks, since the look that is `looks` before the newest.
fn point(samples: &VecDeque<Arc<VersionTotals>>, looks: usize, weight: Weight) -> StoredPoint {
    let earlier = samples.len().checked_sub(looks + 1).and_then(|index| samples.get(index));
    match (samples.back(), earlier) {
        (Some(now), Some(earlier)) if Arc::ptr_eq(now, earlier) => StoredPoint::idle(weight),
        (Some(now), Some(earlier)) => StoredPoint::of(&now.since(earlier), weight),
        // It had counted nothing before.
        (Some(now), None) => StoredPoint::of(now, weight),
        (None, _) => StoredPoint::idle(weight),
    }
}

impl RateWindow {
    /// How many of `count` there are a second.
    #[must_use]
    pub fn per_second(&self, count: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of some seconds are far below 2^52")]
        let rate = count as f64 / self.length.max(DIVISOR_MIN).as_secs_f64();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Registry;
    use crate::stats::labels::CodeClass;
    use crate::table::fixture::{first_traffic, shared, spec};

    /// A service, the counters behind it, and the looks at it.
    struct Watched {
        table: Table,
        registry: Registry,
        rates: RecentRates,
        begun: Instant,
    }

    impl Watched {
        fn new() -> Self {
            let registry = Registry::new(2);
            let table = table(&registry, &["shop"]);
            Self { table, registry, rates: RecentRates::default(), begun: Instant::now() }
        }

        fn look(&self, second: f64) {
            self.rates.look(&self.table, self.begun + Duration::from_secs_f64(second));
        }

        fn answer(&self, version: &str, count: usize) {
            let stats = self.registry.version("shop", version);
            (0..count).for_each(|index| stats.cell(index % 2).answered(CodeClass::ServerError, 5_000));
        }

        fn window(&self, version: usize, second: f64) -> RateWindow {
            let service = self.table.services().next().expect("a service");
            self.rates.window(service, &service.versions[version], self.begun + Duration::from_secs_f64(second))
        }

        fn rate(&self, version: usize, second: f64) -> f64 {
            let window = self.window(version, second);
            window.per_second(window.recent.requests())
        }
    }

    fn table(registry: &Registry, services: &[&str]) -> Table {
        let specs = shared(services.iter().map(|service| spec(service, "v1=100 v2=0")));
        Table::compile(1, &specs, &first_traffic(&specs), registry).expect("the traffic fits")
    }

    #[test]
    fn the_only_request_so_far_is_seen_with_its_error_and_its_time() {
        let watched = Watched::new();
        watched.look(0.0);
        watched.answer("v1", 1);
        watched.look(1.0);
        let window = watched.window(0, 2.0);
        assert_eq!((window.recent.requests(), window.recent.codes[CodeClass::ServerError as usize]), (1, 1));
        assert!(window.quantile_ms(0.5).is_some_and(|ms| (4.0..6.0).contains(&ms)));
        assert!((watched.rate(0, 2.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_first_tenth_of_a_second_does_not_make_a_rate() {
        let watched = Watched::new();
        assert!(watched.rate(0, 0.0).abs() < 1e-9, "before the first look");
        watched.look(0.0);
        watched.answer("v1", 2);
        assert!((watched.rate(0, 0.05) - 2.0).abs() < 1e-9, "two requests are not forty a second");
    }

    #[test]
    fn after_a_flip_the_rates_of_the_versions_add_up_to_the_traffic() {
        let watched = Watched::new();
        watched.look(0.0);
        for second in 1..=20_u32 {
            let version = if second <= 15 { "v1" } else { "v2" };
            watched.answer(version, 50);
            watched.answer(version, 50);
            let now = f64::from(second);
            let rates = [watched.rate(0, now), watched.rate(1, now)];
            assert!((rates[0] + rates[1] - 100.0).abs() < 1e-6, "{rates:?} after {second} s");
            watched.look(now);
        }
        assert!(watched.rate(0, 20.0) < 20.0, "v1 has had nothing for five seconds");
        assert_eq!(watched.window(0, 20.0).length, watched.window(1, 20.0).length, "one window");
    }

    #[test]
    fn the_history_has_a_point_of_each_five_seconds_that_misses_no_request() {
        let watched = Watched::new();
        let rates = |version: usize| {
            let service = watched.table.services().next().expect("a service");
            let points = watched.rates.history(service).versions.swap_remove(version).1;
            points.into_iter().flatten().map(|point| (point.requests_per_second * 5.0).round()).collect::<Vec<_>>()
        };
        watched.look(0.0);
        for second in 1..=30_u32 {
            watched.answer("v1", 10);
            if (13..=17).contains(&second) {
                watched.answer("v2", 2);
            }
            watched.look(f64::from(second));
        }
        assert_eq!(rates(0), [50.0; 6]);
        assert_eq!(rates(1), [6.0, 4.0, 0.0, 0.0], "since its first request");
        let service = watched.table.services().next().expect("a service");
        assert_eq!(watched.rates.history(service).until, Some(watched.begun + Duration::from_secs(30)));
    }

    #[test]
    fn a_point_begins_where_the_last_one_ended_also_when_looks_are_late() {
        let watched = Watched::new();
        for second in 0..5 {
            watched.look(f64::from(second));
        }
        for (second, requests) in [(5.0, 5), (6.0, 0), (7.0, 0), (8.0, 0), (9.0, 0), (10.0, 20), (21.0, 22)] {
            watched.answer("v1", requests);
            watched.look(second);
        }
        let service = watched.table.services().next().expect("a service");
        let points = watched.rates.history(service).versions.swap_remove(0).1;
        let rates: Vec<_> =
            points.into_iter().rev().take(5).map(|point| point.map(|point| point.requests_per_second)).collect();
        assert_eq!(rates, [Some(2.0), None, Some(4.0), Some(1.0), None], "newest first, the last over 11 seconds");
    }

    #[test]
    fn a_service_that_is_new_has_a_window_since_it_began() {
        let mut watched = Watched::new();
        for second in 0..8 {
            watched.rates.look(&table(&watched.registry, &["cart"]), watched.begun + Duration::from_secs(second));
        }
        watched.answer("v1", 100);
        assert!((watched.rate(0, 7.5) - 100.0).abs() < 1e-9, "no look has seen it yet");
        watched.look(8.0);
        watched.answer("v1", 100);
        assert!((watched.rate(0, 9.0) - 100.0).abs() < 1e-9);
        // It goes, and comes again: what it had counted before is not new.
        let other = table(&watched.registry, &["cart"]);
        for second in 9..20 {
            watched.rates.look(&other, watched.begun + Duration::from_secs(second));
        }
        watched.table = table(&watched.registry, &["shop"]);
        watched.look(20.0);
        watched.answer("v1", 10);
        assert_eq!(watched.window(0, 21.0).recent.requests(), 110, "with those since the last look before it went");
    }
}

//! What each version has done in the last quarter of an hour, in points of five seconds, for the small curves of a
//! console.
//!
//! A point keeps counts and three quantiles, not the histogram behind them: two looks at the counters are made anyway,
//! and a histogram of each point would take a hundred times the room. Points of all versions lie on one grid, so that
//! they can be drawn above each other and add up to the traffic of their service. When no look could be taken for a
//! while, because the machine slept, the grid has a hole there, as long as the time was.
//!
//! A version takes [`POINTS`] points from its first request on, 4.3 KiB, and gives them back when it has had none for
//! as long as they reach, or has left the config. One without requests takes nothing.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::stats::{CodeClass, VersionTotals};
use crate::table::{Name, Weight};

/// Points of a version: a quarter of an hour.
pub(crate) const POINTS: usize = 180;

/// Time between two points.
pub(crate) const POINT_INTERVAL: Duration = Duration::from_secs(5);

/// Looks come a little early or late: from here on the interval is over.
const DUE_AFTER: Duration = Duration::from_millis(4_500);

/// The quantiles of a point.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// The points of all versions that have had requests.
#[derive(Debug, Default)]
pub(crate) struct VersionHistory {
    /// The end of the newest interval.
    until: Option<Instant>,
    /// How long each interval was, in seconds, oldest first; zero where nothing was looked at.
    lengths: VecDeque<f32>,
    /// The points of each version, oldest first, for as many of the newest intervals as it has been used for.
    versions: HashMap<(Name, Name), VecDeque<StoredPoint>>,
}

/// What a version did in one interval, in few bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoredPoint {
    requests: u32,
    errors: u32,
    quantiles_us: [u32; QUANTILES.len()],
    weight: Weight,
}

/// What a version did in one interval.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistoryPoint {
    /// Requests a second.
    pub(crate) requests_per_second: f64,
    /// Share of the answers that are 500 or above, 0 to 1; none without requests.
    pub(crate) error_ratio: Option<f64>,
    /// The median latency, and those that nine of ten and ninety-nine of a hundred stay below, in milliseconds; none
    /// without requests.
    pub(crate) quantiles_ms: Option<[f64; QUANTILES.len()]>,
    /// The weight at its end.
    pub(crate) weight: Weight,
}

impl StoredPoint {
    /// What was counted in an interval at whose end the version had this weight.
    #[must_use]
    pub(crate) fn of(counted: &VersionTotals, weight: Weight) -> Self {
        let quantile = |q| counted.latency.quantile(q).map_or(0, narrowed);
        Self {
            requests: narrowed(counted.requests()),
            errors: narrowed(counted.codes[CodeClass::ServerError as usize]),
            quantiles_us: QUANTILES.map(quantile),
            weight,
        }
    }

    /// An interval without requests.
    #[must_use]
    pub(crate) fn idle(weight: Weight) -> Self {
        Self { weight, ..Self::default() }
    }

    fn over(self, seconds: f32) -> HistoryPoint {
        let requests = f64::from(self.requests);
        let used = self.requests > 0;
        HistoryPoint {
            requests_per_second: requests / f64::from(seconds),
            error_ratio: used.then(|| f64::from(self.errors) / requests),
            quantiles_ms: used.then(|| self.quantiles_us.map(|micros| f64::from(micros) / 1_000.0)),
            weight: self.weight,
        }
    }
}

impl VersionHistory {
    /// The end of the newest interval; none before the beginning.
    #[must_use]
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Begins: the first interval ends one interval later.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.until = Some(now);
    }

    /// Whether an interval is over.
    #[must_use]
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now.duration_since(until) >= DUE_AFTER)
    }

    /// Adds the interval that ends now, with the points of the used versions of the config, by service and version.
    pub(crate) fn record(&mut self, now: Instant, points: impl IntoIterator<Item = ((Name, Name), StoredPoint)>) {
        let length = now.duration_since(self.until.replace(now).unwrap_or(now)).as_secs_f32();
        let holes = holes(length);
        extend(&mut self.lengths, holes, 0.0, length);
        let mut earlier = std::mem::take(&mut self.versions);
        for (key, point) in points {
            let ring = match earlier.remove(&key) {
                Some(mut ring) => {
                    extend(&mut ring, holes, StoredPoint::idle(point.weight), point);
                    Some(ring).filter(|ring| ring.iter().any(|point| point.requests > 0))
                }
                None => (point.requests > 0).then(|| ring_of(point)),
            };
            self.versions.extend(ring.map(|ring| (key, ring)));
        }
    }

    /// The points of a version, oldest first, and nothing where there was nothing: as many as there can be.
    #[must_use]
    pub(crate) fn points(&self, service: &Name, version: &Name) -> Vec<Option<HistoryPoint>> {
        let ring = self.versions.get(&(service.clone(), version.clone()));
        let newest_first = ring.into_iter().flatten().rev().zip(self.lengths.iter().rev());
        let mut points: Vec<_> =
            newest_first.map(|(point, seconds)| (*seconds > 0.0).then(|| point.over(*seconds))).collect();
        points.resize(POINTS, None);
        points.reverse();
        points
    }
}

/// How many intervals before the one that ends now were missed, when it has this length.
fn holes(seconds: f32) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time is positive, and it saturates")]
    let intervals = (seconds / POINT_INTERVAL.as_secs_f32()).round() as usize;
    intervals.clamp(1, POINTS) - 1
}

/// Appends holes and what comes after them, and forgets what is too old.
fn extend<T: Copy>(ring: &mut VecDeque<T>, holes: usize, hole: T, last: T) {
    for item in std::iter::repeat_n(hole, holes).chain([last]) {
        if ring.len() == POINTS {
            ring.pop_front();
        }
        ring.push_back(item);
    }
}

fn ring_of(point: StoredPoint) -> VecDeque<StoredPoint> {
    let mut ring = VecDeque::with_capacity(POINTS);
    ring.push_back(point);
    ring
}

fn narrowed(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::VersionStats;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn weight(percent: f64) -> Weight {
        Weight::from_percent(percent).expect("a weight")
    }

    fn counted(good: usize, bad: usize) -> StoredPoint {
        let stats = VersionStats::new(1);
        (0..good).for_each(|_| stats.cell(0).answered(CodeClass::Success, 4_000));
        (0..bad).for_each(|_| stats.cell(0).answered(CodeClass::ServerError, 90_000));
        StoredPoint::of(&stats.totals(), weight(10.0))
    }

    /// A history, and how many seconds it is old.
    struct Recorded(VersionHistory, Instant);

    impl Recorded {
        fn new() -> Self {
            let begun = Instant::now();
            let mut history = VersionHistory::default();
            assert!(!history.is_due(begun), "it has not begun");
            history.begin(begun);
            Self(history, begun)
        }

        fn add(&mut self, second: f64, points: &[(&str, StoredPoint)]) {
            let now = self.1 + Duration::from_secs_f64(second);
            assert!(self.0.is_due(now));
            self.0.record(now, points.iter().map(|(version, point)| ((name("shop"), name(version)), *point)));
        }

        fn points(&self, version: &str) -> Vec<Option<HistoryPoint>> {
            self.0.points(&name("shop"), &name(version))
        }

        /// Requests a second of the newest intervals, oldest first.
        fn rates(&self, version: &str, intervals: usize) -> Vec<Option<f64>> {
            let points = self.points(version);
            let rate = |point: &Option<HistoryPoint>| point.as_ref().map(|point| point.requests_per_second);
            points[POINTS - intervals..].iter().map(rate).collect()
        }
    }

    #[test]
    fn a_point_has_rate_errors_quantiles_and_weight() {
        let mut history = Recorded::new();
        history.add(5.0, &[("v1", counted(45, 5))]);
        let point = history.points("v1").pop().flatten().expect("a point");
        assert_eq!((point.requests_per_second, point.error_ratio, point.weight), (10.0, Some(0.1), weight(10.0)));
        let [p50, p90, p99] = point.quantiles_ms.expect("quantiles");
        assert!((p50 - 4.0).abs() < 0.25 && (p90 - 4.0).abs() < 0.25 && (p99 - 90.0).abs() < 6.0, "{p50} {p90} {p99}");
        assert_eq!(history.points("v1").iter().flatten().count(), 1, "nothing before it");
        assert_eq!(history.points("v1").len(), POINTS);
        history.add(10.0, &[("v1", StoredPoint::idle(weight(20.0)))]);
        let idle =
            HistoryPoint { requests_per_second: 0.0, error_ratio: None, quantiles_ms: None, weight: weight(20.0) };
        assert_eq!(history.points("v1").pop().flatten(), Some(idle));
    }

    #[test]
    fn an_interval_is_over_after_five_looks_that_come_a_little_early() {
        let history = Recorded::new();
        for (second, due) in [(1.0, false), (4.0, false), (4.4, false), (4.98, true), (5.2, true)] {
            assert_eq!(history.0.is_due(history.1 + Duration::from_secs_f64(second)), due, "{second}");
        }
    }

    #[test]
    fn a_time_without_looks_is_a_hole_for_all() {
        let mut history = Recorded::new();
        history.add(5.0, &[("v1", counted(10, 0))]);
        history.add(20.0, &[("v1", counted(30, 0)), ("v2", counted(15, 0))]);
        assert_eq!(history.rates("v1", 5), [None, Some(2.0), None, None, Some(2.0)], "over 15 seconds");
        assert_eq!(history.rates("v2", 5), [None, None, None, None, Some(1.0)]);
        history.add(20.0 + 86_400.0, &[("v1", counted(10, 0))]);
        assert_eq!(history.points("v1").iter().flatten().count(), 1, "what was before is too old");
    }

    #[test]
    fn it_keeps_a_quarter_of_an_hour_of_those_that_had_requests_in_it() {
        let mut history = Recorded::new();
        let idle = StoredPoint::idle(weight(0.0));
        history.add(5.0, &[("v1", counted(10, 0)), ("v2", counted(5, 0)), ("v3", idle)]);
        assert_eq!(history.0.versions.len(), 2, "v3 has had no requests");
        for interval in 2..=180_u32 {
            history.add(5.0 * f64::from(interval), &[("v1", counted(10, 0)), ("v2", idle), ("v3", idle)]);
        }
        assert_eq!((history.0.versions.len(), history.points("v2")[0].is_some()), (2, true));
        for interval in 181..=400_u32 {
            history.add(5.0 * f64::from(interval), &[("v1", counted(10, 0)), ("v2", idle), ("v3", idle)]);
        }
        assert_eq!(history.0.versions.keys().map(|key| key.1.as_str()).collect::<Vec<_>>(), ["v1"]);
        assert_eq!((history.0.lengths.len(), history.points("v1").iter().flatten().count()), (POINTS, POINTS));
        let ring = &history.0.versions[&(name("shop"), name("v1"))];
        assert_eq!((ring.len(), ring.capacity()), (POINTS, POINTS));
        assert_eq!(size_of::<StoredPoint>() * POINTS, 4_320, "what the documentation says");
        history.add(5.0 * 401.0, &[]);
        assert!(history.0.versions.is_empty(), "it has left the config");
    }
}

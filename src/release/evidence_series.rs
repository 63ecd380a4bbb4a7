//! What the judge had found over time: points of each service's evidence, bounded, and stored with the rollout.
//!
//! The evidence of a moment says where a rollout stands. What it does not say is how it came there, which people ask
//! when it is over: when E began to rise, what the weight was, how far the alarm was away. Events and changes of mind
//! are too few for a picture.
//!
//! A rollout takes seconds or weeks, and nothing knows beforehand which. So points begin a second apart, and when there
//! is no more room every second one is given up and the time between two doubles. So there are always at least half of
//! as many as there may be, spread evenly, at a cost that does not grow. Which of two is given up is the one that no
//! move was made at: those say where the steps of the picture are.

use serde::{Deserialize, Serialize};

use super::evidence_view::{CountsView, EvidenceView};

/// Points that are kept of a rollout of few services: as many as a picture has room for.
const POINTS_MAX: usize = 300;

/// Points that are kept of a rollout of very many services.
const POINTS_MIN: usize = 60;

/// What is kept of all services together, while each of them has its [`POINTS_MIN`].
const SAMPLES_MAX: usize = 1_200;

/// Time between two points at first, in milliseconds.
const EVERY_MS: i64 = 1_000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EvidenceSeries {
    /// Time between two points, in milliseconds.
    every_ms: i64,
    points: Vec<EvidencePoint>,
}

/// A moment. The names are short, because hundreds of them are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EvidencePoint {
    /// When, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub(crate) at_ms: i64,
    /// The stage that it was in.
    #[serde(rename = "s")]
    pub(crate) stage: Option<usize>,
    /// The candidate's weight, in per cent.
    #[serde(rename = "w")]
    pub(crate) weight: f64,
    /// Whether it moved then, from this weight or stage.
    #[serde(rename = "m", default, skip_serializing_if = "is_false")]
    pub(crate) moves: bool,
    /// What was known of each service.
    #[serde(rename = "v")]
    pub(crate) services: Vec<EvidenceSample>,
}

/// What was known of a service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EvidenceSample {
    /// Judged requests of the candidate since the start.
    #[serde(rename = "c")]
    pub(crate) candidate: SampledCounts,
    /// Those of the baseline.
    #[serde(rename = "b")]
    pub(crate) baseline: SampledCounts,
    /// log10 of E of what is compared with the baseline.
    #[serde(rename = "e")]
    pub(crate) log10_e: f32,
    /// log10 of E of the test that speaks loudest.
    #[serde(rename = "h")]
    pub(crate) log10_e_highest: f32,
    /// log10 of E at which it is rolled back.
    #[serde(rename = "a")]
    pub(crate) log10_alarm: f32,
    /// How many times as often the candidate fails; the end that nothing bounds is none.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure_ratio: Option<[Option<f32>; 2]>,
    /// Median and 99th percentile of the candidate, in milliseconds.
    #[serde(rename = "cq", default, skip_serializing_if = "Option::is_none")]
    pub(crate) candidate_ms: Option<[f32; 2]>,
    /// Those of the baseline.
    #[serde(rename = "bq", default, skip_serializing_if = "Option::is_none")]
    pub(crate) baseline_ms: Option<[f32; 2]>,
}

/// Judged requests of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 2]", into = "[u64; 2]")]
pub(crate) struct SampledCounts {
    /// All of them.
    pub(crate) requests: u64,
    /// Those that failed.
    pub(crate) failures: u64,
}

impl Default for EvidenceSeries {
    fn default() -> Self {
        Self { every_ms: EVERY_MS, points: Vec::new() }
    }
}

impl EvidenceSeries {
    /// Whether nothing is kept.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The points, oldest first.
    #[must_use]
    pub(crate) fn points(&self) -> &[EvidencePoint] {
        &self.points
    }

    /// Time between two points, in milliseconds.
    #[must_use]
    pub(crate) fn every_ms(&self) -> i64 {
        self.every_ms
    }

    /// Whether it is time for a point. A clock that was put back does not keep the next one away.
    #[must_use]
    pub(crate) fn is_due(&self, at_ms: i64) -> bool {
        self.points.last().is_none_or(|last| at_ms < last.at_ms || at_ms - last.at_ms >= self.every_ms)
    }

    /// Adds a point; if there is no room, others are given up for it.
    pub(crate) fn push(&mut self, point: EvidencePoint) {
        if self.points.len() >= room(point.services.len()) {
            self.thin();
        }
        self.points.push(point);
    }

    fn thin(&mut self) {
        self.every_ms = self.every_ms.saturating_mul(2);
        let mut number = 0_usize;
        let mut first_moves = false;
        self.points.retain(|point| {
            let (is_first, is_beginning) = (number.is_multiple_of(2), number == 0);
            number += 1;
            if is_first {
                first_moves = point.moves || is_beginning;
                return first_moves;
            }
            // Of two moves the later one goes too: the number is bounded whatever moves.
            !first_moves
        });
    }
}

/// How many points there may be of this number of services.
fn room(services: usize) -> usize {
    // An even number: the last one of an odd number has no other beside it.
    (SAMPLES_MAX / services.max(1) / 2 * 2).clamp(POINTS_MIN, POINTS_MAX)
}

impl EvidencePoint {
    /// Of what was found by then.
    #[must_use]
    pub(crate) fn new(at_ms: i64, stage: Option<usize>, weight: f64, found: &[EvidenceView]) -> Self {
        Self { at_ms, stage, weight, moves: false, services: found.iter().map(EvidenceSample::of).collect() }
    }

    /// The same where it moved.
    #[must_use]
    pub(crate) fn at_a_move(self) -> Self {
        Self { moves: true, ..self }
    }
}

impl EvidenceSample {
    fn of(found: &EvidenceView) -> Self {
        let ms = |[median, _, p99]: [f64; 3]| [median, p99].map(short);
        Self {
            candidate: SampledCounts::of(found.candidate),
            baseline: SampledCounts::of(found.baseline),
            log10_e: short(found.log10_e),
            log10_e_highest: short(found.log10_e_highest.unwrap_or(found.log10_e)),
            log10_alarm: short(found.log10_alarm),
            failure_ratio: found.failure_ratio.map(|ends| ends.map(|end| end.map(short))),
            candidate_ms: found.candidate_ms.map(ms),
            baseline_ms: found.baseline_ms.map(ms),
        }
    }
}

impl SampledCounts {
    fn of(CountsView { requests, failures, .. }: CountsView) -> Self {
        Self { requests, failures }
    }
}

impl From<[u64; 2]> for SampledCounts {
    fn from([requests, failures]: [u64; 2]) -> Self {
        Self { requests, failures }
    }
}

impl From<SampledCounts> for [u64; 2] {
    fn from(SampledCounts { requests, failures }: SampledCounts) -> Self {
        [requests, failures]
    }
}

/// Four digits: a picture shows no more of them, and they are half of what is stored.
fn short(value: f64) -> f32 {
    // What a picture does not tell from nothing is nothing.
    if value.abs() < 1e-6 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powf(3.0 - value.abs().log10().floor());
    #[expect(clippy::cast_possible_truncation, reason = "four digits are left")]
    let short = ((value * scale).round() / scale) as f32;
    short
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> EvidenceSample {
        EvidenceSample {
            candidate: SampledCounts { requests: 120, failures: 7 },
            baseline: SampledCounts { requests: 1_080, failures: 1 },
            log10_e: 1.25,
            log10_e_highest: 2.5,
            log10_alarm: 3.301,
            failure_ratio: Some([Some(1.5), None]),
            candidate_ms: Some([12.0, 80.5]),
            baseline_ms: None,
        }
    }

    fn point(at_ms: i64, services: usize) -> EvidencePoint {
        EvidencePoint { at_ms, stage: Some(1), weight: 10.0, moves: false, services: vec![sample(); services] }
    }

    /// Looks four times a second for so long.
    fn watched(seconds: i64, services: usize) -> EvidenceSeries {
        let mut series = EvidenceSeries::default();
        for at in (0..seconds * 1_000).step_by(250) {
            if series.is_due(at) {
                series.push(point(at, services));
            }
        }
        series
    }

    #[test]
    fn a_rollout_of_any_length_has_points_from_its_first_to_its_last_moment_evenly_spread() {
        for seconds in [10, 299, 301, 3_600, 86_400, 7 * 86_400] {
            let series = watched(seconds, 1);
            let points = series.points();
            let enough = usize::try_from(seconds).unwrap().min(POINTS_MAX / 2);
            assert!((enough..=POINTS_MAX).contains(&points.len()), "{seconds}: {}", points.len());
            assert_eq!(points[0].at_ms, 0);
            let last = points[points.len() - 1].at_ms;
            assert!(seconds * 1_000 - last <= series.every_ms(), "{seconds}: {last}");
            let gaps = points.windows(2).map(|two| two[1].at_ms - two[0].at_ms);
            assert!(gaps.clone().all(|gap| gap > 0 && gap <= 2 * series.every_ms()), "{seconds}: {:?}", gaps.max());
        }
    }

    #[test]
    fn a_rollout_of_many_services_keeps_fewer_points_of_each() {
        assert_eq!([0, 1, 4, 5, 12, 20, 1_000].map(room), [300, 300, 300, 240, 100, 60, 60]);
        let most = [4, 20, 100].map(|services| watched(3_000, services).points().len());
        assert!(most[0] <= 300 && most[1] <= 60 && most[2] <= 60 && most[2] >= 30, "{most:?}");
    }

    #[test]
    fn moves_stay_when_others_are_given_up_and_even_too_many_moves_are_bounded() {
        let mut series = EvidenceSeries::default();
        for second in 0..2_000 {
            let (point, moves) = (point(second * 1_000, 1), second % 200 == 77);
            if moves {
                series.push(point.at_a_move());
            } else if series.is_due(point.at_ms) {
                series.push(point);
            }
        }
        let moves: Vec<i64> = series.points().iter().filter(|point| point.moves).map(|point| point.at_ms).collect();
        assert_eq!(moves, (0..10).map(|number| (number * 200 + 77) * 1_000).collect::<Vec<_>>());
        let mut series = EvidenceSeries::default();
        (0..10_000).for_each(|at| series.push(point(at, 1).at_a_move()));
        assert!(series.points().len() <= POINTS_MAX);
        assert_eq!(series.points().last().map(|point| point.at_ms), Some(9_999));
    }

    #[test]
    fn a_clock_that_is_put_back_does_not_stop_it() {
        let mut series = EvidenceSeries::default();
        assert!(series.is_due(1_000_000));
        series.push(point(1_000_000, 1));
        assert!(!series.is_due(1_000_999) && series.is_due(1_001_000) && series.is_due(999_999));
    }

    #[test]
    fn what_is_stored_keeps_its_words_and_is_small() {
        let mut series = EvidenceSeries::default();
        series.push(point(5, 1).at_a_move());
        let text = serde_json::to_string(&series).unwrap();
        let wanted = r#"{"every_ms":1000,"points":[{"t":5,"s":1,"w":10.0,"m":true,"v":[{"c":[120,7],"b":[1080,1],"e":1.25,"h":2.5,"a":3.301,"r":[1.5,null],"cq":[12.0,80.5]}]}]}"#;
        assert_eq!(text, wanted);
        assert_eq!(serde_json::from_str::<EvidenceSeries>(&text).unwrap(), series);
        let full = serde_json::to_string(&watched(299, 4)).unwrap();
        assert!(full.len() < 200_000, "{}", full.len());
    }

    #[test]
    fn figures_have_four_digits() {
        let shorts = [1e-16, 1.234_56, -12.345_6, 123_456.0, 0.000_123_456, f64::INFINITY].map(short);
        assert_eq!(shorts, [0.0, 1.235, -12.35, 123_500.0, 0.000_123_5, 0.0]);
    }
}

//! The evidence of a rollout over time, as it is shown.

use serde::Serialize;
use utoipa::ToSchema;

use super::evidence_series::{EvidencePoint, EvidenceSample, SampledCounts};
use super::saved::Saved;

/// What the judge had found over time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EvidenceOverTime {
    /// The number of the rollout.
    pub rollout: u64,
    /// Time between two points where nothing moves, in seconds. It doubles when there are too many points, and every second
    /// one is dropped then.
    pub interval_seconds: f64,
    /// By service.
    pub services: Vec<ServiceOverTime>,
}

/// What was found about a service.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ServiceOverTime {
    /// The service.
    pub service: String,
    /// The flag whose variants are compared in it, if it is one.
    pub flag: Option<String>,
    /// The old version, or variant.
    pub from: String,
    /// The new one.
    pub to: String,
    /// Oldest first. After a restart of the proxy the judge begins anew, and with it counts and E.
    pub points: Vec<EvidenceMoment>,
}

/// What was found by a moment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EvidenceMoment {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The number of the stage that it was in, from 0.
    pub stage: Option<usize>,
    /// The new version's weight, in per cent.
    pub weight: f64,
    /// Whether it moved at this moment: what comes after it may have another weight.
    pub moves: bool,
    /// The new version's judged requests since the start.
    pub candidate: ArmMoment,
    /// The old version's.
    pub baseline: ArmMoment,
    /// log10 of E, of what is compared with the baseline.
    pub log10_e: f32,
    /// log10 of E of the test that speaks loudest, of those that can turn it back.
    pub log10_e_highest: f32,
    /// log10 of E at which it is rolled back.
    pub log10_alarm: f32,
    /// How many times as often the new version has failed, of all requests so far; none while one of them has not.
    pub ratio: Option<f64>,
    /// Between how many times that is with 95 % confidence at all times; `null` at the end that nothing bounds.
    pub failure_ratio: Option<[Option<f32>; 2]>,
}

/// What was known of a version.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct ArmMoment {
    /// Judged requests.
    pub requests: u64,
    /// Those that failed by the version's fault.
    pub failures: u64,
    /// The median of its latency in the last minute, in milliseconds.
    pub p50_ms: Option<f32>,
    /// The 99th percentile.
    pub p99_ms: Option<f32>,
}

impl EvidenceOverTime {
    /// Of a rollout.
    #[must_use]
    pub fn of(saved: &Saved) -> Self {
        let service = |(number, service): (usize, &String)| {
            let compared = saved.compared(service);
            let moments = saved.series.points().iter();
            ServiceOverTime {
                service: service.clone(),
                flag: compared.flag.map(str::to_owned),
                from: compared.from.to_owned(),
                to: compared.to.to_owned(),
                points: moments.filter_map(|point| EvidenceMoment::of(point, number)).collect(),
            }
        };
        Self {
            rollout: saved.id,
            interval_seconds: saved.series.every_ms() as f64 / 1_000.0,
            services: saved.services.iter().enumerate().map(service).collect(),
        }
    }
}

impl EvidenceMoment {
    fn of(point: &EvidencePoint, service: usize) -> Option<Self> {
        let sample = *point.services.get(service)?;
        let EvidenceSample { candidate, baseline, log10_e, log10_e_highest, log10_alarm, failure_ratio, .. } = sample;
        Some(Self {
            at_ms: point.at_ms,
            stage: point.stage,
            weight: point.weight,
            moves: point.moves,
            candidate: ArmMoment::of(candidate, sample.candidate_ms),
            baseline: ArmMoment::of(baseline, sample.baseline_ms),
            log10_e,
            log10_e_highest,
            log10_alarm,
            ratio: ratio(candidate, baseline),
            failure_ratio,
        })
    }
}

impl ArmMoment {
    fn of(SampledCounts { requests, failures }: SampledCounts, ms: Option<[f32; 2]>) -> Self {
        let [p50_ms, p99_ms] = ms.map_or([None; 2], |ms| ms.map(Some));
        Self { requests, failures, p50_ms, p99_ms }
    }
}

/// How many times as often the candidate has failed.
fn ratio(candidate: SampledCounts, baseline: SampledCounts) -> Option<f64> {
    if candidate.failures == 0 || baseline.failures == 0 {
        return None;
    }
    let share = |counts: SampledCounts| counts.failures as f64 / counts.requests as f64;
    let ratio = share(candidate) / share(baseline);
    Some((ratio * 1_000.0).round() / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_the_shares_and_there_is_none_without_failures() {
        let counts = |requests, failures| SampledCounts { requests, failures };
        assert_eq!(ratio(counts(100, 5), counts(900, 9)), Some(5.0));
        assert_eq!(ratio(counts(100, 0), counts(900, 9)), None);
        assert_eq!(ratio(counts(100, 5), counts(0, 0)), None);
    }
}

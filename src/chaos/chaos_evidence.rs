//! What the judge has found, as scripts read it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::judged_slices::JudgedSlices;
use crate::rollout::judge::Side;
use crate::rollout::judge::quantiles::QUANTILES;
use crate::rollout::judge::verdict::JudgeFindings;

/// Evidence that the fault slice is worse than the hypothesis says. E is what a bet on that has made of one: by chance
/// it reaches `alarm` in one of as many runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChaosEvidence {
    /// The evidence that counts.
    pub e: f64,
    /// From here on the hypothesis is broken.
    pub alarm: f64,
    /// That of failures.
    pub errors: ChaosErrorEvidence,
    /// That of latency, if it is judged.
    pub latency: Option<ChaosLatencyEvidence>,
}

/// Evidence of failures.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChaosErrorEvidence {
    /// Its E.
    pub e: f64,
    /// How many times as many failures the hypothesis allows.
    pub ratio_max: f64,
    /// How many times as many there are at least, with 95 % confidence at all times.
    pub ratio_low: Option<f64>,
    /// How many times as many there are at most; none: no end is known.
    pub ratio_high: Option<f64>,
    /// Where a command reaches everyone: the part of the requests that may fail, by what the baseline showed.
    pub at_most: Option<f64>,
}

/// Evidence of latency.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChaosLatencyEvidence {
    /// Its E.
    pub e: f64,
    /// How many times slower the hypothesis allows.
    pub slower_max: f64,
    /// The quantile that says most: of the control slice, or of the baseline where a command reaches everyone.
    pub quantile: f64,
    /// What is above that many milliseconds is slow; none while too little was seen.
    pub slow_ms: Option<f64>,
    /// Requests of the fault slice that were slow.
    pub slow: u64,
    /// All of its requests that were compared.
    pub compared: u64,
}

impl ChaosEvidence {
    /// What is known at this moment.
    #[must_use]
    pub(super) fn of(slices: &JudgedSlices) -> Self {
        let (found, settings) = (slices.findings(), slices.settings());
        let standing = &found.standing;
        let is_frozen = settings.freezes;
        let errors = if is_frozen { standing.failure_ceiling.unwrap_or(0.0) } else { standing.errors };
        let ratio = found.ratio;
        Self {
            e: e(standing.highest()),
            alarm: e(found.ln_alarm),
            errors: ChaosErrorEvidence {
                e: e(errors),
                ratio_max: settings.margin.ratio.value(),
                ratio_low: ratio.map(|ratio| ratio.low),
                ratio_high: ratio.map(|ratio| ratio.high).filter(|high| high.is_finite()),
                at_most: found.ceilings.failures.map(|ceiling| ceiling.value()),
            },
            latency: settings.slower.map(|slower| {
                if is_frozen { of_ceiling(&found, slower.value()) } else { compared(&found, slower.value()) }
            }),
        }
    }
}

fn compared(found: &JudgeFindings, slower_max: f64) -> ChaosLatencyEvidence {
    let (quantile, counts) = (found.leading_quantile, found.latencies.candidate);
    ChaosLatencyEvidence {
        e: e(found.standing.latency.unwrap_or(0.0)),
        slower_max,
        quantile: QUANTILES[quantile],
        slow_ms: found.thresholds.map(|thresholds| millis(thresholds.micros(Side::Candidate)[quantile])),
        slow: counts.above(quantile),
        compared: counts.compared(quantile),
    }
}

fn of_ceiling(found: &JudgeFindings, slower_max: f64) -> ChaosLatencyEvidence {
    let counts = found.latencies.candidate;
    let ceiling = found.ceilings.slow;
    ChaosLatencyEvidence {
        e: e(found.standing.slow_ceiling.unwrap_or(0.0)),
        slower_max,
        quantile: QUANTILES[QUANTILES.len() - 1],
        slow_ms: ceiling.map(|slow| slow.longer_than.as_secs_f64() * 1_000.0),
        slow: counts.slow,
        compared: counts.timed,
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a request are far below 2^52")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// E by its logarithm, as a number that JSON can hold, with three significant digits.
fn e(ln: f64) -> f64 {
    let e = ln.clamp(-700.0, 700.0).exp();
    format!("{e:.2e}").parse().unwrap_or(e)
}

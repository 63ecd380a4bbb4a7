//! The judge of an injection, and what it is told of the two slices each tick.
//!
//! The judge is that of releases: the fault slice is its candidate, the control slice its baseline, and what it asks is
//! whether the first is worse. Where there is no control slice, because a command reaches everyone, what the baseline
//! phase showed becomes ceilings, as the stable version's own rates do when it has no traffic any more. That is before
//! against after, and what else has changed meanwhile is held against the command: it is the weaker comparison.

use std::sync::Arc;
use std::time::Duration;

use super::chaos_time::ChaosTime;
use crate::rollout::counts::{self, CountsReader};
use crate::rollout::judge::frozen::{FrozenCeilings, REQUESTS_MIN, failures_at_most};
use crate::rollout::judge::quantiles::{QUANTILES, Quantiles, Thresholds, micros};
use crate::rollout::judge::verdict::JudgeFindings;
use crate::rollout::judge::{
    Bake, CandidateShare, Evidence, HoldReason, Judge, JudgeDecision, JudgeSettings, PerVersion,
};
use crate::rollout::latency_looks::{self, LatencyLook, LatencyLooks};
use crate::shared::fault_stats::{FaultSlice, FaultStats};
use crate::stats::latency_histogram::LatencyTotals;
use crate::table::Weight;

/// Below a millisecond it is the machine that is timed.
const SLOW_MIN: Duration = Duration::from_millis(1);

/// Half of the users of both slices are in each.
const HALF: u32 = 2;

/// The judge of an injection.
#[derive(Debug)]
pub(crate) struct JudgedSlices {
    stats: Arc<FaultStats>,
    judge: Judge,
    counts: CountsReader,
    looks: LatencyLooks,
    thresholds: Option<Thresholds>,
    /// Whether there is neither a control slice nor a baseline that shows enough.
    blind: bool,
}

impl JudgedSlices {
    /// Judges what `stats` will count from now on, with what `before` has counted in the baseline phase.
    pub(crate) fn new(settings: JudgeSettings, before: &FaultStats, stats: Arc<FaultStats>, now: ChaosTime) -> Self {
        let compares = !settings.freezes;
        let (at, timed) = (now.since_zero(), all_latencies(before));
        // The thresholds of the first seconds are those of the baseline phase, in which both slices were alike.
        let thresholds = latency_looks::thresholds(&timed, settings.slower).filter(|_| compares);
        if let Some(thresholds) = &thresholds {
            counts::compare_with(stats.canary(), thresholds);
        }
        let share = if compares { Weight::of_part(1, HALF) } else { Weight::FULL };
        let mut judge = Judge::new(settings, CandidateShare::at(share), at);
        let mut blind = false;
        if !compares {
            let frozen = frozen(&settings, before, &timed);
            blind = frozen.errors_max.is_none();
            if let Some(slow) = frozen.slow_us {
                stats.canary().slow_above(slow);
            }
            judge.hold_to(frozen);
        }
        let looks = if thresholds.is_some() { LatencyLooks::begun(at) } else { LatencyLooks::default() };
        Self { stats, judge, counts: CountsReader::default(), looks, thresholds, blind }
    }

    /// Reads what was counted since the tick before, and judges it.
    pub(crate) fn tick(&mut self, now: ChaosTime) {
        let (canary, at) = (self.stats.canary(), now.since_zero());
        canary.sweep(now.ms);
        let totals = PerVersion {
            candidate: latencies(&self.stats, FaultSlice::Fault),
            baseline: latencies(&self.stats, FaultSlice::Control),
        };
        let slower = self.judge.settings().slower.filter(|_| !self.judge.settings().freezes);
        let LatencyLook { quantiles, thresholds } = self.looks.look(at, totals, slower);
        if let Some(thresholds) = &thresholds {
            counts::compare_with(canary, thresholds);
        }
        self.thresholds = thresholds.or(self.thresholds);
        let users = self.counts.look_at_users(canary, self.judge.windows());
        canary.refresh(self.looks.looked_at(at), !self.judge.settings().freezes);
        let epochs = self.counts.read(canary);
        let evidence =
            Evidence { epochs: &epochs, quantiles, thresholds: self.thresholds, users, ..Evidence::default() };
        self.judge.tick(at, &evidence);
    }

    /// What the judge says; `is_over` once the time of the injection is over.
    #[must_use]
    pub(crate) fn decision(&self, is_over: bool) -> JudgeDecision {
        let bake = if is_over { Bake::Over { ago: Duration::ZERO } } else { Bake::Running };
        let decision = self.judge.decision(bake);
        if decision != JudgeDecision::Advance || !self.blind {
            return decision;
        }
        let judged = self.judge.findings().outcomes.candidate.requests;
        JudgeDecision::Hold { why: HoldReason::NotEnoughData { judged, needed: None }, expired: false }
    }

    /// All that the judge knows.
    #[must_use]
    pub(crate) fn findings(&self) -> JudgeFindings {
        self.judge.findings()
    }

    /// What is asked of the judge.
    #[must_use]
    pub(crate) fn settings(&self) -> &JudgeSettings {
        self.judge.settings()
    }

    /// Whether the baseline phase has shown too little to compare with.
    #[must_use]
    pub(crate) fn is_blind(&self) -> bool {
        self.blind
    }
}

/// What the baseline phase showed, as ceilings.
fn frozen(settings: &JudgeSettings, before: &FaultStats, timed: &LatencyTotals) -> FrozenCeilings {
    let totals = before.totals(FaultSlice::Fault);
    let seen = totals.requests >= REQUESTS_MIN;
    let Quantiles(quantiles) = latency_looks::of(timed);
    let slow = settings.slower.map(|slower| quantiles[QUANTILES.len() - 1].mul_f64(slower.value()));
    FrozenCeilings {
        requests: totals.requests,
        failures: totals.failed,
        errors_max: seen.then(|| failures_at_most(totals.failed, totals.requests, settings.margin)),
        slow_us: slow.filter(|_| seen).map(|slow| micros(slow.max(SLOW_MIN))),
    }
}

/// The latencies of a slice so far.
#[must_use]
pub(crate) fn latencies(stats: &FaultStats, slice: FaultSlice) -> LatencyTotals {
    LatencyTotals::of(stats.latencies(slice))
}

/// Those of both together.
#[must_use]
pub(crate) fn all_latencies(stats: &FaultStats) -> LatencyTotals {
    LatencyTotals::of(FaultSlice::ALL.into_iter().flat_map(|slice| stats.latencies(slice)))
}

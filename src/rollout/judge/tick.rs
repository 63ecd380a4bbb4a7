//! The judge's state, and how a tick's evidence is folded into it.
//!
//! A tick costs some additions per alternative and a logarithm for each when late starts are staked, and allocates
//! nothing unless a share appears for the first time; a quiet tick costs next to nothing. What is staked late on a
//! quiet tick is staked with the next evidence, which is the same.

use std::time::Duration;

use super::baseline_health::RecentHealth;
use super::burst::BurstWatch;
use super::ceiling::CeilingTest;
use super::errors::{ErrorBets, ErrorCounts, ErrorTest};
use super::evidence::{CandidateShare, EpochCounts, Evidence, OutcomeCounts};
use super::judge_settings::JudgeSettings;
use super::latency::LatencyBets;
use super::per_version::PerVersion;
use super::quantiles::{LatencyCounts, Quantiles, Thresholds};
use super::ratio::RatioCounts;
use super::stretch::{Stretches, Totals};
use super::windows::LatencyWindows;

/// Judges one rollout of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    pub(crate) settings: JudgeSettings,
    /// The factors for each share that was seen: a handful, one for each step.
    bets: Vec<Bets>,
    /// When the rollout began.
    started: Duration,
    /// The test on failures.
    pub(crate) errors: ErrorTest,
    /// The test on latency, if there is one.
    pub(crate) latency: Option<LatencyWindows>,
    /// The ceiling on failures, if there is one.
    pub(crate) failure_ceiling: Option<CeilingTest>,
    /// The ceiling on slow requests, if there is one.
    pub(crate) slow_ceiling: Option<CeilingTest>,
    /// How often trouble comes in bursts.
    pub(crate) bursts: BurstWatch,
    /// Since when it is bad.
    pub(crate) stretches: Stretches,
    /// Failures by share.
    pub(crate) ratios: RatioCounts,
    /// Outcomes since the rollout began.
    pub(crate) outcomes: PerVersion<OutcomeCounts>,
    /// Outcomes since the step began.
    pub(crate) step: PerVersion<OutcomeCounts>,
    /// Latencies since the rollout began.
    pub(crate) latencies: PerVersion<LatencyCounts>,
    /// What the baseline did recently.
    pub(crate) health: RecentHealth,
    /// The candidate's share in this step.
    pub(crate) share: CandidateShare,
    /// Latencies as last reported.
    pub(crate) quantiles: Option<PerVersion<Quantiles>>,
    /// Thresholds as last reported.
    pub(crate) thresholds: Option<Thresholds>,
    /// How long nothing will be judged because all endpoints of a version are cold.
    pub(crate) warm_up_left: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
struct Bets {
    share: CandidateShare,
    errors: ErrorBets,
    latency: LatencyBets,
}

impl Judge {
    /// A judge for a rollout that begins now, with a first step at `share`. Time is since any fixed moment, and never
    /// goes back.
    #[must_use]
    pub fn new(settings: JudgeSettings, share: CandidateShare, now: Duration) -> Self {
        let ceilings = settings.ceilings;
        Self {
            settings,
            bets: Vec::new(),
            started: now,
            errors: ErrorTest::with_restarts(&settings),
            latency: settings.slower.map(|_| LatencyWindows::open(&settings, now)),
            failure_ceiling: ceilings.failures.map(|ceiling| CeilingTest::with_restarts(ceiling, &settings)),
            slow_ceiling: ceilings.slow.map(|ceiling| CeilingTest::with_restarts(ceiling.at_most, &settings)),
            bursts: BurstWatch::new(&settings, now),
            stretches: Stretches::new(now),
            ratios: RatioCounts::default(),
            outcomes: PerVersion::default(),
            step: PerVersion::default(),
            latencies: PerVersion::default(),
            health: RecentHealth::default(),
            share,
            quantiles: None,
            thresholds: None,
            warm_up_left: None,
        }
    }

    /// What is asked of this judge.
    #[must_use]
    pub fn settings(&self) -> &JudgeSettings {
        &self.settings
    }

    /// The windows of the test on latency, if there is one.
    #[must_use]
    pub fn latency(&self) -> Option<&LatencyWindows> {
        self.latency.as_ref()
    }

    /// A new step begins, with this share: its requests are counted from 0. What the tests have won or lost stays,
    /// and outcomes of earlier epochs that still come in are judged by the odds of theirs.
    pub fn begin_step(&mut self, share: CandidateShare) {
        self.share = share;
        self.step = PerVersion::default();
    }

    /// Folds in what was counted since the tick before.
    pub fn tick(&mut self, now: Duration, evidence: &Evidence) {
        self.health.forget_before(now);
        self.quantiles = evidence.quantiles.or(self.quantiles);
        self.thresholds = evidence.thresholds.or(self.thresholds);
        self.warm_up_left = evidence.warm_up_left;
        if !evidence.is_empty() {
            self.restart(now);
            for epoch in evidence.epochs {
                self.fold(now, epoch);
            }
        }
        self.bursts.observe(now, evidence.epochs, evidence.endpoints);
        self.settle(now);
        if let Some(windows) = &mut self.latency {
            windows.turn(now, &self.settings);
        }
    }

    fn restart(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.started);
        self.errors.wealth.restart_by(elapsed, self.settings.horizon);
        if let Some(windows) = &mut self.latency {
            windows.restart(now, &self.settings);
        }
        for ceiling in [&mut self.failure_ceiling, &mut self.slow_ceiling].into_iter().flatten() {
            ceiling.wealth.restart_by(elapsed, self.settings.horizon);
        }
    }

    /// Ends the tick: one burst is one draw.
    fn settle(&mut self, now: Duration) {
        let totals = Totals { at: now, outcomes: self.outcomes, latencies: self.latencies };
        let (on_errors, on_latency) = (self.bursts.of_errors(), self.bursts.of_latency());
        self.stretches.errors.follow(&self.errors.wealth.settle(&on_errors), &totals);
        if let Some(windows) = &mut self.latency {
            self.stretches.latency.follow(&windows.test.wealth.settle(&on_latency), &totals);
        }
        for (ceiling, limits) in [(&mut self.failure_ceiling, &on_errors), (&mut self.slow_ceiling, &on_latency)] {
            if let Some(ceiling) = ceiling {
                ceiling.wealth.settle(limits);
            }
        }
    }

    fn fold(&mut self, now: Duration, epoch: &EpochCounts) {
        let number = self.bets_number(epoch.share);
        let bets = &self.bets[number];
        let PerVersion { candidate, baseline } = &epoch.outcomes;
        let counts = ErrorCounts {
            candidate_failures: candidate.counted_failures,
            baseline_failures: baseline.counted_failures,
            baseline_successes: baseline.successes(),
        };
        self.errors.fold(&bets.errors, counts);
        self.ratios.add(epoch.share, candidate.counted_failures, baseline.counted_failures);
        if let Some(windows) = &mut self.latency {
            windows.fold(&bets.latency, epoch);
        }
        if let Some(ceiling) = &mut self.failure_ceiling {
            ceiling.fold(candidate.counted_failures, candidate.successes());
        }
        if let Some(ceiling) = &mut self.slow_ceiling {
            let timed = &epoch.latencies.candidate;
            ceiling.fold(timed.slow, timed.timed.saturating_sub(timed.slow));
        }
        self.health.add(now, baseline);
        self.add(epoch);
    }

    fn add(&mut self, epoch: &EpochCounts) {
        for totals in [&mut self.outcomes, &mut self.step] {
            totals.candidate.add(&epoch.outcomes.candidate);
            totals.baseline.add(&epoch.outcomes.baseline);
        }
        self.latencies.candidate.add(&epoch.latencies.candidate);
        self.latencies.baseline.add(&epoch.latencies.baseline);
    }

    fn bets_number(&mut self, share: CandidateShare) -> usize {
        self.bets.iter().position(|bets| bets.share == share).unwrap_or_else(|| {
            let (errors, latency) = (ErrorBets::new(share, self.settings.margin), LatencyBets::new(share));
            self.bets.push(Bets { share, errors, latency });
            self.bets.len() - 1
        })
    }
}

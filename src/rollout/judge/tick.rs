//! The judge's state, and how a tick's evidence is folded into it.
//!
//! A tick costs some additions per alternative and a logarithm for each when late starts are staked, and allocates
//! nothing unless a share appears for the first time; a quiet tick costs next to nothing. What is staked late on a
//! quiet tick is staked with the next evidence, which is the same.

use std::time::Duration;

use super::ceiling::{CeilingBets, CeilingTest};
use super::errors::{ErrorBets, ErrorCounts, ErrorTest};
use super::evidence::{CandidateShare, EpochCounts, Evidence, OutcomeCounts, PerVersion};
use super::health::RecentHealth;
use super::keys::CountedKeys;
use super::latency::{LatencyBets, LatencyCounts, Quantiles, Thresholds};
use super::ratio::RatioCounts;
use super::settings::{Assignment, JudgeSettings};
use super::windows::LatencyWindows;

/// Judges one rollout of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    pub(crate) settings: JudgeSettings,
    pub(crate) state: JudgeState,
    /// The factors for each share that was seen: a handful, one for each step.
    bets: Vec<Bets>,
    failure_ceiling: Option<CeilingBets>,
    slow_ceiling: Option<CeilingBets>,
}

/// All that a judge remembers: plain data, to be stored and restored.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeState {
    /// When the rollout began.
    pub started: Duration,
    /// The test on failures.
    pub errors: ErrorTest,
    /// Users whose failures were counted.
    pub failed_keys: CountedKeys,
    /// The test on latency, if there is one.
    pub latency: Option<LatencyWindows>,
    /// The ceiling on failures, if there is one.
    pub failure_ceiling: Option<CeilingTest>,
    /// The ceiling on slow requests, if there is one.
    pub slow_ceiling: Option<CeilingTest>,
    /// Failures by share.
    pub ratio: RatioCounts,
    /// Outcomes since the rollout began.
    pub outcomes: PerVersion<OutcomeCounts>,
    /// Outcomes since the step began.
    pub step: PerVersion<OutcomeCounts>,
    /// Latencies since the rollout began.
    pub latencies: PerVersion<LatencyCounts>,
    /// What the baseline did recently.
    pub health: RecentHealth,
    /// The candidate's share in this step.
    pub share: CandidateShare,
    /// Latencies as last reported.
    pub quantiles: Option<PerVersion<Quantiles>>,
    /// Thresholds as last reported.
    pub thresholds: Option<Thresholds>,
    /// How long nothing will be judged because all endpoints of a version are cold.
    pub warm_up_left: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
struct Bets {
    share: CandidateShare,
    errors: ErrorBets,
    latency: LatencyBets,
}

impl JudgeState {
    fn new(settings: &JudgeSettings, share: CandidateShare, now: Duration) -> Self {
        Self {
            started: now,
            errors: ErrorTest::with_restarts(),
            failed_keys: CountedKeys::default(),
            latency: settings.slower.map(|_| LatencyWindows::open(now)),
            failure_ceiling: settings.ceilings.failures.map(|_| CeilingTest::with_restarts()),
            slow_ceiling: settings.ceilings.slow.map(|_| CeilingTest::with_restarts()),
            ratio: RatioCounts::default(),
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
}

impl Judge {
    /// A judge for a rollout that begins now, with a first step at `share`. Time is since any fixed moment, and never
    /// goes back.
    #[must_use]
    pub fn new(settings: JudgeSettings, share: CandidateShare, now: Duration) -> Self {
        Self::restored(settings, JudgeState::new(&settings, share, now))
    }

    /// A judge that goes on from a stored state. Tests that the settings no longer want are dropped; what they newly
    /// want begins with the next rollout, because alpha was shared without it.
    #[must_use]
    pub fn restored(settings: JudgeSettings, mut state: JudgeState) -> Self {
        state.latency = state.latency.filter(|_| settings.slower.is_some());
        state.failure_ceiling = state.failure_ceiling.filter(|_| settings.ceilings.failures.is_some());
        state.slow_ceiling = state.slow_ceiling.filter(|_| settings.ceilings.slow.is_some());
        Self {
            failure_ceiling: settings.ceilings.failures.map(CeilingBets::new),
            slow_ceiling: settings.ceilings.slow.map(|ceiling| CeilingBets::new(ceiling.at_most)),
            bets: Vec::new(),
            settings,
            state,
        }
    }

    /// What is asked of this judge.
    #[must_use]
    pub fn settings(&self) -> &JudgeSettings {
        &self.settings
    }

    /// What it remembers.
    #[must_use]
    pub fn state(&self) -> &JudgeState {
        &self.state
    }

    /// Whether a failure of this user is evidence: the first one is. Always without [`Assignment::PerKey`].
    pub fn admit_failure(&mut self, key: u64) -> bool {
        self.settings.assignment == Assignment::PerRequest || self.state.failed_keys.admit(key)
    }

    /// Whether the latency of this user's request is evidence: the first in a window is. Always without
    /// [`Assignment::PerKey`].
    pub fn admit_latency(&mut self, key: u64) -> bool {
        let windows = self.state.latency.as_mut();
        self.settings.assignment == Assignment::PerRequest || windows.is_some_and(|windows| windows.keys.admit(key))
    }

    /// A new step begins, with this share: its requests are counted from 0. What the tests have won or lost stays,
    /// and outcomes of earlier epochs that still come in are judged by the odds of theirs.
    pub fn begin_step(&mut self, share: CandidateShare) {
        self.state.share = share;
        self.state.step = PerVersion::default();
    }

    /// Folds in what was counted since the tick before.
    pub fn tick(&mut self, now: Duration, evidence: &Evidence) {
        let state = &mut self.state;
        state.health.forget_before(now);
        state.quantiles = evidence.quantiles.or(state.quantiles);
        state.thresholds = evidence.thresholds.or(state.thresholds);
        state.warm_up_left = evidence.warm_up_left;
        if !evidence.is_empty() {
            self.restart(now);
            for epoch in evidence.epochs {
                self.fold(now, epoch);
            }
        }
        if let Some(windows) = &mut self.state.latency {
            windows.turn(now, self.settings.assignment);
        }
    }

    fn restart(&mut self, now: Duration) {
        let Self { state, settings, .. } = self;
        let elapsed = now.saturating_sub(state.started);
        state.errors.wealth.restart_by(elapsed, settings.horizon);
        if let Some(windows) = &mut state.latency {
            windows.restart(now, settings);
        }
        for ceiling in [&mut state.failure_ceiling, &mut state.slow_ceiling].into_iter().flatten() {
            ceiling.wealth.restart_by(elapsed, settings.horizon);
        }
    }

    fn fold(&mut self, now: Duration, epoch: &EpochCounts) {
        let number = self.bets_number(epoch.share);
        let (bets, state) = (&self.bets[number], &mut self.state);
        let PerVersion { candidate, baseline } = &epoch.outcomes;
        if !state.failed_keys.is_full() {
            let counts = ErrorCounts {
                candidate_failures: candidate.counted_failures,
                baseline_failures: baseline.counted_failures,
                baseline_successes: baseline.successes(),
            };
            state.errors.fold(&bets.errors, counts);
            state.ratio.add(epoch.share, candidate.counted_failures, baseline.counted_failures);
        }
        if let Some(windows) = &mut state.latency {
            windows.fold(&bets.latency, epoch);
        }
        if let (Some(ceiling), Some(bets)) = (&mut state.failure_ceiling, &self.failure_ceiling) {
            ceiling.fold(bets, candidate.counted_failures, candidate.successes());
        }
        if let (Some(ceiling), Some(bets)) = (&mut state.slow_ceiling, &self.slow_ceiling) {
            let timed = &epoch.latencies.candidate;
            ceiling.fold(bets, timed.slow, timed.timed.saturating_sub(timed.slow));
        }
        state.health.add(now, baseline);
        state.add(epoch);
    }

    fn bets_number(&mut self, share: CandidateShare) -> usize {
        self.bets.iter().position(|bets| bets.share == share).unwrap_or_else(|| {
            let (errors, latency) = (ErrorBets::new(share, self.settings.margin), LatencyBets::new(share));
            self.bets.push(Bets { share, errors, latency });
            self.bets.len() - 1
        })
    }
}

impl JudgeState {
    fn add(&mut self, epoch: &EpochCounts) {
        for totals in [&mut self.outcomes, &mut self.step] {
            totals.candidate.add(&epoch.outcomes.candidate);
            totals.baseline.add(&epoch.outcomes.baseline);
        }
        self.latencies.candidate.add(&epoch.latencies.candidate);
        self.latencies.baseline.add(&epoch.latencies.baseline);
    }
}

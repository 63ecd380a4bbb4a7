//! The judge's state, and how a tick's evidence is folded into it.
//!
//! A tick costs some additions per alternative and a logarithm for each when late starts are staked, and allocates
//! nothing unless a share appears for the first time; a quiet tick costs next to nothing. What is staked late on a
//! quiet tick is staked with the next evidence, which is the same.

mod window_turns;

use std::sync::Arc;
use std::time::Duration;

use super::baseline_health::RecentHealth;
use super::burst::BurstWatch;
use super::ceiling::CeilingTest;
use super::endpoint_watch::EndpointWatch;
use super::errors::{ErrorBets, ErrorCounts, ErrorTest, margin_of_lost_users};
use super::evidence::{CandidateShare, EpochCounts, Evidence, OutcomeCounts};
use super::frozen::{FrozenCeilings, REQUESTS_MIN, failures_at_most};
use super::guardrail::GuardrailWatch;
use super::judge_settings::{Assignment, Ceilings, JudgeSettings};
use super::latency::{LatencyBets, LatencyTest};
use super::own_metric::MetricWatch;
use super::pairs::PairTest;
use super::per_version::{PerVersion, Side};
use super::quantiles::{LatencyCounts, QUANTILES, Quantiles, Thresholds};
use super::ratio::RatioCounts;
use super::responses::{ResponseBets, ResponseTests};
use super::routes::RouteTests;
use super::spent_budget::SpentBudget;
use super::stretch::{Stretches, Totals};
use super::windows::{WINDOW, Window, Windows};
use crate::shared::additive::Additive;
use crate::table::Weight;

/// Below a millisecond it is the machine that is timed, and all the traffic is more than part of it.
const SLOW_US_MIN: u64 = 1_000;

/// Judges one rollout of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    pub(crate) settings: JudgeSettings,
    /// The factors for each share that was seen: a handful, one for each step.
    bets: Vec<Bets>,
    /// The last tick.
    pub(crate) now: Duration,
    /// When the step began.
    pub(crate) step_since: Duration,
    /// When a request of the candidate was judged last.
    judged_at: Duration,
    /// The test on failures.
    pub(crate) errors: ErrorTest,
    /// The test on lost users, where users come back.
    pub(crate) lost: Option<ErrorTest>,
    /// The test on latency, if there is one.
    pub(crate) latency: Option<LatencyTest>,
    windows: Windows,
    /// How many users came in the last minute.
    active: u32,
    /// The ceiling on failures, if there is one.
    pub(crate) failure_ceiling: Option<CeilingTest>,
    /// The ceiling on slow requests, if there is one.
    pub(crate) slow_ceiling: Option<CeilingTest>,
    /// The ceilings in force: those of the plan, and what the baseline's own rates have become.
    pub(crate) ceilings: Ceilings,
    /// What the baseline's own rates have become, since there is nothing to compare with.
    pub(crate) frozen: Option<FrozenCeilings>,
    /// The tests on responses that did not fail, if there are any.
    pub(crate) responses: Option<ResponseTests>,
    /// The tests by route, if there are any.
    pub(crate) routes: Option<Arc<RouteTests>>,
    /// How often trouble comes in bursts.
    pub(crate) bursts: BurstWatch,
    /// On which endpoint it is bad.
    pub(crate) endpoints: EndpointWatch,
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
    /// What the candidate did recently.
    pub(crate) candidate_health: RecentHealth,
    /// The candidate's share in this step.
    pub(crate) share: CandidateShare,
    /// Latencies as last reported.
    pub(crate) quantiles: Option<PerVersion<Quantiles>>,
    /// Thresholds as last reported.
    pub(crate) thresholds: Option<Thresholds>,
    /// Thresholds as first reported: of a baseline that had everything.
    first_thresholds: Option<Thresholds>,
    /// How long nothing will be judged because all endpoints of a version are cold.
    pub(crate) warm_up_left: Option<Duration>,
    /// The test on pairs, if the plan mirrors.
    pub(crate) pairs: Option<Box<PairTest>>,
    /// Whether this step is judged by pairs.
    pub(crate) mirroring: bool,
    /// The plan's own metrics.
    pub(crate) metrics: Vec<MetricWatch>,
    /// What of its users must not get worse.
    pub(crate) guardrails: Vec<GuardrailWatch>,
    /// The error budget, if too little of it is left.
    pub(super) spent_budget: Option<SpentBudget>,
    /// The replicas that do not say what they have counted, and why.
    pub(super) silent: Option<Arc<str>>,
    /// Since when not all of them are heard.
    pub(super) silent_since: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bets {
    share: CandidateShare,
    pub(super) errors: ErrorBets,
    lost: ErrorBets,
    pub(super) latency: LatencyBets,
    responses: ResponseBets,
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
            now,
            step_since: now,
            judged_at: now,
            errors: ErrorTest::with_restarts(&settings),
            lost: (settings.assignment == Assignment::PerKey).then(|| ErrorTest::of_lost_users(&settings)),
            latency: settings.slower.map(|_| LatencyTest::with_restarts(&settings)),
            windows: Windows::open(now),
            active: 0,
            failure_ceiling: ceilings.failures.map(|ceiling| CeilingTest::with_restarts(ceiling, &settings, now)),
            slow_ceiling: ceilings.slow.map(|ceiling| CeilingTest::with_restarts(ceiling.at_most, &settings, now)),
            ceilings,
            frozen: None,
            responses: ResponseTests::new(&settings, now),
            routes: RouteTests::new(&settings),
            bursts: BurstWatch::new(&settings, now),
            endpoints: EndpointWatch::default(),
            stretches: Stretches::new(now),
            ratios: RatioCounts::default(),
            outcomes: PerVersion::default(),
            step: PerVersion::default(),
            latencies: PerVersion::default(),
            health: RecentHealth::default(),
            candidate_health: RecentHealth::default(),
            share,
            quantiles: None,
            thresholds: None,
            first_thresholds: None,
            warm_up_left: None,
            pairs: settings.mirrors.then(|| Box::new(PairTest::new(&settings, now))),
            mirroring: false,
            metrics: Vec::new(),
            guardrails: Vec::new(),
            spent_budget: None,
            silent: None,
            silent_since: None,
        }
    }

    /// What is asked of this judge.
    #[must_use]
    pub fn settings(&self) -> &JudgeSettings {
        &self.settings
    }

    /// The windows in which users testify.
    #[must_use]
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// A new step begins, with this share: its requests are counted from 0. What the tests have won or lost stays,
    /// and outcomes of earlier epochs that still come in are judged by the odds of theirs.
    ///
    /// Where the candidate gets everything after a comparison, the baseline's own rates become ceilings.
    pub fn begin_step(&mut self, share: CandidateShare) {
        if self.share.compares() && !share.compares() && share.value() > 0.0 {
            self.freeze();
        }
        (self.share, self.mirroring) = (share, false);
        self.step = PerVersion::default();
        self.windows.step = self.windows.step.wrapping_add(1);
        (self.step_since, self.judged_at) = (self.now, self.now);
        self.metrics.iter_mut().for_each(|watch| watch.begin_step(self.now));
        self.guardrails.iter_mut().for_each(|watch| watch.begin_step(self.now));
    }

    /// A step begins in which the candidate has no users and gets copies of requests; more than this part of the pairs
    /// must not differ.
    pub fn begin_mirror(&mut self, differ_max: f64) {
        self.begin_step(CandidateShare::at(Weight::ZERO));
        if let Some(pairs) = &mut self.pairs {
            pairs.begin_step(differ_max, self.now);
            self.mirroring = true;
        }
    }

    /// What the baseline's own rates have become.
    #[must_use]
    pub fn frozen(&self) -> Option<FrozenCeilings> {
        self.frozen
    }

    /// How many requests of the candidate were judged a second in this step; none while nothing can be said.
    pub(crate) fn pace(&self) -> Option<f64> {
        let (judged, took) = (self.step.candidate.judged(self.share), self.in_step());
        (judged > 0 && took > Duration::ZERO).then(|| judged as f64 / took.as_secs_f64())
    }

    /// For how long no request of the candidate has been judged in this step.
    pub(crate) fn quiet(&self) -> Duration {
        self.now.saturating_sub(self.judged_at)
    }

    /// The ceilings in force.
    #[must_use]
    pub fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    fn freeze(&mut self) {
        let (settings, baseline) = (&self.settings, &self.outcomes.baseline);
        let plan = settings.ceilings;
        let seen = settings.freezes && baseline.requests >= REQUESTS_MIN;
        let most = || failures_at_most(baseline.failures, baseline.requests, settings.margin);
        // The candidate's own thresholds are those times what is tolerated.
        let highest = |found: Option<Thresholds>| found.map(|found| found.micros(Side::Candidate)[QUANTILES.len() - 1]);
        let slow = highest(self.first_thresholds).max(highest(self.thresholds)).filter(|_| settings.slower.is_some());
        self.hold_to(FrozenCeilings {
            requests: baseline.requests,
            failures: baseline.failures,
            errors_max: (seen && plan.failures.is_none()).then(most),
            slow_us: slow.map(|us| us.max(SLOW_US_MIN)).filter(|_| seen && plan.slow.is_none()),
        });
    }

    /// Holds the candidate to what the baseline did from now on; what the plan says comes first.
    pub fn hold_to(&mut self, frozen: FrozenCeilings) {
        let (plan, found) = (self.settings.ceilings, frozen.ceilings());
        self.frozen = Some(frozen);
        self.ceilings = Ceilings { failures: plan.failures.or(found.failures), slow: plan.slow.or(found.slow) };
        let new = |ceiling| CeilingTest::frozen(ceiling, &self.settings, self.now);
        if let (None, Some(ceiling)) = (plan.failures, found.failures) {
            self.failure_ceiling = Some(new(ceiling));
        }
        if let (None, Some(ceiling)) = (plan.slow, found.slow) {
            self.slow_ceiling = Some(new(ceiling.at_most));
        }
    }

    /// An operator goes on although something was found of the responses: it is not asked again.
    pub(crate) fn accept_findings(&mut self) {
        if let Some(responses) = &mut self.responses {
            responses.accept();
        }
    }

    /// Folds in what was counted since the tick before.
    pub fn tick(&mut self, now: Duration, evidence: &Evidence) {
        self.now = now;
        if self.mirroring
            && let Some(pairs) = &mut self.pairs
        {
            let counts = evidence.pairs.unwrap_or_default();
            pairs.tick(now, counts, evidence.endpoints);
            self.judged_at = if counts.pairs > 0 { now } else { self.judged_at };
            return;
        }
        self.health.forget_before(now);
        self.candidate_health.forget_before(now);
        self.quantiles = evidence.quantiles.or(self.quantiles);
        self.thresholds = evidence.thresholds.or(self.thresholds);
        self.first_thresholds = self.first_thresholds.or(evidence.thresholds);
        self.warm_up_left = evidence.warm_up_left;
        if let Some(responses) = &mut self.responses {
            responses.begin_tick(now, self.settings.horizon, evidence.epochs);
        }
        if !evidence.is_empty() {
            self.restart(now);
            for epoch in evidence.epochs {
                self.fold(now, epoch);
            }
        }
        self.bursts.observe(now, evidence.epochs, evidence.endpoints);
        self.endpoints.observe(now, evidence.of_endpoints);
        self.settle(now);
        self.judge_routes(now, evidence);
        if self.settings.assignment == Assignment::PerKey {
            self.turn_windows(now, evidence.users.unwrap_or_default());
        }
    }

    fn restart(&mut self, now: Duration) {
        let horizon = match self.settings.assignment {
            Assignment::PerRequest => self.settings.horizon,
            Assignment::PerKey => WINDOW,
        };
        let Windows { failures, lost, latency, .. } = self.windows;
        let since = |window: Window| now.saturating_sub(window.opened);
        self.errors.wealth.restart_by(since(failures), horizon);
        self.lost.iter_mut().for_each(|test| test.wealth.restart_by(since(lost), horizon));
        self.latency.iter_mut().for_each(|test| test.wealth.restart_by(since(latency), horizon));
        let ceilings = [&mut self.failure_ceiling, &mut self.slow_ceiling].into_iter().flatten();
        ceilings.for_each(|ceiling| ceiling.restart(now, horizon));
    }

    /// Ends the tick: one burst is one draw.
    fn settle(&mut self, now: Duration) {
        let totals = Totals { at: now, outcomes: self.outcomes, latencies: self.latencies };
        let (on_errors, on_latency) = (self.bursts.of_errors(), self.bursts.of_latency());
        self.stretches.errors.follow(&self.errors.wealth.settle(&on_errors), &totals);
        if let Some(test) = &mut self.lost {
            self.stretches.lost.follow(&test.wealth.settle(&on_errors), &totals);
        }
        if let Some(test) = &mut self.latency {
            self.stretches.latency.follow(&test.wealth.settle(&on_latency), &totals);
        }
        if let Some(ceiling) = &mut self.failure_ceiling {
            self.stretches.failure_ceiling.follow(&ceiling.wealth.settle(&on_errors), &totals);
        }
        if let Some(ceiling) = &mut self.slow_ceiling {
            self.stretches.slow_ceiling.follow(&ceiling.wealth.settle(&on_latency), &totals);
        }
        if let Some(responses) = &mut self.responses {
            responses.settle(now, &self.bursts);
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
        if let Some(test) = &mut self.lost {
            let (candidate_failures, baseline_failures) = (candidate.lost, baseline.lost);
            let counts = ErrorCounts { candidate_failures, baseline_failures, baseline_successes: baseline.draws };
            test.fold(&bets.lost, counts);
        }
        if let Some(test) = &mut self.latency {
            test.fold(&bets.latency, &epoch.latencies.candidate, &epoch.latencies.baseline);
        }
        if let Some(responses) = &mut self.responses {
            responses.fold(&bets.responses, epoch);
        }
        if let Some(ceiling) = &mut self.failure_ceiling {
            ceiling.fold(candidate.counted_failures, candidate.successes());
        }
        if let Some(ceiling) = &mut self.slow_ceiling {
            let timed = &epoch.latencies.candidate;
            ceiling.fold(timed.first_slow, timed.timed.saturating_sub(timed.slow));
        }
        if candidate.judged(epoch.share) > 0 {
            self.judged_at = now;
        }
        self.health.add(now, baseline);
        self.candidate_health.add(now, candidate);
        self.outcomes.add(&epoch.outcomes);
        self.step.add(&epoch.outcomes);
        self.latencies.add(&epoch.latencies);
    }

    /// The bets under a share.
    pub(super) fn bets_under(&mut self, share: CandidateShare) -> &Bets {
        let number = self.bets_number(share);
        &self.bets[number]
    }

    fn bets_number(&mut self, share: CandidateShare) -> usize {
        self.bets.iter().position(|bets| bets.share == share).unwrap_or_else(|| {
            let (margin, latency) = (self.settings.margin, LatencyBets::new(share, self.settings.assignment));
            let lost = ErrorBets::new(share, margin_of_lost_users(margin));
            let (errors, responses) = (ErrorBets::new(share, margin), ResponseBets::new(share));
            self.bets.push(Bets { share, errors, lost, latency, responses });
            self.bets.len() - 1
        })
    }
}

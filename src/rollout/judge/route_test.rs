//! The tests on one route: the bets of [`super::errors`] and [`super::latency`], on its requests alone.
//!
//! A rare page has a request now and then, and a tick without one can win nothing. So nothing is done then but to note
//! that it passed, and the limits of bursts are caught up with when there is a request. A burst touches a route only
//! where the route has requests, so what is paid for bursts is paid for the time around them.

use std::collections::VecDeque;
use std::time::Duration;

use super::burst::{self, BurstWatch};
use super::class_share::{ClassShare, ClassTally};
use super::errors::{CANDIDATE_EVENTS_MIN, ErrorBets, ErrorCounts};
use super::evidence::RouteCounts;
use super::judge_settings::JudgeSettings;
use super::latency::{ALTERNATIVES, LatencyBets, LatencyTest};
use super::margin_test::{MarginTest, QUIET_TICKS, QuietTicks};
use super::per_version::PerVersion;
use super::quantiles::{LatencyCounts, QUANTILES};
use super::route_finding::{RouteFault, RouteFinding};
use super::seen_bursts::BadRequests;
use super::stretch::{Cumulative, Totals};
use super::wealth::BurstLimits;
use crate::rollout::TICK;
use crate::shared::additive::Additive;
use crate::shared::route_name::RouteName;

/// Stakes are made at each of this number of ticks with requests.
const STAKED_EVERY: u32 = 4;

/// The tests on one route.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RouteTest {
    name: RouteName,
    failures: MarginTest,
    latency: Option<SlownessTest>,
    totals: Totals,
    /// What this tick has brought of both versions, and whether it has brought anything.
    has_requests: bool,
    /// What became of the candidate's requests in the last ticks, newest first.
    recent: VecDeque<RecentRequests>,
    failure_rates: [Vec<f64>; 1],
    /// By quantile.
    slow_rates: [Vec<f64>; QUANTILES.len()],
    /// When the candidate had requests last.
    exposed_at: Duration,
    /// Ticks with requests.
    ticks: u32,
    failures_since: Duration,
    latency_since: Duration,
}

/// The test on the latency of one route.
#[derive(Clone, Debug, PartialEq)]
struct SlownessTest {
    test: LatencyTest,
    ln_needed: f64,
    ln_ahead: f64,
    quiet: QuietTicks<{ ALTERNATIVES.len() }>,
    stretch: Cumulative<{ ALTERNATIVES.len() }, Totals>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct RecentRequests {
    requests: u64,
    failures: u64,
    latencies: LatencyCounts,
}

/// What is bet under one share.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteBets<'b> {
    pub(super) errors: &'b ErrorBets,
    pub(super) latency: &'b LatencyBets,
}

impl RouteTest {
    /// A route that is watched from now on, with a stake of its own.
    pub(super) fn new(name: RouteName, settings: &JudgeSettings, now: Duration) -> Self {
        let ticks = burst::ticks(settings.tolerate_burst);
        let failures = MarginTest::new(settings, settings.margin, settings.ln_route_failures(), now);
        Self {
            name,
            failures,
            latency: settings.slower.map(|_| SlownessTest::new(settings, now)),
            totals: Totals { at: now, ..Totals::default() },
            has_requests: false,
            recent: std::iter::repeat_n(RecentRequests::default(), ticks.max(1)).collect(),
            failure_rates: [vec![0.0; ticks]],
            slow_rates: std::array::from_fn(|_| vec![0.0; ticks]),
            exposed_at: now,
            ticks: 0,
            failures_since: now,
            latency_since: now,
        }
    }

    /// Begins a tick in which the route has requests: stakes what the reserve gives.
    fn begin(&mut self, now: Duration, horizon: Duration) {
        if std::mem::replace(&mut self.has_requests, true) {
            return;
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(STAKED_EVERY) {
            self.failures.test.wealth.restart_by(now.saturating_sub(self.failures_since), horizon);
            let since = now.saturating_sub(self.latency_since);
            self.latency.iter_mut().for_each(|test| test.test.wealth.restart_by(since, horizon));
        }
    }

    /// Folds in what a tick has brought under one share.
    pub(super) fn fold(&mut self, now: Duration, horizon: Duration, bets: RouteBets<'_>, counts: &RouteCounts) {
        self.begin(now, horizon);
        let PerVersion { candidate, baseline } = &counts.outcomes;
        let errors = ErrorCounts {
            candidate_failures: candidate.counted_failures,
            baseline_failures: baseline.counted_failures,
            baseline_successes: baseline.successes(),
        };
        self.failures.fold(bets.errors, errors);
        let latencies = &counts.latencies;
        if let Some(test) = &mut self.latency {
            test.quiet.catch_up(&mut test.test.wealth);
            test.test.fold(bets.latency, &latencies.candidate, &latencies.baseline);
        }
        self.totals.outcomes.add(&counts.outcomes);
        self.totals.latencies.add(latencies);
        if let Some(newest) = self.recent.front_mut() {
            newest.requests += candidate.requests;
            newest.failures += candidate.failures;
            newest.latencies.add(&latencies.candidate);
        }
    }

    /// Ends a tick: one burst is one draw.
    pub(super) fn settle(&mut self, now: Duration, bursts: &BurstWatch) {
        let exposed = self.exposure(now);
        if std::mem::take(&mut self.has_requests) {
            self.totals.at = now;
            self.settle_failures(exposed, bursts);
            if let Some(test) = &mut self.latency {
                for (quantile, rates) in self.slow_rates.iter_mut().enumerate() {
                    let usual = 1.0 - QUANTILES[quantile];
                    bursts.rate_slow(quantile, rates, |oldest| {
                        let shown = shown(&self.recent, oldest).latencies;
                        BadRequests { bad: shown.above(quantile), all: shown.compared(quantile), usual }
                    });
                }
                let limits = BurstLimits { exposed, rates: &self.slow_rates };
                test.settle(&limits, &self.totals);
            }
        } else {
            self.failures.rest(0.0);
            self.latency.iter_mut().for_each(|test| test.quiet.rest(0.0));
        }
        self.recent.pop_back();
        self.recent.push_front(RecentRequests::default());
    }

    fn settle_failures(&mut self, exposed: f64, bursts: &BurstWatch) {
        if self.failures.has_event || self.failures.quiet.ticks >= QUIET_TICKS {
            bursts.rate_failures(&mut self.failure_rates[0], |oldest| {
                let shown = shown(&self.recent, oldest);
                BadRequests { bad: shown.failures, all: shown.requests, usual: 0.0 }
            });
            let limits = BurstLimits { exposed, rates: &self.failure_rates };
            self.failures.settle(&limits, &self.tally());
        } else {
            self.failures.rest(exposed);
        }
    }

    /// For how many seconds the candidate's requests to it were exposed to bursts.
    fn exposure(&mut self, now: Duration) -> f64 {
        if self.recent.front().is_none_or(|newest| newest.requests + newest.latencies.above(0) == 0) {
            return 0.0;
        }
        let most = TICK * u32::try_from(self.failure_rates[0].len()).unwrap_or(u32::MAX);
        let exposed = now.saturating_sub(std::mem::replace(&mut self.exposed_at, now));
        exposed.min(most).as_secs_f64()
    }

    /// Users may have a failure once more, with this part of alpha.
    pub(super) fn open_failures(&mut self, now: Duration, part: f64) {
        self.failures.open_window(part);
        self.failures_since = now;
    }

    /// Users are timed once more, with this part of alpha.
    pub(super) fn open_latencies(&mut self, now: Duration, part: f64) {
        self.latency.iter_mut().for_each(|test| test.stretch.open_window(&mut test.test.wealth, part));
        self.latency_since = now;
    }

    fn tally(&self) -> ClassTally {
        ClassTally { at: self.totals.at, shares: failing(&self.totals) }
    }

    /// By how much ln E of the test that is nearer to a proof exceeds what that needs.
    pub(super) fn ln_ahead(&self) -> f64 {
        self.latency.as_ref().map_or(self.failures.ln_ahead, |test| test.ln_ahead.max(self.failures.ln_ahead))
    }

    /// Whether any request of the candidate has failed or taken long.
    pub(super) fn has_bad_requests(&self) -> bool {
        self.totals.outcomes.candidate.failures + self.totals.latencies.candidate.above(0) > 0
    }

    /// What the test says that is nearer to a proof.
    pub(super) fn finding(&self) -> RouteFinding {
        let slow = self.latency.as_ref().filter(|test| test.ln_ahead > self.failures.ln_ahead);
        slow.map_or_else(|| self.failing(), |test| test.finding(self.name, &self.totals))
    }

    /// What turns the version back.
    pub(super) fn proof(&self) -> Option<RouteFinding> {
        let slow = self.latency.as_ref().map(|test| test.finding(self.name, &self.totals));
        [Some(self.failing()), slow].into_iter().flatten().find(|finding| finding.is_proved)
    }

    fn failing(&self) -> RouteFinding {
        let tally = self.tally();
        let late = self.failures.late();
        let counted = self.totals.outcomes.candidate.counted_failures >= CANDIDATE_EVENTS_MIN;
        RouteFinding {
            name: self.name,
            fault: RouteFault::Failures,
            shares: late.map_or(tally.shares, |late| late.found.shares),
            lately: late.map(|late| late.found.at),
            ln_ahead: self.failures.ln_ahead,
            is_proved: self.failures.is_proved() && counted && self.failures.is_told(&tally),
        }
    }
}

impl SlownessTest {
    fn new(settings: &JudgeSettings, now: Duration) -> Self {
        let ln_needed = settings.ln_route_latency();
        Self {
            test: LatencyTest::proving_at(settings, ln_needed),
            ln_needed,
            ln_ahead: -ln_needed,
            quiet: QuietTicks::default(),
            stretch: Cumulative::new(Totals { at: now, ..Totals::default() }),
        }
    }

    fn settle(&mut self, limits: &BurstLimits<'_>, totals: &Totals) {
        let mut factors = self.test.wealth.settle(limits);
        factors.iter_mut().zip(self.quiet.take_lost()).for_each(|(ln, lost)| *ln += lost);
        self.stretch.follow(&factors, totals);
        self.ln_ahead = self.test.wealth.ln_value() - self.ln_needed;
    }

    fn finding(&self, name: RouteName, totals: &Totals) -> RouteFinding {
        let quantile = self.test.leading_quantile();
        let late = self.stretch.late(&self.test.wealth);
        let of = late.map_or(*totals, |late| late.found);
        let above =
            |counts: LatencyCounts| ClassShare { asked: counts.compared(quantile), found: counts.above(quantile) };
        let shares = of.latencies.map(above);
        let is_told = shares.candidate.part() > shares.baseline.part();
        let counted = totals.latencies.candidate.first_above[quantile] >= CANDIDATE_EVENTS_MIN;
        RouteFinding {
            name,
            fault: RouteFault::Latency { quantile },
            shares,
            lately: late.map(|late| late.found.at),
            ln_ahead: self.ln_ahead,
            is_proved: self.ln_ahead >= 0.0 && counted && is_told,
        }
    }
}

/// The candidate's requests in the last ticks.
fn shown(recent: &VecDeque<RecentRequests>, oldest: usize) -> RecentRequests {
    let mut sum = RecentRequests::default();
    for tick in recent.iter().take(oldest + 1) {
        sum.requests += tick.requests;
        sum.failures += tick.failures;
        sum.latencies.add(&tick.latencies);
    }
    sum
}

fn failing(totals: &Totals) -> PerVersion<ClassShare> {
    totals.outcomes.map(|counts| ClassShare { asked: counts.requests, found: counts.failures })
}

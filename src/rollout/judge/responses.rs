//! The tests on responses that did not fail: is a class of them more frequent than the baseline's share explains?
//!
//! A version that answers 404, 401 or an empty page to everything fails no request. But requests are assigned by
//! chance, so the share of responses in *any* class is comparable by the bets of [`super::errors`]: `p_c <= p_b +
//! delta*(1 - p_b)` for each class of [`ResponseClass`], whatever clients send, because garbage meets both versions by
//! the lot.
//!
//! A new version should differ in some ways, so two things are proved of a class. Beyond `delta` it is a *finding*:
//! the step is held, and an operator promotes or aborts. Beyond a fifth of the responses ([`LARGE`]) it is
//! no change on purpose, and turns the version back where the plan has it so ([`ResponseAction`]). `delta` is
//! 1 % for the status, and 5 % for what new versions change on purpose: pages that are gone, lengths and types.
//!
//! Each class is proved by itself, with an equal part of the alpha that responses have: a finding has to name what was
//! found, and a sum of hints names nothing.
//!
//! Most classes are empty most of the time, and a tick without a response of the candidate in a class can win nothing.
//! So the limits of bursts are caught up with when there is one, or after [`QUIET_TICKS`], and stakes are made by the
//! same clock, whatever happens.
//!
//! A finding stands for as long as there is a hint left of it, or until an operator promotes over it: what was accepted
//! once is not asked again.

use std::collections::VecDeque;
use std::time::Duration;

use super::burst::{self, BurstWatch};
use super::class_share::{ClassTally, ResponseFinding, shares};
use super::errors::{CANDIDATE_EVENTS_MIN, ErrorBets, ErrorCounts};
use super::evidence::{CandidateShare, EpochCounts};
use super::judge_settings::{Increase, JudgeSettings, Margin, Multiple};
use super::margin_test::{MarginTest, QUIET_TICKS};
use super::per_version::PerVersion;
use super::response_rules::ResponseAction;
use super::seen_bursts::BadRequests;
use super::wealth::BurstLimits;
use crate::shared::additive::Additive;
use crate::shared::response_class::{ResponseAspect, ResponseClass};
use crate::shared::response_counters::ClassTotals;

/// The tolerated increase of a class of status.
const OF_STATUS: f64 = 0.01;

/// The tolerated increase of what new versions change on purpose: of thirty pages one may be gone, and one may be
/// another.
const OF_CONTENT: f64 = 0.05;

/// Beyond this increase it is no change on purpose.
const LARGE: f64 = 0.2;

/// A finding is dropped when E is below this again.
const DROPPED_BELOW: f64 = 10.0;

/// Stakes are made at each of this number of ticks with evidence, for a tick is short against what a stake is for.
const STAKED_EVERY: u32 = 4;

/// The tests of all classes that are judged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResponseTests {
    tests: Vec<ClassTest>,
    started: Duration,
    /// Since the rollout began.
    totals: PerVersion<ClassTotals>,
    /// The candidate's in the last ticks, newest first.
    recent: VecDeque<ClassTotals>,
    /// How often there may be bursts that explain the last ticks of one class.
    rates: [Vec<f64>; 1],
    /// Ticks with evidence.
    ticks: u32,
    /// Ticks without any since the last one with some.
    silent: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct ClassTest {
    class: ResponseClass,
    /// That it is beyond what is tolerated.
    tolerated: MarginTest,
    /// That it is beyond a fifth, where that turns the version back.
    large: Option<MarginTest>,
    is_finding: bool,
    is_large: bool,
    is_accepted: bool,
}

/// The bets of all classes under one share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResponseBets {
    status: ErrorBets,
    content: ErrorBets,
    large: ErrorBets,
}

impl ResponseBets {
    /// The bets under one share.
    #[must_use]
    pub(crate) fn new(share: CandidateShare) -> Self {
        let bets = |increase| ErrorBets::new(share, margin(increase));
        Self { status: bets(OF_STATUS), content: bets(OF_CONTENT), large: bets(LARGE) }
    }

    fn of(&self, class: ResponseClass) -> &ErrorBets {
        if is_content(class) { &self.content } else { &self.status }
    }
}

/// Whether new versions change it on purpose.
fn is_content(class: ResponseClass) -> bool {
    class == ResponseClass::NotFound || class.aspect() != ResponseAspect::Status
}

fn margin(increase: f64) -> Margin {
    Margin { ratio: Multiple::ONE, increase: Increase::new(increase).unwrap_or(Increase::NONE) }
}

impl ResponseTests {
    /// The tests that the settings ask for, if they ask for any.
    #[must_use]
    pub(crate) fn new(settings: &JudgeSettings, now: Duration) -> Option<Self> {
        let rules = &settings.responses;
        let test = |class| {
            let tolerated = margin(if is_content(class) { OF_CONTENT } else { OF_STATUS });
            let turns_back = rules.action(class) == ResponseAction::RollBack;
            ClassTest {
                class,
                tolerated: MarginTest::new(settings, tolerated, settings.ln_finding(rules.judged()), now),
                large: turns_back
                    .then(|| MarginTest::new(settings, margin(LARGE), settings.ln_finding(rules.turning_back()), now)),
                is_finding: false,
                is_large: false,
                is_accepted: false,
            }
        };
        let judged = ResponseClass::ALL.into_iter().filter(|class| rules.action(*class) != ResponseAction::Off);
        let tests: Vec<ClassTest> = judged.map(test).collect();
        let ticks = burst::ticks(settings.tolerate_burst);
        (!tests.is_empty()).then(|| Self {
            tests,
            started: now,
            totals: PerVersion::default(),
            recent: std::iter::repeat_n(ClassTotals::default(), ticks.max(1)).collect(),
            rates: [vec![0.0; ticks]],
            ticks: 0,
            silent: 0,
        })
    }

    /// Begins a tick, and stakes what the reserve gives if it brings any responses. Before [`Self::fold`].
    pub(crate) fn begin_tick(&mut self, now: Duration, horizon: Duration, epochs: &[EpochCounts]) {
        self.recent.pop_back();
        self.recent.push_front(ClassTotals::default());
        let asked = |epoch: &EpochCounts| epoch.responses.candidate.asked + epoch.responses.baseline.asked > 0;
        if !epochs.iter().any(asked) {
            self.silent = (self.silent + 1).min(QUIET_TICKS);
            return;
        }
        let silent = std::mem::take(&mut self.silent);
        if silent > 0 {
            self.tests.iter_mut().flat_map(ClassTest::tests).for_each(|test| test.quiet.ticks += silent);
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(STAKED_EVERY) {
            let elapsed = now.saturating_sub(self.started);
            for test in self.tests.iter_mut().flat_map(ClassTest::tests) {
                test.test.wealth.restart_by(elapsed, horizon);
            }
        }
    }

    /// Folds in one epoch of a tick.
    pub(crate) fn fold(&mut self, bets: &ResponseBets, epoch: &EpochCounts) {
        let PerVersion { candidate, baseline } = &epoch.responses;
        for test in &mut self.tests {
            let class = test.class;
            let counts = ErrorCounts {
                candidate_failures: candidate.counted[class.index()],
                baseline_failures: baseline.counted[class.index()],
                baseline_successes: baseline.asked_for(class).saturating_sub(baseline.by_class[class.index()]),
            };
            if counts == ErrorCounts::default() {
                continue;
            }
            test.tolerated.fold(bets.of(class), counts);
            if let Some(large) = &mut test.large {
                large.fold(&bets.large, counts);
            }
        }
        self.totals.candidate.add(candidate);
        self.totals.baseline.add(baseline);
        if let Some(newest) = self.recent.front_mut() {
            newest.add(candidate);
        }
    }

    /// Ends a tick: one burst is one draw.
    pub(crate) fn settle(&mut self, now: Duration, bursts: &BurstWatch) {
        if self.silent > 0 {
            return;
        }
        for test in &mut self.tests {
            let class = test.class;
            let tally = ClassTally::of(class, &self.totals, now);
            if test.rests(bursts.exposed()) {
                continue;
            }
            bursts.rate_failures(&mut self.rates[0], |oldest| {
                let shown = self.recent.iter().take(oldest + 1);
                let sum = |of: fn(&ClassTotals, ResponseClass) -> u64| shown.clone().map(|tick| of(tick, class)).sum();
                let all = sum(|tick, class| tick.asked_for(class));
                BadRequests { bad: sum(|tick, class| tick.by_class[class.index()]), all, usual: 0.0 }
            });
            let limits = BurstLimits { exposed: bursts.exposed(), rates: &self.rates };
            test.tests().for_each(|test| test.settle(&limits, &tally));
            test.look(self.totals.candidate.counted[class.index()], &tally);
        }
    }

    /// What was found is accepted from now on.
    pub(crate) fn accept(&mut self) {
        self.tests.iter_mut().filter(|test| test.is_finding).for_each(|test| test.is_accepted = true);
    }

    /// What turns the version back.
    #[must_use]
    pub(crate) fn proof(&self) -> Option<ResponseFinding> {
        self.findings().find(|finding| finding.is_large)
    }

    /// What holds the step.
    #[must_use]
    pub(crate) fn objection(&self) -> Option<ResponseFinding> {
        self.findings().find(|finding| !finding.is_accepted)
    }

    /// All that was found.
    pub(crate) fn findings(&self) -> impl Iterator<Item = ResponseFinding> {
        let found = self.tests.iter().filter(|test| test.is_finding || test.is_large);
        found.map(|test| test.finding(&self.totals))
    }

    /// By how much ln E of the class that is nearest to turning the version back exceeds what that needs.
    #[must_use]
    pub(crate) fn ln_ahead(&self) -> Option<f64> {
        self.tests.iter().filter_map(|test| test.large.as_ref()).map(|test| test.ln_ahead).max_by(f64::total_cmp)
    }

    /// That class.
    #[must_use]
    pub(crate) fn nearest(&self) -> Option<ResponseFinding> {
        let ahead = |test: &&ClassTest| test.large.as_ref().map(|test| test.ln_ahead);
        let with_large = self.tests.iter().filter(|test| test.large.is_some());
        let nearest = with_large.max_by(|a, b| ahead(a).partial_cmp(&ahead(b)).unwrap_or(std::cmp::Ordering::Equal));
        nearest.map(|test| test.finding(&self.totals))
    }
}

impl ClassTest {
    fn tests(&mut self) -> impl Iterator<Item = &mut MarginTest> {
        [&mut self.tolerated].into_iter().chain(&mut self.large)
    }

    /// Whether nothing has to be done at the end of this tick.
    fn rests(&mut self, exposed: f64) -> bool {
        let is_event = self.tolerated.has_event || self.tolerated.quiet.ticks >= QUIET_TICKS;
        if !is_event {
            self.tests().for_each(|test| test.rest(exposed));
        }
        !is_event
    }

    fn look(&mut self, counted: u64, tally: &ClassTally) {
        let test = &self.tolerated;
        let is_proved = test.is_proved() && counted >= CANDIDATE_EVENTS_MIN && test.is_told(tally);
        self.is_finding = is_proved || self.is_finding && test.ln_e() >= DROPPED_BELOW.ln();
        let large = self.large.as_ref().filter(|test| test.is_proved() && test.is_told(tally));
        self.is_large = large.is_some() && counted >= CANDIDATE_EVENTS_MIN;
    }

    fn finding(&self, totals: &PerVersion<ClassTotals>) -> ResponseFinding {
        let proof = self.large.as_ref().filter(|_| self.is_large).unwrap_or(&self.tolerated);
        let late = proof.late();
        ResponseFinding {
            class: self.class,
            shares: late.map_or_else(|| shares(self.class, totals), |late| late.found.shares),
            lately: late.map(|late| late.found.at),
            is_large: self.is_large,
            is_accepted: self.is_accepted,
            ln_e: proof.ln_e(),
        }
    }
}

#[cfg(test)]
mod tests;

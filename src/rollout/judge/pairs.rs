//! The test on pairs: of requests that both versions got, because the candidate got copies while it had no users.
//!
//! A pair tells more than two requests: both versions were asked the same. What both fail is no fault of the
//! candidate's, and what neither fails is no news; a pair speaks only if it is *discordant*, one failed and the other
//! did not. If the candidate is no worse, the next discordant pair is as likely the baseline's as its own (McNemar,
//! Psychometrika 12, 1947, for a fixed number of pairs). Looked at four times a second that has to be a bet: with `p_c`
//! and `p_b` the probabilities that the candidate alone fails and that the baseline alone does, the hypothesis is
//!
//! ```text
//! p_c <= r0 * (p_b + delta*(1 - p_c - p_b))
//! candidate alone   th/th0      baseline alone   Lb = (1 - th)/(1 - th0)      any other pair   1 - delta*(1 - Lb)
//! ```
//!
//! with `th0 = r0/(r0 + 1)` and `th = r0*r/(r0*r + 1)`. The expected factor of a pair, given all before it, is exactly
//! `1 + (th - th0)*(r0 + 1)*(p_c/r0 - p_b - delta*(1 - p_c - p_b))`: at most 1 under the hypothesis, whatever the rates
//! do. So the product is an e-process, and 1/alpha is a proof whenever one looks (Ville). These are the bets of
//! [`super::errors`] at a share of one half, where one discordant pair is one failure, and they are made by its code;
//! with margin 0 it is the exact sequential test of discordant pairs.
//!
//! Pairs have a tenth of the alpha of a plan that mirrors ([`super::JudgeSettings::mirrors`]), and what they have won
//! or lost says nothing to the tests of users that come after.

use std::time::Duration;

use super::burst::BurstWatch;
use super::errors::{CANDIDATE_EVENTS_MIN, ErrorBets, ErrorCounts, ErrorTest};
use super::evidence::{CandidateShare, EpochCounts, OutcomeCounts};
use super::judge_settings::{Assignment, JudgeSettings};
use super::pair_counts::{PairCounts, PairFindings};
use super::per_version::PerVersion;
use super::verdict::{Bake, HoldReason, JudgeDecision, RollbackCause};
use crate::shared::additive::Additive;

/// What is believed of the baseline before anything was seen: half a failure in 500 requests.
const UNSEEN: (f64, f64) = (0.5, 500.0);

/// Fewer pairs that differ are an anecdote.
const DIFFERING_MIN: u64 = 3;

/// What pairs are as outcomes of the requests of both versions.
#[must_use]
pub(crate) fn outcomes(counts: &PairCounts) -> PerVersion<OutcomeCounts> {
    PerVersion {
        candidate: OutcomeCounts::of(counts.pairs, counts.candidate_failed_alone + counts.both_failed),
        baseline: OutcomeCounts::of(counts.pairs, counts.baseline_failed_alone + counts.both_failed),
    }
}

/// Failures that the other version had not.
fn alone(counts: &PairCounts) -> EpochCounts {
    let of = |alone| OutcomeCounts::of(counts.pairs, alone);
    let outcomes =
        PerVersion { candidate: of(counts.candidate_failed_alone), baseline: of(counts.baseline_failed_alone) };
    EpochCounts { outcomes, ..EpochCounts::none(CandidateShare::of_pairs()) }
}

/// Judges pairs while a plan mirrors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PairTest {
    settings: JudgeSettings,
    bets: ErrorBets,
    test: ErrorTest,
    bursts: BurstWatch,
    counts: PairCounts,
    step: PairCounts,
    differ_max: f64,
    now: Duration,
    started: Duration,
    since: Duration,
}

impl PairTest {
    /// Nothing is known yet.
    pub(crate) fn new(settings: &JudgeSettings, now: Duration) -> Self {
        let settings = JudgeSettings { assignment: Assignment::PerRequest, slower: None, ..*settings };
        Self {
            bets: ErrorBets::new(CandidateShare::of_pairs(), settings.margin),
            test: ErrorTest::proving_at(&settings, settings.ln_pairs()),
            bursts: BurstWatch::new(&settings, now),
            settings,
            counts: PairCounts::default(),
            step: PairCounts::default(),
            differ_max: 0.0,
            now,
            started: now,
            since: now,
        }
    }

    /// A step begins in which pairs are judged; more than this part of them must not differ.
    pub(crate) fn begin_step(&mut self, differ_max: f64, now: Duration) {
        (self.step, self.differ_max, self.since) = (PairCounts::default(), differ_max, now);
    }

    /// How long the candidate's first answers are left out yet.
    pub(crate) fn warm_up_left(&self) -> Option<Duration> {
        (self.since + self.settings.warm_up).checked_sub(self.now).filter(|left| !left.is_zero())
    }

    /// Folds in what was counted since the tick before.
    pub(crate) fn tick(&mut self, now: Duration, counts: PairCounts, endpoints: Option<PerVersion<u32>>) {
        self.now = now;
        if self.warm_up_left().is_some() {
            return;
        }
        let PairCounts { pairs, candidate_failed_alone, baseline_failed_alone, .. } = counts;
        if pairs > 0 {
            self.test.wealth.restart_by(now.saturating_sub(self.started), self.settings.horizon);
            let concordant = pairs.saturating_sub(candidate_failed_alone + baseline_failed_alone);
            let counts = ErrorCounts {
                candidate_failures: candidate_failed_alone,
                baseline_failures: baseline_failed_alone,
                baseline_successes: concordant,
            };
            self.test.fold(&self.bets, counts);
        }
        self.bursts.observe(now, &[alone(&counts)], endpoints);
        self.test.wealth.settle(&self.bursts.of_errors());
        self.counts.add(&counts);
        self.step.add(&counts);
    }

    /// What should become of the candidate.
    pub(crate) fn decision(&self, bake: Bake, hold_left: impl Fn(HoldReason) -> Option<Duration>) -> JudgeDecision {
        let ln_e = self.test.wealth.ln_value();
        if ln_e >= self.settings.ln_pairs() && self.counts.candidate_failed_alone >= CANDIDATE_EVENTS_MIN {
            return JudgeDecision::RollBack(RollbackCause::Errors);
        }
        match self.objection(ln_e, bake) {
            Some(why) => JudgeDecision::Hold { why, expired: hold_left(why) == Some(Duration::ZERO) },
            None => JudgeDecision::Advance,
        }
    }

    fn objection(&self, ln_e: f64, bake: Bake) -> Option<HoldReason> {
        if ln_e >= self.settings.ln_suspicion() {
            Some(HoldReason::Suspicion)
        } else if self.differ() {
            Some(HoldReason::Differences)
        } else if self.warm_up_left().is_some() {
            Some(HoldReason::WarmingUp)
        } else if bake == Bake::Running {
            Some(HoldReason::Baking)
        } else {
            let (judged, needed) = (self.step.pairs, self.needed());
            needed.is_none_or(|needed| judged < needed).then_some(HoldReason::NotEnoughData { judged, needed })
        }
    }

    fn differ(&self) -> bool {
        let PairCounts { pairs, differing, .. } = self.step;
        differing >= DIFFERING_MIN && differing as f64 > self.differ_max * pairs as f64
    }

    /// The pairs that a step needs.
    fn needed(&self) -> Option<u64> {
        let failed = self.counts.baseline_failed_alone + self.counts.both_failed;
        let failing = (failed as f64 + UNSEEN.0) / (self.counts.pairs as f64 + UNSEEN.1);
        self.settings.requests_needed(CandidateShare::of_pairs(), failing)
    }

    /// What is known.
    pub(crate) fn findings(&self) -> PairFindings {
        PairFindings {
            counts: self.counts,
            step: self.step,
            differ_max: self.differ_max,
            ln_e: self.test.wealth.ln_value(),
            ln_alarm: self.settings.ln_pairs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::rollout::TICK;

    fn settings() -> JudgeSettings {
        JudgeSettings { mirrors: true, warm_up: Duration::ZERO, ..JudgeSettings::default() }
    }

    fn counts(pairs: u64, candidate: u64, baseline: u64) -> PairCounts {
        let (candidate_failed_alone, baseline_failed_alone) = (candidate, baseline);
        PairCounts { pairs, candidate_failed_alone, baseline_failed_alone, ..PairCounts::default() }
    }

    /// What is decided after this number of seconds of 25 pairs a tick, of which these parts are failed by one alone.
    fn decided(seconds: u32, candidate: f64, baseline: f64, random: &mut StdRng) -> JudgeDecision {
        let mut test = PairTest::new(&settings(), Duration::ZERO);
        test.begin_step(0.01, Duration::ZERO);
        for tick in 1..=4 * seconds {
            let mut found = counts(25, 0, 0);
            for _ in 0..found.pairs {
                let lot: f64 = random.random();
                found.candidate_failed_alone += u64::from(lot < candidate);
                found.baseline_failed_alone += u64::from((candidate..candidate + baseline).contains(&lot));
            }
            test.tick(TICK * tick, found, None);
            let decision = test.decision(Bake::Running, |_| None);
            if matches!(decision, JudgeDecision::RollBack(_)) {
                return decision;
            }
        }
        test.decision(Bake::Over { ago: Duration::ZERO }, |_| None)
    }

    #[test]
    fn the_expected_factor_of_a_pair_is_what_the_page_says() {
        let margin = settings().margin;
        let (bets, r0, delta) =
            (ErrorBets::new(CandidateShare::of_pairs(), margin), margin.ratio.value(), margin.increase.value());
        let th0 = r0 / (r0 + 1.0);
        for (candidate, baseline) in [(0.0, 0.0), (0.01, 0.02), (0.02, 0.01), (0.5, 0.3), (0.3, 0.3)] {
            for (alternative, r) in super::super::errors::RATIOS.into_iter().enumerate() {
                let [won, lost, spent] = bets.ln_factors(alternative).map(f64::exp);
                let found = candidate * won + baseline * lost + (1.0 - candidate - baseline) * spent;
                let th = r0 * r / (r0 * r + 1.0);
                let beyond = candidate / r0 - baseline - delta * (1.0 - candidate - baseline);
                let wanted = 1.0 + (th - th0) * (r0 + 1.0) * beyond;
                assert!((found - wanted).abs() < 1e-12, "{candidate} {baseline} {r}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn a_healthy_candidate_goes_on_and_a_bad_one_is_turned_back() {
        let seed = 20;
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..40 {
            let decision = decided(60, 0.01, 0.01, &mut random);
            assert!(!matches!(decision, JudgeDecision::RollBack(_)), "seed {seed}: {decision:?}");
        }
        for _ in 0..10 {
            assert_eq!(decided(60, 0.001, 0.001, &mut random), JudgeDecision::Advance, "seed {seed}");
            let decision = decided(60, 0.05, 0.001, &mut random);
            assert_eq!(decision, JudgeDecision::RollBack(RollbackCause::Errors), "seed {seed}");
        }
    }

    #[test]
    fn what_both_fail_is_no_fault_and_differences_hold() {
        let mut test = PairTest::new(&settings(), Duration::ZERO);
        test.begin_step(0.01, Duration::ZERO);
        let over = Bake::Over { ago: Duration::ZERO };
        let decision = |test: &PairTest| test.decision(over, |_| None);
        test.tick(TICK, PairCounts { both_failed: 50, ..counts(100, 0, 0) }, None);
        assert!(matches!(decision(&test), JudgeDecision::Hold { why: HoldReason::NotEnoughData { .. }, .. }));
        assert!(test.findings().ln_e < 0.0);
        test.begin_step(0.01, TICK);
        test.tick(TICK * 2, PairCounts { differing: 100, ..counts(10_000, 0, 0) }, None);
        assert!(!matches!(decision(&test), JudgeDecision::Hold { why: HoldReason::Differences, .. }), "1 % may");
        test.tick(TICK * 3, PairCounts { differing: 10, ..counts(10, 0, 0) }, None);
        let held = JudgeDecision::Hold { why: HoldReason::Differences, expired: false };
        assert_eq!(decision(&test), held);
    }
}

//! How the judge decides: roll back, advance, or hold and say why.
//!
//! - **Roll back** at E >= 1/alpha with at least three events of the candidate in the test that leads, at a broken
//!   ceiling, where a large part of the responses are others, one of the plan's own metrics was out of bounds often
//!   enough in a row, or what users do is worse than tolerated. At any time: a proof does not wait for the bake.
//! - **Advance** when the bake is over, enough requests were judged *in this step* (what a larger share does to a
//!   version only a larger share shows), E < 10, and the baseline is healthy. Where users come back the lot fell on
//!   users, and enough is counted in users: twenty of them are twenty draws, however many requests they send.
//! - A baseline that is unhealthy is no objection to a candidate that is proved to fail less (the whole ratio, with
//!   95 % confidence, is below 1) and is well itself: it is the remedy.
//! - **Hold** otherwise. The reasons are asked in the order of what an operator should know first: a suspicion,
//!   responses that are others, a metric or a guardrail, an unhealthy baseline, then what time will mend, an error
//!   budget of which too little is left, and last a replica that does not say what its users have met.

use std::time::Duration;

use super::ceiling::CeilingTest;
use super::endpoint_watch::{BadPart, EndpointFault};
use super::errors::CANDIDATE_EVENTS_MIN;
use super::evidence::OutcomeCounts;
use super::judge_settings::Assignment;
use super::latency::LatencyTest;
use super::pair_text;
use super::pairs::{PairTest, outcomes};
use super::per_version::PerVersion;
use super::quantiles::{LatencyCounts, QUANTILES};
use super::ratio::RatioInterval;
use super::stakes::Comparison;
use super::stretch::Stretch;
use super::summary;
use super::tick::Judge;
use super::verdict::{
    Bake, HoldReason, InCharge, JudgeDecision, JudgeFindings, LnWealth, Names, RollbackCause, Verdict,
};
use super::wealth::ln_sum;
use crate::shared::probability::Probability;

/// The confidence sequence for people holds the truth with 95 %, the custom of the field.
const RATIO_ALPHA: f64 = 0.05;

/// What is believed of the baseline before anything was seen: half a failure in 500 requests, 0.1 %. A few hundred
/// requests outweigh it.
const UNSEEN: (f64, f64) = (0.5, 500.0);

impl Judge {
    /// What should become of the candidate now. Allocates nothing.
    #[must_use]
    pub fn decision(&self, bake: Bake) -> JudgeDecision {
        let decision = self.decision_on_counts(bake);
        if decision == JudgeDecision::Advance && self.silent.is_some() {
            let why = HoldReason::SilentReplica;
            return JudgeDecision::Hold { why, expired: self.hold_left(why, bake) == Some(Duration::ZERO) };
        }
        decision
    }

    fn decision_on_counts(&self, bake: Bake) -> JudgeDecision {
        if let Some(pairs) = self.pairs.as_ref().filter(|_| self.mirroring) {
            return pairs.decision(bake, |why| self.hold_left(why, bake));
        }
        let standing = self.standing();
        if let Some(cause) = self.proof(&standing) {
            return JudgeDecision::RollBack(cause);
        }
        match self.objection(&standing, bake) {
            Some(why) => JudgeDecision::Hold { why, expired: self.hold_left(why, bake) == Some(Duration::ZERO) },
            None => JudgeDecision::Advance,
        }
    }

    /// The same with its evidence, for the record.
    #[must_use]
    pub fn verdict(&self, bake: Bake, names: &Names) -> Verdict {
        self.verdict_under(InCharge::Judge, bake, names)
    }

    /// The same where another one may be in charge: the summary says what is done.
    #[must_use]
    pub fn verdict_under(&self, in_charge: InCharge, bake: Bake, names: &Names) -> Verdict {
        if let Some(pairs) = self.pairs.as_ref().filter(|_| self.mirroring) {
            return self.verdict_on_pairs(pairs, in_charge, bake, names);
        }
        let (decision, mut findings) = (self.decision(bake), self.findings());
        if let JudgeDecision::RollBack(cause) = decision {
            findings.stretch = self.stretch(&self.standing(), cause);
            findings.endpoint = self.endpoint_fault(cause, findings.stretch);
        }
        let summary = match in_charge {
            InCharge::Judge => summary::of(decision, &findings, &self.settings, names),
            InCharge::Operator | InCharge::WayBack => {
                summary::looking_on(in_charge, decision, &findings, &self.settings, names)
            }
        };
        let responses = self.responses.iter().flat_map(|responses| responses.findings()).collect();
        let routes = self.routes.as_ref().map_or_else(Vec::new, |routes| routes.findings());
        Verdict { decision, findings, summary, responses, routes, metrics: self.metric_findings() }
    }

    /// The same of a step that is judged by pairs.
    fn verdict_on_pairs(&self, pairs: &PairTest, in_charge: InCharge, bake: Bake, names: &Names) -> Verdict {
        let (decision, found) = (self.decision(bake), pairs.findings());
        let warm_up_left = pairs.warm_up_left();
        let summary = pair_text::of(in_charge, decision, pairs, &self.settings, names);
        let standing = LnWealth {
            errors: found.ln_e,
            lost: None,
            latency: None,
            comparison: found.ln_e,
            failure_ceiling: None,
            slow_ceiling: None,
            responses: None,
            routes: None,
        };
        let (outcomes, step) = (outcomes(&found.counts), outcomes(&found.step));
        let (pairs, ln_alarm) = (Some(found), found.ln_alarm);
        let findings =
            JudgeFindings { outcomes, step, standing, pairs, ln_alarm, warm_up_left, ratio: None, ..self.findings() };
        let (responses, routes, metrics) = (Vec::new(), Vec::new(), Vec::new());
        Verdict { decision, findings, summary, responses, routes, metrics }
    }

    /// ln E of each test at this moment.
    #[must_use]
    pub fn standing(&self) -> LnWealth {
        let part = |test| self.settings.ln_part(test);
        let lost = self.lost.as_ref().map(|test| test.wealth.ln_value() + part(Comparison::LostUsers));
        let first = self.errors.wealth.ln_value() + part(Comparison::Errors);
        let errors = first.max(lost.unwrap_or(f64::NEG_INFINITY));
        let latency = self.latency.as_ref().map(|test| test.wealth.ln_value() + part(Comparison::Latency));
        let tests = [Some(errors), latency].into_iter().flatten();
        let together = match self.settings.assignment {
            Assignment::PerRequest => ln_sum(tests),
            Assignment::PerKey => tests.fold(f64::NEG_INFINITY, f64::max),
        };
        LnWealth {
            errors,
            lost,
            latency,
            comparison: together,
            failure_ceiling: self.failure_ceiling.as_ref().map(CeilingTest::ln_value),
            slow_ceiling: self.slow_ceiling.as_ref().map(CeilingTest::ln_value),
            responses: self.responses.as_ref().and_then(|test| Some(test.ln_ahead()? + self.settings.ln_alarm())),
            routes: self.routes.as_ref().and_then(|tests| Some(tests.ln_ahead()? + self.settings.ln_alarm())),
        }
    }

    /// All that is known at this moment.
    #[must_use]
    pub fn findings(&self) -> JudgeFindings {
        let leading = self.standing().leading();
        let stretch = self.stretch(&self.standing(), leading);
        JudgeFindings {
            share: self.share,
            outcomes: self.outcomes,
            step: self.step,
            latencies: self.latencies,
            quantiles: self.quantiles,
            thresholds: self.thresholds,
            stretch,
            endpoint: self.endpoint_fault(leading, stretch),
            leading_quantile: self.latency.as_ref().map_or(0, LatencyTest::leading_quantile),
            assignment: self.settings.assignment,
            route: self.routes.as_ref().and_then(|routes| routes.proof().or(routes.nearest())),
            routes: self.routes.as_ref().map_or(0, |routes| routes.count()),
            response: self.responses.as_ref().and_then(|test| test.proof().or(test.objection()).or(test.nearest())),
            metric: self.leading_metric().map(|watch| watch.finding(self.now)),
            guardrail: self.leading_guardrail().and_then(|watch| self.guardrail_finding(watch)),
            guardrails: self.guardrail_findings(),
            budget: self.holding_budget(),
            silent: self.silent.clone(),
            pairs: None,
            baseline_recent: self.health.recent(),
            pace: self.pace(),
            ceilings: self.ceilings,
            frozen: self.frozen,
            warm_up_left: self.warm_up_left,
            standing: self.standing(),
            ln_alarm: self.settings.ln_alarm(),
            ratio: self.ratio(),
        }
    }

    /// How many times as often as the baseline the candidate fails, with 95 % confidence at all times.
    #[must_use]
    pub fn ratio(&self) -> Option<RatioInterval> {
        Probability::new(RATIO_ALPHA).and_then(|alpha| self.ratios.interval(alpha))
    }

    fn proof(&self, standing: &LnWealth) -> Option<RollbackCause> {
        let proved = |ln: Option<f64>| ln.is_some_and(|ln| ln >= self.settings.ln_alarm());
        let (candidate, timed) = (&self.outcomes.candidate, &self.latencies.candidate);
        let failures = if standing.lost_users_lead() { candidate.lost } else { candidate.counted_failures };
        let leads = self.latency.as_ref().filter(|_| standing.latency > Some(standing.errors));
        let (cause, events) = match leads {
            Some(test) => (RollbackCause::Latency, timed.first_above[test.leading_quantile()]),
            None => (RollbackCause::Errors, failures),
        };
        // Where latency leads with too few events, failures may be proof by themselves: a version that refuses
        // everything is fast.
        let told = |cause| self.totals_speak_against_it(cause);
        if proved(Some(standing.comparison)) && events >= CANDIDATE_EVENTS_MIN && told(cause) {
            Some(cause)
        } else if proved(Some(standing.errors)) && failures >= CANDIDATE_EVENTS_MIN && told(RollbackCause::Errors) {
            Some(RollbackCause::Errors)
        } else if proved(standing.failure_ceiling) {
            Some(RollbackCause::FailureCeiling)
        } else if proved(standing.slow_ceiling) {
            Some(RollbackCause::SlowCeiling)
        } else if self.responses.as_ref().is_some_and(|responses| responses.proof().is_some()) {
            Some(RollbackCause::Responses)
        } else {
            let route = self.routes.as_ref().and_then(|routes| routes.proof()).map(|_| RollbackCause::Route);
            let metric = || self.metric_proof().map(|_| RollbackCause::Metric);
            route.or_else(metric).or_else(|| self.guardrail_proof().map(|_| RollbackCause::Guardrail))
        }
    }

    /// The late part of the rollout that a test is about.
    fn stretch(&self, standing: &LnWealth, cause: RollbackCause) -> Option<Stretch> {
        let stretches = &self.stretches;
        match cause {
            RollbackCause::Errors => match self.lost.as_ref().filter(|_| standing.lost_users_lead()) {
                Some(test) => stretches.lost.late(&test.wealth),
                None => stretches.errors.late(&self.errors.wealth),
            },
            RollbackCause::Latency => self.latency.as_ref().and_then(|test| stretches.latency.late(&test.wealth)),
            // A finding has its own, a metric is of this moment, and a guardrail of this step.
            RollbackCause::Responses | RollbackCause::Route | RollbackCause::Metric | RollbackCause::Guardrail => None,
            RollbackCause::FailureCeiling => {
                self.failure_ceiling.as_ref().and_then(|test| stretches.failure_ceiling.late(&test.wealth))
            }
            RollbackCause::SlowCeiling => {
                self.slow_ceiling.as_ref().and_then(|test| stretches.slow_ceiling.late(&test.wealth))
            }
        }
    }

    /// The endpoint that makes nearly all of what a verdict rests on. What is found of responses and routes is not
    /// counted by endpoint.
    fn endpoint_fault(&self, cause: RollbackCause, stretch: Option<Stretch>) -> Option<EndpointFault> {
        let since = stretch.map(|stretch| stretch.before.at);
        match cause {
            RollbackCause::Errors | RollbackCause::FailureCeiling => self
                .endpoints
                .fault(since, |totals| BadPart { bad: totals.failures as f64, all: totals.requests as f64 }),
            RollbackCause::Latency => {
                let quantile = self.latency.as_ref().map_or(0, LatencyTest::leading_quantile);
                // What is above a quantile anyway says nothing.
                self.endpoints.fault(since, |totals| BadPart {
                    bad: totals.above[quantile] as f64 - (1.0 - QUANTILES[quantile]) * totals.compared as f64,
                    all: totals.compared as f64,
                })
            }
            RollbackCause::SlowCeiling
            | RollbackCause::Responses
            | RollbackCause::Metric
            | RollbackCause::Route
            | RollbackCause::Guardrail => None,
        }
    }

    /// Whether the totals that a summary would print say what it says: people would not believe it otherwise.
    fn totals_speak_against_it(&self, cause: RollbackCause) -> bool {
        let late = self.stretch(&self.standing(), cause).map(|stretch| stretch.found);
        let outcomes = late.map_or(self.outcomes, |found| found.outcomes);
        let latencies = late.map_or(self.latencies, |found| found.latencies);
        let part = |some: u64, all: u64| if all == 0 { 0.0 } else { some as f64 / all as f64 };
        if cause == RollbackCause::Errors {
            let failing = |counts: &OutcomeCounts| part(counts.failures, counts.requests);
            failing(&outcomes.candidate) > self.settings.margin.tolerated(failing(&outcomes.baseline))
        } else {
            let quantile = self.latency.as_ref().map_or(0, LatencyTest::leading_quantile);
            let above = |counts: &LatencyCounts| part(counts.above(quantile), counts.compared(quantile));
            above(&latencies.candidate) > above(&latencies.baseline)
        }
    }

    fn objection(&self, standing: &LnWealth, bake: Bake) -> Option<HoldReason> {
        if standing.highest() >= self.settings.ln_suspicion() {
            Some(HoldReason::Suspicion)
        } else if self.responses.as_ref().is_some_and(|responses| responses.objection().is_some()) {
            Some(HoldReason::Responses)
        } else if self.metric_objection().is_some() {
            Some(HoldReason::Metric)
        } else if self.guardrail_objection().is_some() {
            Some(HoldReason::Guardrail)
        } else if self.health.is_unhealthy(self.settings.baseline_unhealthy) && !self.is_the_remedy() {
            Some(HoldReason::BaselineUnhealthy)
        } else {
            let waiting = if bake == Bake::Running { Some(HoldReason::Baking) } else { self.lack_of_data() };
            let waiting = waiting.or_else(|| self.metric_without_data().map(|_| HoldReason::NoMetricData));
            let waiting = waiting.or_else(|| self.guardrail_without_users().map(|_| HoldReason::NoGuardrailData));
            let waiting = waiting.or_else(|| self.holding_budget().map(|_| HoldReason::Budget));
            waiting.map(|why| if self.warm_up_left.is_some() { HoldReason::WarmingUp } else { why })
        }
    }

    /// Whether the candidate is what mends the baseline: proved to fail less, and well at this moment. Then the
    /// baseline's illness is a reason to go on.
    fn is_the_remedy(&self) -> bool {
        self.ratio().is_some_and(|ratio| ratio.high < 1.0)
            && !self.candidate_health.is_unhealthy(self.settings.baseline_unhealthy)
    }

    fn lack_of_data(&self) -> Option<HoldReason> {
        // Where there is nothing to compare with, no lot falls on anybody.
        let step = self.step.candidate;
        let judged = step.judged(self.share);
        let PerVersion { candidate, baseline } =
            self.outcomes.map(|counts| (counts.failures as f64 + UNSEEN.0) / (counts.requests as f64 + UNSEEN.1));
        // Beside a baseline that fails so often that hardly a number is enough, a candidate that is proved to fail less
        // is measured by what it does itself.
        let failing = if candidate < baseline && self.is_the_remedy() { candidate } else { baseline };
        let frozen = self.ceilings.failures.filter(|_| self.settings.ceilings.failures.is_none());
        let needed = match frozen.filter(|_| !self.share.compares()) {
            Some(ceiling) => self.settings.requests_for_frozen(ceiling),
            None => self.settings.requests_needed(self.share, failing),
        };
        needed.is_none_or(|needed| judged < needed).then_some(HoldReason::NotEnoughData { judged, needed })
    }

    /// How long this step has lasted.
    pub(crate) fn in_step(&self) -> Duration {
        self.now.saturating_sub(self.step_since)
    }

    /// How long a hold may last yet, since its bake is over. One for lack of data goes on as long as something comes:
    /// it has an end, which the start has told.
    #[must_use]
    pub fn hold_left(&self, why: HoldReason, bake: Bake) -> Option<Duration> {
        let Bake::Over { ago } = bake else { return None };
        let comes = matches!(why, HoldReason::NotEnoughData { judged: 1.., needed: Some(_) });
        // Of a metric it is known since when, however long the step waited for something else before.
        let metric = self.leading_metric().filter(|_| matches!(why, HoldReason::Metric | HoldReason::NoMetricData));
        let users = self.guardrail_without_users().filter(|_| why == HoldReason::NoGuardrailData);
        let longest = match (comes, metric, users) {
            (true, ..) => self.quiet(),
            (_, Some(watch), _) => watch.not_good_for(self.now),
            // Users go on to come.
            (.., Some(watch)) => watch.quiet(self.now),
            (_, None, None) if why == HoldReason::SilentReplica => self.silent_for(),
            (_, None, None) => ago,
        };
        let held = ago.min(longest);
        Some(self.settings.hold_max.saturating_sub(held))
    }
}

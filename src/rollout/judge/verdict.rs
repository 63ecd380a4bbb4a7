//! What the judge answers: the decision, and everything that led to it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::class_share::ResponseFinding;
use super::endpoint_watch::EndpointFault;
use super::evidence::{CandidateShare, OutcomeCounts};
use super::frozen::FrozenCeilings;
use super::guardrail::GuardrailFinding;
use super::judge_settings::{Assignment, Ceilings};
use super::own_metric::MetricFinding;
use super::pair_counts::PairFindings;
use super::per_version::PerVersion;
use super::quantiles::{LatencyCounts, Quantiles, Thresholds};
use super::ratio::RatioInterval;
use super::route_finding::RouteFinding;
use super::spent_budget::SpentBudget;
use super::stretch::Stretch;

/// Whether the step has lasted as long as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bake {
    /// Not yet.
    Running,
    /// Yes, and so long ago.
    Over {
        /// Time since its end.
        ago: Duration,
    },
}

/// What should become of the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeDecision {
    /// It is worse: all traffic back to the baseline, at once.
    RollBack(RollbackCause),
    /// It has been judged on enough requests, and nothing speaks against it.
    Advance,
    /// Neither.
    Hold {
        /// Why.
        why: HoldReason,
        /// Whether this has lasted longer than [`super::JudgeSettings::hold_max`]; the plan says what then.
        expired: bool,
    },
}

/// What a rollback is founded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackCause {
    /// It fails more often than the baseline.
    Errors,
    /// It is slower than the baseline.
    Latency,
    /// It fails more often than the ceiling allows.
    FailureCeiling,
    /// More of its requests are slow than the ceiling allows.
    SlowCeiling,
    /// A large part of its responses are others than the baseline's, without failing.
    Responses,
    /// One of the plan's own metrics is out of its bounds.
    Metric,
    /// It serves one route worse than the baseline.
    Route,
    /// What its users do is worse than is tolerated beside the baseline's.
    Guardrail,
}

impl RollbackCause {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Errors,
        Self::Latency,
        Self::FailureCeiling,
        Self::SlowCeiling,
        Self::Responses,
        Self::Metric,
        Self::Route,
        Self::Guardrail,
    ];

    /// The word for it in the API and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::FailureCeiling => "errors_max",
            Self::SlowCeiling => "slow_max",
            Self::Responses => "responses",
            Self::Metric => "metric",
            Self::Route => "route",
            Self::Guardrail => "guardrail",
        }
    }
}

/// Why a step is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// 10 <= E: there is a hint, and not yet a proof.
    Suspicion,
    /// Some of its responses are others than the baseline's, without failing.
    Responses,
    /// One of the plan's own metrics is out of its bounds, not often enough yet.
    Metric,
    /// Nothing is known of one of the plan's own metrics.
    NoMetricData,
    /// A guardrail speaks against it, and does not prove it yet.
    Guardrail,
    /// A guardrail has too few users in this step.
    NoGuardrailData,
    /// Less is left of the error budget than the plan asks for.
    Budget,
    /// A replica of the fleet does not say what it has counted.
    SilentReplica,
    /// More of the pairs differ than the step allows.
    Differences,
    /// The baseline itself fails; see [`super::baseline_health`].
    #[serde(rename = "baseline_ill")]
    BaselineUnhealthy,
    /// Nothing is judged yet, because one of the versions has only cold endpoints.
    WarmingUp,
    /// The bake is not over.
    Baking,
    /// Too few requests of the candidate were judged in this step.
    NotEnoughData {
        /// Those that were judged; users, where users come back.
        judged: u64,
        /// Those that are needed; `None` if no number would do, see [`super::JudgeSettings::requests_needed`].
        needed: Option<u64>,
    },
}

impl HoldReason {
    /// The words of all of them.
    pub const WORDS: [&'static str; 13] = [
        "warming_up",
        "baking",
        "not_enough_data",
        "suspicion",
        "responses",
        "metric",
        "no_metric_data",
        "guardrail",
        "no_guardrail_data",
        "budget",
        "silent_replica",
        "differences",
        "baseline_ill",
    ];

    /// The word for it in the API and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Suspicion => "suspicion",
            Self::Responses => "responses",
            Self::Metric => "metric",
            Self::NoMetricData => "no_metric_data",
            Self::Guardrail => "guardrail",
            Self::NoGuardrailData => "no_guardrail_data",
            Self::Budget => "budget",
            Self::SilentReplica => "silent_replica",
            Self::Differences => "differences",
            Self::BaselineUnhealthy => "baseline_ill",
            Self::WarmingUp => "warming_up",
            Self::Baking => "baking",
            Self::NotEnoughData { .. } => "not_enough_data",
        }
    }
}

/// ln E of each test at one moment, times its part of the stake. The logarithm, because E itself can exceed what a
/// float holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LnWealth {
    /// Of the tests on failures: first failures or lost users, what speaks louder.
    pub errors: f64,
    /// Of the test on lost users, where users come back.
    pub lost: Option<f64>,
    /// Of the test on latency, if there is one.
    pub latency: Option<f64>,
    /// Of both together: what is compared with the threshold.
    pub comparison: f64,
    /// Of the ceiling on failures, if there is one.
    pub failure_ceiling: Option<f64>,
    /// Of the ceiling on slow requests, if there is one.
    pub slow_ceiling: Option<f64>,
    /// Of the class of responses that is nearest to turning the version back, times its part of alpha.
    pub responses: Option<f64>,
    /// Of the route that is nearest to turning the version back, times its part of alpha.
    pub routes: Option<f64>,
}

impl JudgeFindings {
    /// Whether a step counts users: the lot fell on them.
    #[must_use]
    pub fn counts_users(&self) -> bool {
        self.assignment == Assignment::PerKey && self.share.compares()
    }

    /// About how long it takes until this number of requests of the candidate is judged in this step.
    #[must_use]
    pub fn time_to(&self, needed: u64) -> Option<Duration> {
        let missing = needed.saturating_sub(self.step.candidate.judged(self.share));
        Duration::try_from_secs_f64(missing as f64 / self.pace?).ok()
    }
}

impl LnWealth {
    /// The test that has it: what speaks loudest against the candidate.
    #[must_use]
    pub fn leading(&self) -> RollbackCause {
        let compared = if self.latency > Some(self.errors) { RollbackCause::Latency } else { RollbackCause::Errors };
        let ceilings = [
            (self.failure_ceiling, RollbackCause::FailureCeiling),
            (self.slow_ceiling, RollbackCause::SlowCeiling),
            (self.responses, RollbackCause::Responses),
            (self.routes, RollbackCause::Route),
        ];
        let ceilings = ceilings.into_iter().filter_map(|(ln, cause)| Some((ln?, cause)));
        let louder =
            |best: (f64, RollbackCause), other: (f64, RollbackCause)| if other.0 > best.0 { other } else { best };
        ceilings.fold((self.comparison, compared), louder).1
    }

    /// Whether lost users speak louder than first failures.
    #[must_use]
    pub fn lost_users_lead(&self) -> bool {
        self.lost == Some(self.errors)
    }

    /// The largest ln E that can raise an alarm.
    #[must_use]
    pub fn highest(&self) -> f64 {
        let others = [self.failure_ceiling, self.slow_ceiling, self.responses, self.routes];
        others.into_iter().flatten().fold(self.comparison, f64::max)
    }
}

/// What the judge knows at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeFindings {
    /// The candidate's share in this step.
    pub share: CandidateShare,
    /// Outcomes since the rollout began.
    pub outcomes: PerVersion<OutcomeCounts>,
    /// Outcomes since the step began.
    pub step: PerVersion<OutcomeCounts>,
    /// Latencies since the rollout began, by thresholds exceeded.
    pub latencies: PerVersion<LatencyCounts>,
    /// Latencies of both versions at this time.
    pub quantiles: Option<PerVersion<Quantiles>>,
    /// The thresholds in force.
    pub thresholds: Option<Thresholds>,
    /// The late part of the rollout that speaks against the candidate, if it is not all of it.
    pub(crate) stretch: Option<Stretch>,
    /// The endpoint of the candidate that makes nearly all of what is bad there, if one does.
    pub endpoint: Option<EndpointFault>,
    /// The number in [`super::quantiles::QUANTILES`] of the threshold whose bets have won most.
    pub leading_quantile: usize,
    /// What the lot fell on.
    pub assignment: Assignment,
    /// What was found of the responses, first what turns the version back; else the class that is nearest to it.
    pub response: Option<ResponseFinding>,
    /// The one of the plan's own metrics that speaks against the candidate, or of which nothing is known.
    pub metric: Option<MetricFinding>,
    /// The guardrail that speaks against the candidate, or that has too few users.
    pub guardrail: Option<GuardrailFinding>,
    /// What is known of each guardrail.
    pub guardrails: Vec<GuardrailFinding>,
    /// What is known of pairs, in a step that is judged by them.
    pub pairs: Option<PairFindings>,
    /// What was found of the routes: what turns the version back, else the one that is nearest to it.
    pub route: Option<RouteFinding>,
    /// How many routes are judged by themselves.
    pub routes: usize,
    /// The error budget, if too little of it is left.
    pub budget: Option<SpentBudget>,
    /// The replicas of the fleet that do not say what they have counted, and why, if there are any.
    pub silent: Option<Arc<str>>,
    /// The baseline's recent requests, and how many of them failed.
    pub baseline_recent: (u64, u64),
    /// How many requests of the candidate were judged a second in this step.
    pub pace: Option<f64>,
    /// The ceilings in force.
    pub ceilings: Ceilings,
    /// What the baseline's own rates have become, since there is nothing to compare with.
    pub frozen: Option<FrozenCeilings>,
    /// How long nothing will be judged because all endpoints of a version are cold.
    pub warm_up_left: Option<Duration>,
    /// ln E of each test.
    pub standing: LnWealth,
    /// ln E at which an alarm goes off.
    pub ln_alarm: f64,
    /// How many times as often as the baseline the candidate fails, with 95 % confidence at all times.
    pub ratio: Option<RatioInterval>,
}

/// A decision with its evidence. The caller adds revision and weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What should be done.
    pub decision: JudgeDecision,
    /// What led to it.
    pub findings: JudgeFindings,
    /// Both in one sentence for people.
    pub summary: String,
    /// All that was found of the responses.
    pub responses: Vec<ResponseFinding>,
    /// What is known of the plan's own metrics.
    pub metrics: Vec<MetricFinding>,
    /// The routes that are nearest to turning it back, if it has done anything bad there.
    pub routes: Vec<RouteFinding>,
}

/// Who acts on a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InCharge {
    /// The judge: what it decides is done.
    Judge,
    /// An operator who has changed the split by hand.
    Operator,
    /// No one: it is on its way back.
    WayBack,
}

/// How people call what is judged.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The service.
    pub service: &'a str,
    /// The version under rollout.
    pub candidate: &'a str,
    /// The version that it would replace.
    pub baseline: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_keeps_its_words() {
        let holds = [
            HoldReason::Suspicion,
            HoldReason::Responses,
            HoldReason::Metric,
            HoldReason::NoMetricData,
            HoldReason::Guardrail,
            HoldReason::NoGuardrailData,
            HoldReason::Budget,
            HoldReason::SilentReplica,
            HoldReason::Differences,
            HoldReason::BaselineUnhealthy,
            HoldReason::WarmingUp,
            HoldReason::Baking,
        ];
        let words = holds.map(|hold| serde_json::to_string(&hold).unwrap());
        let wanted = [
            "suspicion",
            "responses",
            "metric",
            "no_metric_data",
            "guardrail",
            "no_guardrail_data",
            "budget",
            "silent_replica",
            "differences",
            "baseline_ill",
            "warming_up",
            "baking",
        ];
        assert_eq!(words, wanted.map(|word| format!("{word:?}")));
        assert_eq!(serde_json::to_string(&RollbackCause::Guardrail).unwrap(), "\"guardrail\"");
    }
}

//! The judge's findings as they are shown, and stored with each event.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guardrail_view::GuardrailView;
use super::metric_view::MetricView;
use crate::rollout::judge::class_share::{ClassShare, ResponseFinding};
use crate::rollout::judge::pair_counts::{PairCounts, PairFindings};
use crate::rollout::judge::route_finding::{RouteFault, RouteFinding};
use crate::rollout::judge::verdict::{HoldReason, JudgeFindings};
use crate::rollout::judge::{JudgeDecision, Names, OutcomeCounts, Verdict};

/// What the judge has found about a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceView {
    /// The service.
    pub service: String,
    /// `roll_back`, `advance` or `hold`.
    pub ruling: String,
    /// Why, in one word.
    pub why: String,
    /// The same with numbers, in one sentence.
    pub sentence: String,
    /// The new version's judged requests since the start.
    pub candidate: CountsView,
    /// The old version's.
    pub baseline: CountsView,
    /// The new version's judged requests in this step.
    pub step_requests: u64,
    /// As many are needed to go on, if that is why it is held.
    pub needed_requests: Option<u64>,
    /// In a sticky service, where each user counts once: the new version's users in this step.
    pub step_users: Option<u64>,
    /// As many of them are needed to go on, if that is why it is held.
    pub needed_users: Option<u64>,
    /// About how long that takes at the pace of this step, in seconds.
    #[serde(default)]
    pub needed_in_seconds: Option<f64>,
    /// While nothing is judged because all endpoints of a version are cold: for how long yet.
    pub warm_up_left_seconds: Option<f64>,
    /// log10 of E, of what is compared with the baseline: failures and latency together.
    pub log10_e: f64,
    /// log10 of E of the test that speaks loudest, of those that can turn it back.
    pub log10_e_highest: Option<f64>,
    /// Which one that is: `errors`, `latency`, `errors_max`, `slow_max`, `responses` or `route`.
    pub leading: Option<String>,
    /// log10 of E of the failures alone, times their part of the stake.
    pub log10_e_errors: f64,
    /// log10 of E of the lost users, in a sticky service, times their part of the stake.
    pub log10_e_lost_users: Option<f64>,
    /// log10 of E of the latency alone, times its part of the stake.
    pub log10_e_latency: Option<f64>,
    /// log10 of E of the ceiling on failures.
    pub log10_e_errors_max: Option<f64>,
    /// log10 of E of the ceiling on slow requests.
    pub log10_e_slow_max: Option<f64>,
    /// log10 of E of the class of responses that is nearest to turning it back, times its part of alpha.
    pub log10_e_responses: Option<f64>,
    /// log10 of E of the route that is nearest to turning it back, times its part of alpha.
    #[serde(default)]
    pub log10_e_routes: Option<f64>,
    /// The endpoint of the new version that makes nearly all of what speaks against it, if one does.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// How many routes (beginnings of paths) are judged by themselves.
    #[serde(default)]
    pub routes_judged: usize,
    /// Up to three routes that are nearest to turning it back.
    #[serde(default)]
    pub routes: Vec<RouteFindingView>,
    /// Classes of responses that are found to be more than the old version's.
    #[serde(default)]
    pub responses: Vec<ResponseFindingView>,
    /// In a step that is judged by pairs: what came of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairsView>,
    /// What is known of the plan's own metrics.
    #[serde(default)]
    pub metrics: Vec<MetricView>,
    /// What this step has counted of its guardrails; of a group with its first service.
    #[serde(default)]
    pub guardrails: Vec<GuardrailView>,
    /// log10 of E at which it is rolled back.
    pub log10_alarm: f64,
    /// The part of the new version's requests that may fail whatever the old one does, if there is such a ceiling.
    #[serde(default)]
    pub errors_max: Option<CeilingView>,
    /// The part that may be slow, likewise.
    #[serde(default)]
    pub slow_max: Option<CeilingView>,
    /// How many times as often the new version fails, with 95 % confidence at all times; `null` at the end that nothing
    /// bounds.
    pub failure_ratio: Option<[Option<f64>; 2]>,
    /// The new version's latency in the last minute: median, 90th and 99th percentile, in milliseconds.
    pub candidate_ms: Option<[f64; 3]>,
    /// The old version's.
    pub baseline_ms: Option<[f64; 3]>,
}

/// What a version is held to without another one beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CeilingView {
    /// The part of the requests that it allows.
    pub at_most: f64,
    /// What is slow takes longer than this, in milliseconds.
    pub longer_than_ms: Option<f64>,
    /// Where it comes from: `plan`, or the version whose own rate it was when the comparison ended.
    pub from: String,
}

/// Requests that both versions got, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairsView {
    /// All of them.
    pub pairs: u64,
    /// Those that the new version failed and the old one did not.
    pub candidate_failed_alone: u64,
    /// The reverse.
    pub baseline_failed_alone: u64,
    /// Those that both failed.
    pub both_failed: u64,
    /// Those whose responses differ, but for how long they took.
    pub differing: u64,
}

impl PairsView {
    fn of(found: &PairFindings) -> Self {
        let PairCounts { pairs, candidate_failed_alone, baseline_failed_alone, both_failed, differing } = found.counts;
        Self { pairs, candidate_failed_alone, baseline_failed_alone, both_failed, differing }
    }
}

/// Judged requests of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountsView {
    /// All of them.
    pub requests: u64,
    /// Those that failed by the version's fault.
    pub failures: u64,
    /// Those of them that are evidence: one for each user and window.
    pub counted_failures: u64,
    /// In a sticky service: users who had nothing but failures for longer than a burst.
    #[serde(default)]
    pub lost_users: u64,
}

impl EvidenceView {
    /// What a verdict shows of a service.
    pub(crate) fn of(names: &Names<'_>, verdict: &Verdict) -> Self {
        let JudgeFindings { outcomes, step, quantiles, standing, ln_alarm, ratio, warm_up_left, .. } =
            &verdict.findings;
        let log10 = |ln: f64| ln / std::f64::consts::LN_10;
        let ms =
            |quantiles: &crate::rollout::judge::quantiles::Quantiles| quantiles.0.map(|q| q.as_secs_f64() * 1000.0);
        let sticky = verdict.findings.counts_users();
        let (ruling, why) = words(verdict.decision);
        let needed = match verdict.decision {
            JudgeDecision::Hold { why: HoldReason::NotEnoughData { needed, .. }, .. } => needed,
            JudgeDecision::Hold { .. } | JudgeDecision::Advance | JudgeDecision::RollBack(_) => None,
        };
        Self {
            service: names.service.to_owned(),
            ruling: ruling.to_owned(),
            why: why.to_owned(),
            sentence: verdict.summary.clone(),
            candidate: CountsView::of(&outcomes.candidate),
            baseline: CountsView::of(&outcomes.baseline),
            step_requests: step.candidate.requests,
            needed_requests: needed.filter(|_| !sticky),
            step_users: sticky.then_some(step.candidate.draws),
            needed_users: needed.filter(|_| sticky),
            needed_in_seconds: needed
                .and_then(|needed| verdict.findings.time_to(needed))
                .map(|left| left.as_secs_f64()),
            warm_up_left_seconds: warm_up_left.map(|left| left.as_secs_f64()),
            log10_e: log10(standing.comparison),
            log10_e_highest: Some(log10(standing.highest())),
            leading: Some(standing.leading().word().to_owned()),
            log10_e_errors: log10(standing.errors),
            log10_e_lost_users: standing.lost.map(log10),
            log10_e_latency: standing.latency.map(log10),
            log10_e_errors_max: standing.failure_ceiling.map(log10),
            log10_e_slow_max: standing.slow_ceiling.map(log10),
            log10_e_responses: standing.responses.map(log10),
            log10_e_routes: standing.routes.map(log10),
            endpoint: verdict.findings.endpoint.map(|fault| fault.address.to_string()),
            routes_judged: verdict.findings.routes,
            routes: verdict.routes.iter().map(|found| RouteFindingView::of(found, *ln_alarm)).collect(),
            responses: verdict.responses.iter().map(ResponseFindingView::of).collect(),
            pairs: verdict.findings.pairs.as_ref().map(PairsView::of),
            metrics: verdict.metrics.iter().map(|metric| MetricView::of(metric, names)).collect(),
            guardrails: verdict.findings.guardrails.iter().map(|found| GuardrailView::of(found, names)).collect(),
            log10_alarm: log10(*ln_alarm),
            errors_max: CeilingView::of_failures(&verdict.findings, names),
            slow_max: CeilingView::of_slow(&verdict.findings, names),
            failure_ratio: ratio
                .map(|ratio| [ratio.low, ratio.high].map(|end| Some(end).filter(|end| end.is_finite()))),
            candidate_ms: quantiles.map(|both| ms(&both.candidate)),
            baseline_ms: quantiles.map(|both| ms(&both.baseline)),
        }
    }
}

impl EvidenceView {
    /// How many judged requests of the new version (in a sticky service: users) the step lacks, if that is why it is
    /// held.
    pub(crate) fn missing(&self) -> Option<u64> {
        let users = self.needed_users.zip(self.step_users);
        let (needed, judged) = users.or(self.needed_requests.map(|needed| (needed, self.step_requests)))?;
        Some(needed.saturating_sub(judged))
    }
}

impl CeilingView {
    fn of_failures(findings: &JudgeFindings, names: &Names<'_>) -> Option<Self> {
        let at_most = findings.ceilings.failures?.value();
        let from = from(findings.frozen.and_then(|frozen| frozen.errors_max).is_some(), names);
        Some(Self { at_most, longer_than_ms: None, from })
    }

    fn of_slow(findings: &JudgeFindings, names: &Names<'_>) -> Option<Self> {
        let ceiling = findings.ceilings.slow?;
        let from = from(findings.frozen.and_then(|frozen| frozen.slow_us).is_some(), names);
        let longer_than_ms = Some(ceiling.longer_than.as_secs_f64() * 1000.0);
        Some(Self { at_most: ceiling.at_most.value(), longer_than_ms, from })
    }
}

fn from(frozen: bool, names: &Names<'_>) -> String {
    if frozen { names.baseline } else { "plan" }.to_owned()
}

/// A class of responses that is found to be more than the old version's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResponseFindingView {
    /// `not_found` (404, 410), `unauthorized` (401, 403), `redirect`, `not_modified` (304), `too_many` (429),
    /// `client_error` (other 4xx), `unusual_status`, `empty`, `short`, `long` or `other_type`.
    pub class: String,
    /// The new version's responses that were asked, and those in the class.
    pub candidate: ClassCountsView,
    /// The old version's.
    pub baseline: ClassCountsView,
    /// Over so many of the last seconds; none: since the start.
    pub lately_seconds: Option<f64>,
    /// Whether it turns the version back.
    pub turns_back: bool,
    /// Whether an operator has promoted over it.
    pub accepted: bool,
}

/// Responses of a version, and those of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassCountsView {
    /// All of them.
    pub responses: u64,
    /// Those in the class.
    pub in_class: u64,
}

impl ResponseFindingView {
    fn of(found: &ResponseFinding) -> Self {
        let counts = |share: &ClassShare| ClassCountsView { responses: share.asked, in_class: share.found };
        Self {
            class: found.class.word().to_owned(),
            candidate: counts(&found.shares.candidate),
            baseline: counts(&found.shares.baseline),
            lately_seconds: found.lately.map(|lately| lately.as_secs_f64()),
            turns_back: found.is_large,
            accepted: found.is_accepted,
        }
    }
}

/// What is found of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteFindingView {
    /// The beginning of its paths.
    pub path: String,
    /// What is bad there: `failures` or `latency`.
    pub fault: String,
    /// The new version's requests to it, and those that were bad.
    pub candidate: RouteCountsView,
    /// The old version's.
    pub baseline: RouteCountsView,
    /// Over so many of the last seconds; none: since the start.
    pub lately_seconds: Option<f64>,
    /// log10 of its E, times its part of alpha: it turns the version back at `log10_alarm`.
    pub log10_e: f64,
    /// Whether it turns the version back.
    pub turns_back: bool,
}

/// Requests of a version to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteCountsView {
    /// All of them; where latency is what is bad, those that were compared.
    pub requests: u64,
    /// Those that failed, or took too long.
    pub bad: u64,
}

impl RouteFindingView {
    fn of(found: &RouteFinding, ln_alarm: f64) -> Self {
        let counts = |share: &ClassShare| RouteCountsView { requests: share.asked, bad: share.found };
        let fault = match found.fault {
            RouteFault::Failures => "failures",
            RouteFault::Latency { .. } => "latency",
        };
        Self {
            path: found.name.text(),
            fault: fault.to_owned(),
            candidate: counts(&found.shares.candidate),
            baseline: counts(&found.shares.baseline),
            lately_seconds: found.lately.map(|lately| lately.as_secs_f64()),
            log10_e: (found.ln_ahead + ln_alarm) / std::f64::consts::LN_10,
            turns_back: found.is_proved,
        }
    }
}

impl CountsView {
    fn of(counts: &OutcomeCounts) -> Self {
        let OutcomeCounts { requests, failures, counted_failures, lost, .. } = *counts;
        Self { requests, failures, counted_failures, lost_users: lost }
    }
}

/// The words for a decision and its reason.
pub(crate) fn words(decision: JudgeDecision) -> (&'static str, &'static str) {
    match decision {
        JudgeDecision::RollBack(cause) => ("roll_back", cause.word()),
        JudgeDecision::Advance => ("advance", "nothing_against_it"),
        JudgeDecision::Hold { why, .. } => ("hold", why.word()),
    }
}

//! A rollout under way, in short: what is said of it beside the service that it is about.

use serde::Serialize;
use utoipa::ToSchema;

use super::evidence_view::EvidenceView;
use super::guardrail_view::GuardrailView;
use super::metric_view::MetricView;
use super::view::RolloutView;

/// A rollout under way.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RolloutBrief {
    /// Its number.
    id: u64,
    /// The group that it is of.
    group: Option<String>,
    /// The flag whose variants are compared in this service, if it is one; `from` and `to` are variants of it then.
    flag: Option<String>,
    /// The version that had everything at the start.
    from: String,
    /// The version that is to have everything.
    to: String,
    /// `going`, `waiting`, `paused` or `rolling_back`.
    phase: &'static str,
    /// Why it waits.
    paused_because: Option<String>,
    /// What somebody has to do so that it goes on: `approval`, `acknowledgement`, `resume` or `repair`.
    waits_for: Option<&'static str>,
    /// The command that says so.
    command: Option<String>,
    /// The number of the stage that it is in, from 0.
    stage: Option<usize>,
    /// How many stages there are.
    stages: usize,
    /// What is being done.
    task: Option<&'static str>,
    /// The endpoints that it is about.
    endpoints: Vec<String>,
    /// The new version's weight, in per cent.
    weight: f64,
    /// How long the stage has to last yet, in seconds.
    bake_left_seconds: Option<f64>,
    /// While it is held after its bake: how long that may last yet.
    hold_left_seconds: Option<f64>,
    /// What happens then: `pause` or `roll_back`.
    on_hold: Option<&'static str>,
    /// How many judged requests of the new version (in a sticky service: users) this step lacks, if that is why it is held.
    missing: Option<u64>,
    /// About how long they take at the pace of this step, in seconds.
    needed_in_seconds: Option<f64>,
    /// While nothing is judged because all endpoints of a version are cold: for how long yet.
    warm_up_left_seconds: Option<f64>,
    /// What is known of the plan's own metrics.
    metrics: Vec<MetricView>,
    /// What this step has counted of its guardrails.
    guardrails: Vec<GuardrailView>,
    /// What the judge has found about this service, in one sentence.
    sentence: String,
}

impl RolloutBrief {
    /// Of a rollout, for the service that `evidence` is about.
    #[must_use]
    pub fn of(view: &RolloutView, evidence: &EvidenceView) -> Self {
        let flag = view.flags.iter().find(|flag| flag.services.contains(&evidence.service));
        Self {
            id: view.id,
            group: view.group.clone(),
            flag: flag.map(|flag| flag.flag.clone()),
            from: flag.map_or(&view.from, |flag| &flag.from).clone(),
            to: flag.map_or(&view.to, |flag| &flag.to).clone(),
            phase: view.phase,
            paused_because: view.paused_because.clone(),
            waits_for: view.waits_for,
            command: view.command.clone(),
            stage: view.stage,
            stages: view.stages.len(),
            task: view.task,
            endpoints: view.endpoints.clone(),
            weight: view.weight,
            bake_left_seconds: view.bake_left_seconds,
            hold_left_seconds: view.hold_left_seconds,
            on_hold: view.on_hold.filter(|_| view.hold_left_seconds.is_some()),
            missing: evidence.missing(),
            needed_in_seconds: evidence.needed_in_seconds,
            warm_up_left_seconds: evidence.warm_up_left_seconds,
            metrics: evidence.metrics.clone(),
            guardrails: evidence.guardrails.clone(),
            sentence: evidence.sentence.clone(),
        }
    }
}

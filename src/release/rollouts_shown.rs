//! What metrics and services show of the rollouts, made anew with each look.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::brief::RolloutBrief;
use super::controller::{RolloutController, now_ms};
use super::evidence_view::EvidenceView;
use super::guardrail_view::GuardrailView;
use super::metric_view::MetricView;
use super::rollout_handle::{Order, OrderedBy, RolloutError};
use super::saved::Saved;
use super::view;
use super::view::RolloutView;
use crate::metrics::rollout_gauges::RolloutGauge;

/// How long a rollout that is over is in the metrics.
const SHOWN_AFTER_MS: i64 = 60_000;

impl RolloutController {
    /// Carries an order out and shows at once what came of it: who is answered may change the traffic, and is told what
    /// that pauses.
    pub(super) async fn order_and_show(
        &mut self,
        id: u64,
        order: Order,
        by: &OrderedBy,
    ) -> Result<RolloutView, RolloutError> {
        let done = self.order(id, order, by).await;
        self.show();
        done
    }

    /// Shows them, and notes what was found of them.
    pub(crate) fn show(&mut self) {
        // For a while, so that a scrape sees that it is over.
        let over = self.finished.values().filter(|saved| {
            saved.finished_at_ms.is_some_and(|at| now_ms() - at < SHOWN_AFTER_MS)
                && !self.running.values().any(|run| run.saved.services == saved.services)
        });
        let mut gauges: Vec<_> =
            over.flat_map(|saved| saved.evidence().iter().map(|evidence| gauge(saved, evidence, None))).collect();
        let mut briefs = BTreeMap::new();
        let (now, at_ms) = (self.now(), now_ms());
        for run in self.running.values_mut() {
            let view = run.view(now);
            run.note_point(&view, at_ms);
            gauges.extend(view.evidence.iter().map(|evidence| gauge(&run.saved, evidence, Some(&view))));
            let of_services = view.evidence.iter();
            briefs.extend(of_services.map(|evidence| (evidence.service.clone(), RolloutBrief::of(&view, evidence))));
        }
        self.gauges.send_replace(gauges);
        self.briefs.send_replace(Arc::new(briefs));
    }
}

fn gauge(saved: &Saved, evidence: &EvidenceView, under_way: Option<&RolloutView>) -> RolloutGauge {
    let tests = [
        ("alarm", Some(evidence.log10_alarm)),
        ("comparison", Some(evidence.log10_e)),
        ("errors", Some(evidence.log10_e_errors)),
        ("latency", evidence.log10_e_latency),
        ("errors_max", evidence.log10_e_errors_max),
        ("slow_max", evidence.log10_e_slow_max),
        ("responses", evidence.log10_e_responses),
        ("routes", evidence.log10_e_routes),
    ];
    let tests = tests.into_iter().filter_map(|(test, e)| Some((test, e?)));
    let (phase, need) = (view::phase_word(saved), saved.need());
    let of = |seconds: fn(&RolloutView) -> Option<f64>| under_way.and_then(seconds).unwrap_or(0.0);
    let live = |seconds: Option<f64>| seconds.filter(|_| under_way.is_some()).unwrap_or(0.0);
    let seconds_left = [
        ("warm_up", live(evidence.warm_up_left_seconds)),
        ("bake", of(|view| view.bake_left_seconds)),
        ("data", live(evidence.needed_in_seconds)),
        ("hold", of(|view| view.hold_left_seconds)),
        ("task", of(|view| view.task_left_seconds)),
    ];
    let missing = under_way.and_then(|_| evidence.missing()).unwrap_or(0);
    let hold = under_way.filter(|_| evidence.ruling == "hold").map(|_| evidence.why.clone());
    RolloutGauge {
        service: evidence.service.clone(),
        moves_split: saved.compared(&evidence.service).flag.is_none(),
        flags: saved.flags().map(str::to_owned).collect(),
        findings: evidence.responses.iter().map(|finding| finding.class.clone()).collect(),
        metrics: evidence.metrics.iter().map(MetricView::gauge).collect(),
        guardrails: evidence.guardrails.iter().map(GuardrailView::gauge).collect(),
        phase,
        need,
        hold,
        task: under_way.and_then(|view| view.task).map(|task| task.replace(' ', "_")),
        moved_at_ms: saved.events.last().map_or(saved.started_at_ms, |event| event.at_ms),
        missing,
        seconds_left: seconds_left.into(),
        evidence: tests.collect(),
    }
}

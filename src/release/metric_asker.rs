//! The asker of the plan's own metrics: one question at a time for each, at the pace that the plan says.
//!
//! A question is a task of its own with a time limit, because a metrics server that hangs must not keep the
//! controller's ticks waiting. What it says comes back as all answers do; the answer for a rollout that is over is
//! dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::active::ActiveRollout;
use super::controller::{RolloutController, now_ms};
use super::metric_schedule::MetricKey;
use super::task_answer::TaskAnswer;
use crate::outbound::prometheus::{MetricsCall, MetricsClient};
use crate::problem::chain;
use crate::rollout::judge::own_metric::{MetricAnswer, MetricQuestion, MetricSample, OwnMetric};
use crate::rollout::run::Phase;
use crate::table::Name;

/// A question that is due.
struct DueQuestion {
    key: MetricKey,
    metric: Arc<OwnMetric>,
    question: MetricQuestion,
    service: Name,
}

impl ActiveRollout {
    /// The questions that are due.
    fn due_questions(&mut self, now: Duration) -> Vec<DueQuestion> {
        if !matches!(self.rollout.phase(), Phase::Going { .. } | Phase::Paused { .. }) {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (service, (name, judge)) in self.services.iter().zip(self.rollout.judges()).enumerate() {
            for (number, metric) in judge.metrics().enumerate() {
                let key = MetricKey { service, metric: number };
                let Some(question) = judge.metric_question(number) else { continue };
                if self.asked.is_due(now, key, metric.interval) {
                    due.push(DueQuestion { key, metric: Arc::clone(metric), question, service: name.clone() });
                }
            }
        }
        due
    }
}

impl RolloutController {
    /// Asks what is due of a rollout.
    pub(crate) fn ask_metrics(&mut self, id: u64) {
        let now = self.now();
        let Some(run) = self.running.get(&id) else { return };
        if run.release.metrics.is_empty() || self.foreign(&run.saved).contains(&"metrics") {
            return;
        }
        let Some(run) = self.running.get_mut(&id) else { return };
        for DueQuestion { key, metric, question, service } in run.due_questions(now) {
            let names = run.compared(&service);
            let call = |version: &Name| MetricsCall {
                url: metric.url.clone(),
                query: metric.query_for(service.as_str(), version.as_str()),
                timeout: metric.timeout,
                token_file: metric.token_file.clone(),
            };
            let asked = AskedMetric {
                client: self.deps.metrics_client.clone(),
                step: question.step,
                candidate: question.candidate.then(|| call(names.candidate)),
                baseline: question.baseline.then(|| call(names.baseline)),
            };
            tokio::spawn(asked.answer(id, key, self.answers.0.clone()));
        }
    }
}

/// A question on its way.
struct AskedMetric {
    client: MetricsClient,
    step: u32,
    candidate: Option<MetricsCall>,
    baseline: Option<MetricsCall>,
}

impl AskedMetric {
    async fn answer(self, id: u64, key: MetricKey, answers: mpsc::Sender<TaskAnswer>) {
        let (candidate, baseline) =
            tokio::join!(sample(&self.client, self.candidate.as_ref()), sample(&self.client, self.baseline.as_ref()));
        let answer = MetricAnswer { at_ms: now_ms(), step: self.step, candidate, baseline };
        // The controller may be gone.
        answers.send(TaskAnswer::Metric { id, key, answer }).await.ok();
    }
}

async fn sample(client: &MetricsClient, call: Option<&MetricsCall>) -> Option<MetricSample> {
    let asked = client.ask(call?).await;
    Some(asked.map_err(|fault| chain(&fault).into()))
}

//! The gauges of a guardrail of a rollout.

use metrics::gauge;

use super::names;

/// What may be known of a guardrail, in the words of the API.
const STANDINGS: [&str; 5] = ["worse", "suspected", "lopsided", "too_few_users", "unharmed"];

/// A guardrail of a rollout under way, as plain values.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardrailGauge {
    /// The name of its metric.
    pub metric: String,
    /// What is known of it.
    pub standing: String,
    /// Users of each arm in this step.
    pub users: [(&'static str, u64); 2],
}

impl GuardrailGauge {
    /// Sets the gauges. Inside the local recorder.
    pub(crate) fn update(&self, service: &str) {
        let Self { metric, standing, users } = self;
        for known in STANDINGS {
            let is = if known == standing { 1.0 } else { 0.0 };
            let labels = [("service", service.to_owned()), ("metric", metric.clone()), ("standing", known.to_owned())];
            gauge!(names::ROLLOUT_GUARDRAIL, &labels).set(is);
        }
        for (arm, count) in users {
            let labels = [("service", service.to_owned()), ("metric", metric.clone()), ("arm", (*arm).to_owned())];
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
            gauge!(names::ROLLOUT_GUARDRAIL_USERS, &labels).set(*count as f64);
        }
    }
}

//! The gauges of rollouts under way.

use metrics::gauge;

use super::guardrail_gauge::GuardrailGauge;
use super::names;
use crate::rollout::event::Need;
use crate::shared::response_class::ResponseClass;

const PHASES: [&str; 5] = ["going", "waiting", "paused", "rolling_back", "finished"];

/// Why a step may be held, in the words of the API.
const HOLDS: [&str; 13] = [
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

/// What a metrics server may have said of one of the plan's own metrics, in the words of the API.
const ANSWERS: [&str; 3] = ["good", "bad", "no_data"];

/// One of the plan's own metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnMetricGauge {
    /// Its name.
    pub name: String,
    /// `good`, `bad` or `no_data`.
    pub answer: String,
    /// The numbers that are known: of the candidate, of the baseline, the limit.
    pub numbers: Vec<(&'static str, f64)>,
}

/// A rollout of a service, as plain values.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutGauge {
    /// The service.
    pub service: String,
    /// Whether the split of the service is moved; not shown.
    pub moves_split: bool,
    /// The flags that are moved by the same rollout; not shown.
    pub flags: Vec<String>,
    /// Its rollout's phase.
    pub phase: &'static str,
    /// Whom it waits for, by what they have to do.
    pub need: Option<Need>,
    /// Why it is held, if it is.
    pub hold: Option<String>,
    /// Judged requests, or users, that the step lacks.
    pub missing: u64,
    /// How long yet, by what.
    pub seconds_left: Vec<(&'static str, f64)>,
    /// log10 of E, by test.
    pub evidence: Vec<(&'static str, f64)>,
    /// Classes of responses that were found to be more.
    pub findings: Vec<String>,
    /// The plan's own metrics.
    pub metrics: Vec<OwnMetricGauge>,
    /// Its guardrails.
    pub guardrails: Vec<GuardrailGauge>,
}

/// Sets the gauges of every service that is being rolled out. Inside the local recorder.
pub(crate) fn update(gauges: &[RolloutGauge]) {
    let number = |is: bool| if is { 1.0 } else { 0.0 };
    for gauges in gauges {
        let RolloutGauge { service, phase, need, hold, missing, seconds_left, evidence, findings, metrics, .. } =
            gauges;
        for known in PHASES {
            gauge!(names::ROLLOUT_PHASE, "service" => service.clone(), "phase" => known).set(number(known == *phase));
        }
        for known in Need::ALL {
            let is = *need == Some(known);
            gauge!(names::ROLLOUT_WAITING, "service" => service.clone(), "need" => known.word()).set(number(is));
        }
        for known in HOLDS {
            let is = hold.as_deref() == Some(known);
            gauge!(names::ROLLOUT_HOLD, "service" => service.clone(), "why" => known).set(number(is));
        }
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        gauge!(names::ROLLOUT_MISSING, "service" => service.clone()).set(*missing as f64);
        for (of, seconds) in seconds_left {
            gauge!(names::ROLLOUT_SECONDS_LEFT, "service" => service.clone(), "of" => *of).set(*seconds);
        }
        for (test, log10) in evidence {
            gauge!(names::JUDGE_EVIDENCE, "service" => service.clone(), "test" => *test).set(*log10);
        }
        for class in ResponseClass::ALL.map(ResponseClass::word) {
            let is = findings.iter().any(|found| found == class);
            gauge!(names::JUDGE_FINDING, "service" => service.clone(), "class" => class).set(number(is));
        }
        metrics.iter().for_each(|metric| metric.update(service));
        gauges.guardrails.iter().for_each(|guardrail| guardrail.update(service));
    }
}

impl OwnMetricGauge {
    fn update(&self, service: &str) {
        let Self { name, answer, numbers } = self;
        for known in ANSWERS {
            let is = if known == answer { 1.0 } else { 0.0 };
            let labels = [("service", service.to_owned()), ("metric", name.clone()), ("answer", known.to_owned())];
            gauge!(names::ROLLOUT_METRIC, &labels).set(is);
        }
        for (of, number) in numbers {
            let labels = [("service", service.to_owned()), ("metric", name.clone()), ("of", (*of).to_owned())];
            gauge!(names::ROLLOUT_METRIC_NUMBER, &labels).set(*number);
        }
    }
}

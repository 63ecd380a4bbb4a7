//! The gauges of rollouts under way.

use std::collections::BTreeSet;

use metrics::{counter, gauge};

use super::guardrail_gauge::GuardrailGauge;
use super::names;
use crate::rollout::event::{Need, RolloutEnding};
use crate::rollout::judge::verdict::HoldReason;
use crate::rollout::stage::StageTask;
use crate::shared::response_class::ResponseClass;
use crate::stats::{EndingLabels, ReleaseStats};
use crate::table::Table;

const PHASES: [&str; 5] = ["going", "waiting", "paused", "rolling_back", "finished"];

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
    /// What is being done or waited for, if it is not the judge: a gate, or a part of a rolling release.
    pub task: Option<String>,
    /// When it last moved, in milliseconds since 1970.
    pub moved_at_ms: i64,
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
        let RolloutGauge { service, phase, need, hold, task, moved_at_ms, .. } = gauges;
        let RolloutGauge { missing, seconds_left, evidence, findings, metrics, .. } = gauges;
        for known in PHASES {
            gauge!(names::ROLLOUT_PHASE, "service" => service.clone(), "phase" => known).set(number(known == *phase));
        }
        for known in Need::ALL {
            let is = *need == Some(known);
            gauge!(names::ROLLOUT_WAITING, "service" => service.clone(), "need" => known.word()).set(number(is));
        }
        for known in HoldReason::WORDS {
            let is = hold.as_deref() == Some(known);
            gauge!(names::ROLLOUT_HOLD, "service" => service.clone(), "why" => known).set(number(is));
        }
        for known in StageTask::LABELS {
            let is = task.as_deref() == Some(known);
            gauge!(names::ROLLOUT_TASK, "service" => service.clone(), "task" => known).set(number(is));
        }
        #[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^52")]
        let (missing, moved_at) = (*missing as f64, *moved_at_ms as f64 / 1e3);
        gauge!(names::ROLLOUT_MISSING, "service" => service.clone()).set(missing);
        gauge!(names::ROLLOUT_MOVED_TIME, "service" => service.clone()).set(moved_at);
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

/// With more services than this that have versions to choose from, those whose rollouts never ended have no counters of
/// endings: there are some thirty of each service.
const IDLE_SERVICES_MAX: usize = 50;

/// Sets how rollouts ended; also at zero, for services that a rollout can be of. Inside the local recorder.
pub(crate) fn update_endings(stats: &ReleaseStats, table: &Table, under_way: &[RolloutGauge]) {
    let endings = stats.endings();
    let ready = table.services().filter(|service| service.versions.len() > 1).map(|service| service.spec.name.as_str());
    let ready: Vec<&str> = ready.collect();
    let idle = ready.iter().copied().filter(|_| ready.len() <= IDLE_SERVICES_MAX);
    let ended = endings.keys().map(|of| &*of.service).filter(|service| table.service_named(service).is_some());
    let known: BTreeSet<&str> = idle.chain(under_way.iter().map(|gauge| gauge.service.as_str())).chain(ended).collect();
    for service in known {
        for (ending, why) in RolloutEnding::words() {
            let count =
                endings.get(&EndingLabels { service: service.into(), ending, why }).copied().unwrap_or_default();
            let labels = [("service", service.to_owned()), ("ending", ending.to_owned()), ("why", why.to_owned())];
            counter!(names::ROLLOUT_ENDINGS, &labels).absolute(count);
        }
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

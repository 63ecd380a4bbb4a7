//! The plan's own metrics as they are shown, and stored with each event.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::metrics::rollout_gauges::OwnMetricGauge;
use crate::rollout::judge::Names;
use crate::rollout::judge::metric_text;
use crate::rollout::judge::own_metric::{MetricFinding, MetricStanding};

/// One of the plan's own metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricView {
    /// Its name.
    pub name: String,
    /// What is asked, with the service and the new version in it.
    pub query: String,
    /// `good`, `bad` or `no_data`.
    pub answer: String,
    /// The same with numbers, or why there is none, for people.
    pub text: String,
    /// The new version's number.
    pub value: Option<f64>,
    /// The old version's, if they are compared.
    pub baseline: Option<f64>,
    /// The limit.
    pub limit: Option<f64>,
    /// How many answers in a row were bad.
    pub bad_in_a_row: u32,
    /// It turns the version back at so many.
    pub failures: u32,
    /// When it answered last in this step, in milliseconds since 1970.
    pub at_ms: Option<i64>,
}

impl MetricView {
    /// What is shown of one.
    pub(crate) fn of(found: &MetricFinding, names: &Names<'_>) -> Self {
        let answer = match found.standing {
            MetricStanding::Good => "good",
            MetricStanding::Bad => "bad",
            MetricStanding::NoData(_) => "no_data",
        };
        Self {
            name: found.metric.name.as_str().to_owned(),
            query: found.metric.query_for(names.service, names.candidate),
            answer: answer.to_owned(),
            text: metric_text::told(found, names),
            value: found.value,
            baseline: found.baseline,
            limit: found.limit,
            bad_in_a_row: found.bad_in_a_row,
            failures: found.metric.failures,
            at_ms: found.at_ms,
        }
    }

    /// The same for the exporter.
    pub(crate) fn gauge(&self) -> OwnMetricGauge {
        let numbers = [("candidate", self.value), ("baseline", self.baseline), ("limit", self.limit)];
        let numbers = numbers.into_iter().filter_map(|(of, number)| Some((of, number?)));
        OwnMetricGauge { name: self.name.clone(), answer: self.answer.clone(), numbers: numbers.collect() }
    }
}

//! A metric, wherever one is defined: what is measured of a user, and where the numbers come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::kind::{MetricKind, RawBetter};
use crate::config::build::Build;
use crate::config::check::{self, every, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::Texts;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Setting, TimeSpan};
use crate::config::service::condition;
use crate::config::service::pattern::RawPattern;
use crate::experiment::definition::{MetricSource, MetricSpec};
use crate::experiment::estimate::Measure;
use crate::experiment::metric_result::{Better, MetricPlan};
use crate::problem::Mismatch;
use crate::table::Name;
use crate::table::spec::experiment::RequestMatch;
use crate::table::spec::health_check::StatusRange;

/// Two weeks: every day of the week is in twice, and most of what a user does because of what was seen.
pub(super) const WINDOW: TimeSpan = TimeSpan::secs(14 * 24 * 3600);

/// A year.
const WINDOW_MAX: TimeSpan = TimeSpan::secs(366 * 24 * 3600);

/// The longest name of an event, in bytes: it stands in each line of a log.
const EVENT_BYTES_MAX: usize = 100;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawExperimentMetric {
    name: Option<String>,
    kind: Option<MetricKind>,
    when: Option<RawRequestMatch>,
    event: Option<String>,
    denominator: Option<String>,
    covariate: bool,
    better: Option<RawBetter>,
    guardrail: bool,
    window: Option<Setting<TimeSpan>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawRequestMatch {
    method: Option<Texts>,
    path: Option<RawPattern>,
    status: Option<Setting<StatusRange>>,
}

/// Metrics that are no experiment's, by their names.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawExperimentMetric>,
    build: &mut Build<'_>,
) -> Result<BTreeMap<Name, Arc<MetricSpec>>, ErrorGuaranteed> {
    let all = ConfigPath::Root.key("metrics");
    let metrics = every(raw.iter().map(|(name, raw)| raw.build_alone(name, &all.key(name), build)))?;
    Ok(metrics.into_iter().collect())
}

impl RawExperimentMetric {
    /// The metric; `usual` is its window if it has none of its own.
    pub(super) fn build(
        &self,
        usual: TimeSpan,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<MetricSpec, ErrorGuaranteed> {
        let name = match self.name.as_deref() {
            Some(name) => check::name(name, &at.key("name"), &mut build.report),
            None => {
                let text = Mismatch::new("none", "what people call the metric", "add name = \"purchase\"");
                Err(build.report.missing(&at.key("name"), text))
            }
        };
        self.build_named(name, usual, at, build)
    }

    /// A metric that is called as its table is, and is there to be a guardrail.
    fn build_alone(
        &self,
        name: &str,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<(Name, Arc<MetricSpec>), ErrorGuaranteed> {
        let keys = [("name", self.name.is_some()), ("guardrail", self.guardrail), ("covariate", self.covariate)];
        for (key, _) in keys.into_iter().filter(|(_, written)| *written) {
            let wanted =
                "it in [[experiments.NAME.metrics]]: here the table is the name, and plans of releases name it";
            build.report.problem(&at.key(key), Mismatch::new(format!("{key} in [metrics]"), wanted, "remove it"));
        }
        let name = check::name(name, at, &mut build.report);
        let metric = self.build_named(name.clone(), WINDOW, at, build);
        Ok((name?, Arc::new(metric?)))
    }

    fn build_named(
        &self,
        name: Result<Name, ErrorGuaranteed>,
        usual: TimeSpan,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<MetricSpec, ErrorGuaranteed> {
        let measure = self.measure(at, &mut build.report);
        let source = self.source(at, build);
        let denominator = self.denominator(at, &mut build.report);
        let window = window(self.window, usual, &at.key("window"), &mut build.report);
        let plan = MetricPlan {
            name: name?.as_str().to_owned(),
            measure: measure?,
            better: self.better.map_or(Better::default(), Into::into),
            guardrail: self.guardrail,
        };
        let window_ms = u64::try_from(window?.0.as_millis()).unwrap_or(u64::MAX);
        Ok(MetricSpec { plan, source: source?, denominator: denominator?, window_ms })
    }

    fn measure(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Measure, ErrorGuaranteed> {
        match (self.kind, self.covariate) {
            (None, _) => {
                let wanted = "\"conversion\", \"mean\" or \"ratio\"";
                let text = Mismatch::new("none", wanted, "add kind = \"conversion\"");
                Err(report.missing(&at.key("kind"), text))
            }
            (Some(MetricKind::Conversion), false) => Ok(Measure::Conversion),
            (Some(MetricKind::Mean), false) => Ok(Measure::Mean),
            (Some(MetricKind::Mean), true) => Ok(Measure::AdjustedMean),
            (Some(MetricKind::Ratio), false) => Ok(Measure::Ratio),
            (Some(MetricKind::Conversion | MetricKind::Ratio), true) => {
                let wanted = "it of a mean only: what is known of users before adjusts a mean";
                Err(report.problem(&at.key("covariate"), Mismatch::new("true", wanted, "remove it")))
            }
        }
    }

    fn source(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<MetricSource, ErrorGuaranteed> {
        match (&self.when, &self.event) {
            (Some(when), None) => when.build(&at.key("when"), build).map(MetricSource::Request),
            (None, Some(event)) => event_name(event, &at.key("event"), &mut build.report).map(MetricSource::Event),
            (both, _) => {
                let found = if both.is_some() { "both of when and event" } else { "neither when nor event" };
                let wanted = "one of them: when for requests, event for events that are sent";
                let remedy = "write event = \"order_value\" or when = { method = \"POST\", path = \"/orders\" }";
                Err(build.report.missing(at, Mismatch::new(found, wanted, remedy)))
            }
        }
    }

    fn denominator(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Option<Box<str>>, ErrorGuaranteed> {
        let at = at.key("denominator");
        match (&self.denominator, self.kind == Some(MetricKind::Ratio)) {
            (None, false) => Ok(None),
            (Some(event), true) => event_name(event, &at, report).map(Some),
            (None, true) => {
                let text = Mismatch::new("none", "the event that a ratio divides by", "add denominator = \"order\"");
                Err(report.missing(&at, text))
            }
            (Some(event), false) => {
                let text = Mismatch::new(format!("{event:?}"), "it of a ratio only", "remove it");
                Err(report.problem(&at, text))
            }
        }
    }
}

impl RawRequestMatch {
    fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<RequestMatch, ErrorGuaranteed> {
        let methods = condition::texts(self.method.as_ref(), &at.key("method"), build, condition::method);
        let path = self.path.as_ref().map(|raw| condition::path(raw, &at.key("path"), build)).transpose();
        let statuses = vec![self.status.map_or(StatusRange::SUCCESS, |status| status.0)];
        let (methods, path) = (methods?, path?);
        if methods.is_empty() && path.is_none() {
            let wanted = "a method or a path, for every request would be a conversion";
            let text = Mismatch::new("neither", wanted, "add path = \"/orders\"");
            return Err(build.report.missing(at, text));
        }
        Ok(RequestMatch { methods, path, statuses })
    }
}

fn event_name(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Box<str>, ErrorGuaranteed> {
    let good = !text.is_empty() && text.len() <= EVENT_BYTES_MAX && !text.chars().any(char::is_control);
    let wanted = || format!("the name of an event, 1 to {EVENT_BYTES_MAX} bytes");
    if good {
        Ok(text.into())
    } else {
        Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted(), "rename it")))
    }
}

/// How long after its first exposure what a user does counts.
pub(super) fn window(
    raw: Option<Setting<TimeSpan>>,
    default: TimeSpan,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<TimeSpan, ErrorGuaranteed> {
    setting(raw, default, TimeSpan::secs(1)..=WINDOW_MAX, at, report)
}

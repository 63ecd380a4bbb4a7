//! `[[services.S.rollout.metrics]]`: questions of the plan to a metrics server.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Uri;
use serde::Deserialize;

use super::hook::placeholders;
use crate::config::build::Build;
use crate::config::check::{self, every, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{FromScalar, Quantity, Scalar, Setting, TimeSpan};
use crate::config::url::{self, UrlWords};
use crate::problem::{Mismatch, suggest};
use crate::rollout::judge::own_metric::{MetricBound, MetricLimit, MetricRule, OwnMetric};

/// As many questions has a plan at the most: each is asked four times a minute or more often.
const METRICS_MAX: usize = 20;

/// A query goes into the head of a request, which most servers take up to this size and more.
const QUERY_BYTES_MAX: usize = 4096;

/// Metrics servers scrape about that often; more questions hear the same answers.
const INTERVAL: TimeSpan = TimeSpan::secs(10);

/// Who asks more seldom does not watch.
const INTERVAL_MAX: TimeSpan = TimeSpan::secs(3_600);

/// A query that takes longer than this is one for a recording rule.
const TIMEOUT: TimeSpan = TimeSpan::secs(5);

/// One bad scrape is no proof, and half a minute is no time for users.
const FAILURES: Quantity = Quantity(3);

/// What is said of an address that is none.
const SERVER: UrlWords = UrlWords {
    wanted: "the base address of a Prometheus, such as \"http://prometheus.example.com:9090\"",
    user: "leave it out; a token may stand in a file that token_file names",
};

/// What stands in braces in queries.
const PLACEHOLDERS: [&str; 2] = ["version", "service"];

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawMetric {
    name: Option<String>,
    url: Option<String>,
    query: Option<String>,
    at_most: Option<Setting<Limit>>,
    at_least: Option<Setting<Limit>>,
    compare: Option<RawCompare>,
    failures: Option<Setting<Quantity>>,
    interval: Option<Setting<TimeSpan>>,
    timeout: Option<Setting<TimeSpan>>,
    token_file: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawCompare {
    at_most: Option<Setting<Times>>,
    at_least: Option<Setting<Times>>,
    slack: Option<Setting<Slack>>,
}

/// Any number.
#[derive(Clone, Copy, Debug)]
struct Limit(f64);

/// How many times what the old version has.
#[derive(Clone, Copy, Debug)]
struct Times(f64);

/// What is tolerated beyond that.
#[derive(Clone, Copy, Debug)]
struct Slack(f64);

/// A number of any size: what is counted elsewhere may be billions.
fn finite(scalar: Scalar<'_>) -> Option<f64> {
    let number = match scalar {
        Scalar::Text(_) => return None,
        #[expect(clippy::cast_precision_loss, reason = "a limit of 2^53 is none")]
        Scalar::Whole(number) => number as f64,
        Scalar::Fraction(number) => number,
    };
    Some(number).filter(|number| number.is_finite())
}

impl FromScalar for Limit {
    const WANTED: &'static str = "a number, such as 0.05";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        finite(scalar).map(Self)
    }
}

impl FromScalar for Times {
    const WANTED: &'static str = "a number above 0: how many times what the old version has, such as 1.2";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        finite(scalar).filter(|times| *times > 0.0).map(Self)
    }
}

impl FromScalar for Slack {
    const WANTED: &'static str = "a number of 0 or more: what is tolerated beyond that, such as 5";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        finite(scalar).filter(|slack| *slack >= 0.0).map(Self)
    }
}

/// All of them, in order.
pub(crate) fn build_all(
    raw: &List<RawMetric>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Arc<[Arc<OwnMetric>]>, ErrorGuaranteed> {
    let metrics = every(raw.iter().map(|(index, raw)| raw.build(&at.item(index), build).map(Arc::new)))?;
    if metrics.len() > METRICS_MAX {
        let text = Mismatch::new(metrics.len().to_string(), format!("{METRICS_MAX} at the most"), "remove some");
        return Err(build.report.problem(at, text));
    }
    let mut names = BTreeSet::new();
    for ((index, _), metric) in raw.iter().zip(&metrics) {
        if !names.insert(&metric.name) {
            let found = format!("{:?} for the second time", metric.name.as_str());
            let text = Mismatch::new(found, "each name once", "rename one of the two");
            return Err(build.report.problem(&at.item(index).key("name"), text));
        }
    }
    Ok(metrics.into())
}

impl RawMetric {
    fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<OwnMetric, ErrorGuaranteed> {
        let (base, report) = (build.base, &mut build.report);
        let name_at = at.key("name");
        let name = match self.name.as_deref() {
            Some(name) => check::name(name, &name_at, report),
            None => {
                let text = Mismatch::new("none", "what people call it", "add name = \"orders-failed\"");
                Err(report.missing(&name_at, text))
            }
        };
        let url = server(self.url.as_deref(), &at.key("url"), report);
        let query = query(self.query.as_deref(), &at.key("query"), report);
        let rule = self.rule(at, report);
        let failures = setting(self.failures, FAILURES, Quantity(1)..=Quantity(100), &at.key("failures"), report);
        let range = TimeSpan::secs(1)..=INTERVAL_MAX;
        let interval = setting(self.interval, INTERVAL, range, &at.key("interval"), report);
        // One question at a time.
        let longest = interval.map_or(INTERVAL_MAX, |interval| interval);
        let usual = if TIMEOUT > longest { longest } else { TIMEOUT };
        let timeout = setting(self.timeout, usual, TimeSpan::millis(1)..=longest, &at.key("timeout"), report);
        let token_file = check::secret_file(self.token_file.as_deref(), base, &at.key("token_file"), report);
        let (rule, query) = (rule?, query?);
        if matches!(rule.limit, MetricLimit::OfBaseline { .. }) && !query.contains(OwnMetric::VERSION) {
            let text = Mismatch::new(
                "no {version} in a query that is compared",
                "{version} where the query names the version: it is asked for both",
                "add it, or write at_most or at_least without compare",
            );
            return Err(report.problem(&at.key("query"), text));
        }
        Ok(OwnMetric {
            name: name?,
            url: url?,
            query,
            rule,
            failures: u32::try_from(failures?.0).unwrap_or(u32::MAX),
            interval: interval?.0,
            timeout: timeout?.0,
            token_file: token_file?,
        })
    }

    fn rule(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<MetricRule, ErrorGuaranteed> {
        let written = [self.at_most.is_some(), self.at_least.is_some(), self.compare.is_some()];
        match (&self.at_most, &self.at_least, &self.compare) {
            (Some(limit), None, None) => {
                Ok(MetricRule { bound: MetricBound::AtMost, limit: MetricLimit::Number(limit.0.0) })
            }
            (None, Some(limit), None) => {
                Ok(MetricRule { bound: MetricBound::AtLeast, limit: MetricLimit::Number(limit.0.0) })
            }
            (None, None, Some(compare)) => compare.rule(&at.key("compare"), report),
            _ if written.contains(&true) => {
                let remedy = "keep one; for both ends write two metrics";
                let text = Mismatch::new("several limits", "one of at_most, at_least, compare", remedy);
                Err(report.problem(at, text))
            }
            _ => {
                let remedy = "add at_most = 0.05, at_least = 100 or compare = { at_most = 1.2 }";
                let text = Mismatch::new("no limit", "one of at_most, at_least, compare", remedy);
                Err(report.missing(&at.key("at_most"), text))
            }
        }
    }
}

impl RawCompare {
    fn rule(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<MetricRule, ErrorGuaranteed> {
        let (bound, times) = match (self.at_most, self.at_least) {
            (Some(times), None) => (MetricBound::AtMost, times.0.0),
            (None, Some(times)) => (MetricBound::AtLeast, times.0.0),
            (both, _) => {
                let found = if both.is_some() { "both of at_most and at_least" } else { "no limit" };
                let wanted = "one of at_most, at_least: how many times what the old version has";
                let text = Mismatch::new(found, wanted, "write { at_most = 1.2 }");
                return Err(report.missing(&at.key("at_most"), text));
            }
        };
        let slack = self.slack.map_or(0.0, |slack| slack.0.0);
        Ok(MetricRule { bound, limit: MetricLimit::OfBaseline { times, slack } })
    }
}

/// The base address of a metrics server.
fn server(text: Option<&str>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Uri, ErrorGuaranteed> {
    let url = url::url(text, SERVER, at, report)?;
    let path = url.path().trim_end_matches('/');
    let wrong = if url.query().is_some() {
        Some(("a query in it", "write the query under query"))
    } else if path.ends_with("/api/v1/query") || path.ends_with("/api/v1") {
        Some(("the path of its API in it", "leave /api/v1/query out, it is added"))
    } else {
        None
    };
    wrong.map_or(Ok(url), |(found, remedy)| Err(report.problem(at, Mismatch::new(found, SERVER.wanted, remedy))))
}

fn query(text: Option<&str>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Box<str>, ErrorGuaranteed> {
    let Some(text) = text.map(str::trim) else {
        let remedy = "add query = \"sum(rate(orders_failed_total[1m]))\"";
        return Err(report.missing(at, Mismatch::new("none", "a query in PromQL that answers one number", remedy)));
    };
    let wrong = if text.is_empty() {
        Some(Mismatch::new("nothing", "a query in PromQL that answers one number", "write one"))
    } else if text.len() > QUERY_BYTES_MAX {
        let wanted = format!("{QUERY_BYTES_MAX} at the most");
        Some(Mismatch::new(format!("{} bytes", text.len()), wanted, "make it a recording rule of the server"))
    } else {
        // PromQL has no braces around a word alone.
        placeholders(text).find(|name| !PLACEHOLDERS.contains(name)).map(|name| {
            let remedy = suggest(name, PLACEHOLDERS)
                .map_or("write one of them".to_owned(), |meant| format!("did you mean {{{meant}}}?"));
            Mismatch::new(format!("{{{name}}}"), "{version}, {service} or a selector such as {job=\"shop\"}", remedy)
        })
    };
    wrong.map_or(Ok(text.into()), |wrong| Err(report.problem(at, wrong)))
}

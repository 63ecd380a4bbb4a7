//! `[services.S.versions.V] health = { ... }`: how a version's endpoints are checked.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use serde::Deserialize;

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{FromScalar, Quantity, Ratio, Scalar, Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::table::spec::health_check::{HealthSpec, StatusRange};

/// Half of the HAProxy-like 2 s below: a server that is slower than this is of no use to a user who waits.
const TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawHealth {
    path: Option<String>,
    method: Option<String>,
    host: Option<String>,
    interval: Option<Setting<TimeSpan>>,
    jitter: Option<Setting<Ratio>>,
    timeout: Option<Setting<TimeSpan>>,
    rise: Option<Setting<Quantity>>,
    fall: Option<Setting<Quantity>>,
    status: Option<List<Setting<StatusRange>>>,
}

impl RawHealth {
    pub(crate) fn build(
        &self,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Arc<HealthSpec>, ErrorGuaranteed> {
        let path = path(self.path.as_deref(), &at.key("path"), report);
        let method = method(self.method.as_deref(), &at.key("method"), report);
        let host = self.host(&at.key("host"), report);
        // As HAProxy's: with three failures an endpoint that hangs is out after 7 s.
        let (interval, range) = (self.interval, TimeSpan::millis(10)..=TimeSpan::secs(3600));
        let interval = setting(interval, TimeSpan::secs(2), range, &at.key("interval"), report);
        let timeout = interval.and_then(|interval| self.timeout(interval, &at.key("timeout"), report));
        // Two and three, as HAProxy's: one lost packet takes no endpoint out, one lucky answer brings none back.
        let mut checks = |raw, default, key: &str| {
            let count = setting(raw, Quantity(default), Quantity(1)..=Quantity(100), &at.key(key), report)?;
            Ok(u32::try_from(count.0).unwrap_or(u32::MAX))
        };
        let (rise, fall) = (checks(self.rise, 2, "rise"), checks(self.fall, 3, "fall"));
        let expect = statuses(self.status.as_ref(), &at.key("status"), report);
        Ok(Arc::new(HealthSpec {
            method: method?,
            path: path?,
            host: host?,
            interval: interval?.0,
            // Enough to spread checks that began together over an interval within ten of them.
            jitter: self.jitter.map_or(0.1, |jitter| jitter.0.0),
            timeout: timeout?,
            rise: rise?,
            fall: fall?,
            expect: expect?,
        }))
    }

    fn host(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Option<HeaderValue>, ErrorGuaranteed> {
        let Some(text) = &self.host else { return Ok(None) };
        let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
        let value = HeaderValue::from_str(text).ok().filter(|_| good);
        value.map(Some).ok_or_else(|| {
            let wanted = "a host such as \"shop.example.com\"";
            report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "leave the scheme and the path out"))
        })
    }

    fn timeout(
        &self,
        interval: TimeSpan,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Duration, ErrorGuaranteed> {
        let default = TimeSpan((interval.0 / 2).min(TIMEOUT));
        let timeout = setting(self.timeout, default, TimeSpan::millis(1)..=TimeSpan::secs(3600), at, report)?;
        if timeout.0 >= interval.0 {
            let remedy = "lower it, or raise interval";
            let text = Mismatch::new(
                format!("{timeout}"),
                format!("less than interval, {interval}, or checks overlap"),
                remedy,
            );
            return Err(report.problem(at, text));
        }
        Ok(timeout.0)
    }
}

/// What a request of ours asks for.
pub(crate) fn path(
    raw: Option<&str>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<PathAndQuery, ErrorGuaranteed> {
    let Some(text) = raw else {
        return Err(report.missing(at, Mismatch::new("none", "the path to ask for", "add path = \"/healthz\"")));
    };
    let path = text.parse().ok().filter(|_| text.starts_with('/'));
    path.ok_or_else(|| {
        let wanted = "a path that begins with \"/\" and has no spaces";
        report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "write it as \"/healthz\""))
    })
}

/// And how.
pub(crate) fn method(
    raw: Option<&str>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Method, ErrorGuaranteed> {
    let text = raw.unwrap_or("GET");
    match Method::from_bytes(text.as_bytes()) {
        // Method names differ by case, and a method of one's own is hardly meant here.
        Ok(method) if method != Method::CONNECT && text.bytes().all(|b| b.is_ascii_uppercase()) => Ok(method),
        Ok(_) | Err(_) => {
            let wanted = "a method such as \"GET\" or \"HEAD\"";
            Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "write it in capitals, or leave it out")))
        }
    }
}

/// The good statuses of its answer.
pub(crate) fn statuses(
    raw: Option<&List<Setting<StatusRange>>>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<StatusRange>, ErrorGuaranteed> {
    match raw {
        None => Ok(vec![StatusRange::SUCCESS]),
        Some(list) if list.is_empty() => {
            let text = Mismatch::new("none", "at least one", "add \"2xx\", or leave it out for that");
            Err(report.missing(at, text))
        }
        Some(list) => Ok(list.iter().map(|(_, status)| status.0).collect()),
    }
}

impl FromScalar for StatusRange {
    const WANTED: &'static str = r#"a status such as 200, or a class of them such as "2xx""#;

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Whole(status) => {
                let status = u16::try_from(status).ok().filter(|status| (200..600).contains(status))?;
                Some(Self { first: status, last: status })
            }
            Scalar::Text(class) => {
                let digit = class.strip_suffix("xx")?.parse().ok().filter(|digit| (2..6u16).contains(digit))?;
                Some(Self { first: digit * 100, last: digit * 100 + 99 })
            }
            Scalar::Fraction(_) => None,
        }
    }
}

//! `smoke`: requests of our own that the candidate has to answer well.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::config::build::Build;
use crate::config::check::{every, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Setting, TimeSpan};
use crate::config::{service::health, service::pattern};
use crate::problem::Mismatch;
use crate::rollout::release::SmokeRequest;
use crate::table::spec::health_check::StatusRange;

/// Headers that say how a message is framed or carried, which is not theirs to say.
const NOT_THEIRS: [&str; 7] =
    ["connection", "content-length", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawSmoke {
    path: Option<String>,
    method: Option<String>,
    headers: BTreeMap<String, String>,
    status: Option<List<Setting<StatusRange>>>,
    body: Option<String>,
    timeout: Option<Setting<TimeSpan>>,
}

/// All of them, in order.
pub(crate) fn build_all(
    raw: &List<RawSmoke>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<SmokeRequest>, ErrorGuaranteed> {
    every(raw.iter().map(|(index, raw)| raw.build(&at.item(index), build)))
}

impl RawSmoke {
    fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<SmokeRequest, ErrorGuaranteed> {
        let report = &mut build.report;
        let path = health::path(self.path.as_deref(), &at.key("path"), report);
        let method = health::method(self.method.as_deref(), &at.key("method"), report);
        let headers_at = at.key("headers");
        let headers = every(self.headers.iter().map(|(name, value)| header(name, value, &headers_at, report)));
        let expect = health::statuses(self.status.as_ref(), &at.key("status"), report);
        let range = TimeSpan::millis(1)..=TimeSpan::secs(3_600);
        // A check that a person would wait for.
        let timeout = setting(self.timeout, TimeSpan::secs(5), range, &at.key("timeout"), report);
        let body = self.body.as_deref().map(|text| pattern::regex(text, &at.key("body"), build)).transpose();
        Ok(SmokeRequest {
            method: method?,
            path: path?,
            headers: headers?,
            expect: expect?,
            body: body?,
            timeout: timeout?.0,
        })
    }
}

fn header(
    name: &str,
    value: &str,
    all: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(HeaderName, HeaderValue), ErrorGuaranteed> {
    let at = all.key(name);
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(report.problem(&at, Mismatch::new(format!("{name:?}"), "the name of a header", "correct it")));
    };
    if NOT_THEIRS.contains(&parsed.as_str()) {
        let text = Mismatch::new(format!("{name:?}, which belongs to the connection"), "other headers", "remove it");
        return Err(report.problem(&at, text));
    }
    match HeaderValue::from_str(value) {
        Ok(value) => Ok((parsed, value)),
        Err(_) => Err(report.problem(&at, Mismatch::new(format!("{value:?}"), "a line of visible text", "correct it"))),
    }
}

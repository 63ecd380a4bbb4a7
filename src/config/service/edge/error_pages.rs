//! `[[services.X.error_pages]]`: pages for errors of the proxy itself.

use std::fmt;
use std::ops::RangeInclusive;

use http::HeaderValue;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::page_files;
use crate::config::build::Build;
use crate::config::check::every;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;
use crate::table::spec::error_page::ErrorPage;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawErrorPage {
    status: List<RawErrorStatus>,
    html: Option<String>,
    json: Option<String>,
    text: Option<String>,
}

/// `503` or `"5xx"`.
#[derive(Clone, Debug)]
struct RawErrorStatus(String);

impl<'de> Deserialize<'de> for RawErrorStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ErrorStatusVisitor)
    }
}

struct ErrorStatusVisitor;

impl Visitor<'_> for ErrorStatusVisitor {
    type Value = RawErrorStatus;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status such as 503, or a class such as \"5xx\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawErrorStatus, E> {
        Ok(RawErrorStatus(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RawErrorStatus, E> {
        Ok(RawErrorStatus(number.to_string()))
    }
}

/// All pages, in order.
pub(crate) fn build_all(
    raw: &List<RawErrorPage>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<ErrorPage>, ErrorGuaranteed> {
    every(raw.iter().map(|(index, raw)| raw.build(&at.item(index), build)))
}

impl RawErrorPage {
    fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<ErrorPage, ErrorGuaranteed> {
        let status_at = at.key("status");
        let statuses = if self.status.is_empty() {
            Err(build.report.missing(&status_at, Mismatch::new("none", STATUSES, "add status = [\"5xx\"]")))
        } else {
            let each = self.status.iter();
            every(each.map(|(index, raw)| statuses(&raw.0, &status_at.item(index), &mut build.report)))
        };
        let mut content = |file: Option<&String>, key: &str, kind: &'static str| {
            let kind = HeaderValue::from_static(kind);
            file.map(|file| page_files::content(file, kind, &at.key(key), build)).transpose()
        };
        let html = content(self.html.as_ref(), "html", "text/html; charset=utf-8");
        let json = content(self.json.as_ref(), "json", "application/json");
        let text = content(self.text.as_ref(), "text", "text/plain; charset=utf-8");
        let page = ErrorPage { statuses: statuses?, html: html?, json: json?, text: text? };
        if page.html.is_none() && page.json.is_none() && page.text.is_none() {
            let mismatch = Mismatch::new("no file", "at least one of html, json and text", "add html = \"5xx.html\"");
            return Err(build.report.missing(at, mismatch));
        }
        Ok(page)
    }
}

const STATUSES: &str = "statuses of errors such as 503, \"4xx\" or \"5xx\"";

/// One status, or all of a class.
fn statuses(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<RangeInclusive<u16>, ErrorGuaranteed> {
    let one = || text.parse::<u16>().ok().filter(|status| (400..=599).contains(status)).map(|status| status..=status);
    let found = match text {
        "4xx" => Some(400..=499),
        "5xx" => Some(500..=599),
        _ => one(),
    };
    found.ok_or_else(|| report.problem(at, Mismatch::new(format!("{text:?}"), STATUSES, "correct it")))
}

//! `respond` of a rule: a page with a status, by text or by file.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::page_files;
use crate::config::build::Build;
use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Quantity, Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::table::spec::fixed_response::{FixedPage, PageContent};

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawRespond {
    status: Option<Setting<Quantity>>,
    text: Option<String>,
    file: Option<String>,
    content_type: Option<String>,
    retry_after: Option<Setting<TimeSpan>>,
}

/// Types by the ends of files.
const TYPES: [(&str, &str); 8] = [
    (".html", "text/html; charset=utf-8"),
    (".htm", "text/html; charset=utf-8"),
    (".json", "application/json"),
    (".xml", "application/xml"),
    (".css", "text/css; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".svg", "image/svg+xml"),
    (".txt", "text/plain; charset=utf-8"),
];

impl RawRespond {
    /// The page.
    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Arc<FixedPage>, ErrorGuaranteed> {
        let status = self.status(&at.key("status"), &mut build.report);
        let (retry_at, longest) = (at.key("retry_after"), TimeSpan::secs(31_536_000));
        let retry_after = self
            .retry_after
            .map(|span| check::setting(Some(span), span.0, TimeSpan::secs(1)..=longest, &retry_at, &mut build.report));
        let content = self.content(at, build);
        let (status, content) = (status?, content?);
        if !content.bytes.is_empty() && status == StatusCode::NO_CONTENT {
            let mismatch = Mismatch::new("204 with a content", "204 alone", "leave the content out, or write 200");
            return Err(build.report.problem(&at.key("status"), mismatch));
        }
        // A part of a second is a second for who waits.
        let whole = |span: TimeSpan| span.0.as_secs() + u64::from(span.0.subsec_nanos() > 0);
        Ok(Arc::new(FixedPage { status, content, retry_after: retry_after.transpose()?.map(whole) }))
    }

    fn status(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<StatusCode, ErrorGuaranteed> {
        let wanted = "a status from 200 to 599 that is no redirect";
        let Some(Setting(Quantity(number))) = self.status else {
            return Err(report.missing(at, Mismatch::new("none", wanted, "add status = 503")));
        };
        let status = u16::try_from(number).ok().filter(|number| matches!(number, 200..=299 | 400..=599));
        // 205 and 206 say something of a form and of a range that was asked for.
        let status =
            status.filter(|status| !matches!(status, 205 | 206)).and_then(|status| StatusCode::from_u16(status).ok());
        status.ok_or_else(|| {
            let remedy = if matches!(number, 300..=399) { "use redirect instead of respond" } else { "correct it" };
            report.problem(at, Mismatch::new(number.to_string(), wanted, remedy))
        })
    }

    fn content(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<PageContent, ErrorGuaranteed> {
        let kind = self.kind(&at.key("content_type"), &mut build.report)?;
        match (&self.text, &self.file) {
            (Some(_), Some(_)) => {
                let mismatch = Mismatch::new("it beside text", "one of the two", "remove one");
                Err(build.report.problem(&at.key("file"), mismatch))
            }
            (None, Some(file)) => page_files::content(file, kind, &at.key("file"), build),
            (text, None) => {
                let text = text.as_deref().unwrap_or_default();
                Ok(PageContent { kind, bytes: Bytes::copy_from_slice(text.as_bytes()) })
            }
        }
    }

    /// The type that is written, or that the end of the file's name says.
    fn kind(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<HeaderValue, ErrorGuaranteed> {
        let Some(text) = &self.content_type else {
            let file = self.file.as_deref().unwrap_or(".txt").to_ascii_lowercase();
            let known = TYPES.iter().find(|(end, _)| file.ends_with(end)).map(|(_, kind)| *kind);
            return Ok(HeaderValue::from_static(known.unwrap_or("application/octet-stream")));
        };
        let good = text.contains('/') && text.trim() == text;
        HeaderValue::from_str(text).ok().filter(|_| good).ok_or_else(|| {
            let wanted = "a media type such as \"text/html; charset=utf-8\"";
            report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "correct it"))
        })
    }
}

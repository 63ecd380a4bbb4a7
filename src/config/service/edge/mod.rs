//! What the edge of a service changes: `request_headers`, `response_headers`, `strip_prefix`, `replace_prefix` of a
//! service, a version or a rule, what a rule responds, and what a service wants to be asked by.

pub(crate) mod canonical;
pub(crate) mod cookie;
pub(crate) mod error_pages;
pub(crate) mod header_lines;
pub(crate) mod page_files;
pub(crate) mod prefix;
pub(crate) mod respond;
pub(crate) mod rule_redirect;
pub(crate) mod self_redirect;
pub(crate) mod told_clients;
pub(crate) mod variable_text;

use self::header_lines::{Direction, RawHeaderEdits};
use self::prefix::RawPrefixReplacement;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::table::spec::edge::MessageEdits;

/// The edits of a service, a version or a rule, as they stand there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawEdits<'a> {
    pub(crate) request_headers: Option<&'a RawHeaderEdits>,
    pub(crate) response_headers: Option<&'a RawHeaderEdits>,
    pub(crate) strip_prefix: Option<&'a str>,
    pub(crate) replace_prefix: Option<&'a RawPrefixReplacement>,
}

impl RawEdits<'_> {
    /// Whether there are any.
    pub(crate) fn is_some(self) -> bool {
        let Self { request_headers, response_headers, strip_prefix, replace_prefix } = self;
        request_headers.is_some() || response_headers.is_some() || strip_prefix.is_some() || replace_prefix.is_some()
    }

    /// The edits, as far as there are any.
    pub(crate) fn build(self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<MessageEdits, ErrorGuaranteed> {
        let mut lines = |raw: Option<&RawHeaderEdits>, direction: Direction| {
            raw.map_or(Ok(Vec::new()), |raw| raw.build(direction, &at.key(direction.key()), report))
        };
        let request = lines(self.request_headers, Direction::Request);
        let response = lines(self.response_headers, Direction::Response);
        let prefix = prefix::build(self.strip_prefix, self.replace_prefix, at, report);
        Ok(MessageEdits { request: request?, response: response?, prefix: prefix? })
    }
}

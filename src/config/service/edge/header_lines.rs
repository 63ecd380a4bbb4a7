//! `request_headers` and `response_headers`: lines that are set, added or removed.

use std::collections::BTreeMap;

use http::HeaderName;
use serde::Deserialize;

use super::variable_text;
use crate::config::check::every;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::{List, Texts};
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::service::sticky::is_token;
use crate::problem::Mismatch;
use crate::table::compiled_flag::FLAG_HEADER_PREFIX;
use crate::table::spec::edge::HeaderEdit;
use crate::table::spec::template::{Template, Variable};

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawHeaderEdits {
    set: BTreeMap<String, String>,
    add: BTreeMap<String, Texts>,
    remove: List<String>,
}

/// Which head is edited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// That of a request.
    Request,
    /// That of a response.
    Response,
}

impl Direction {
    /// Its key.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Request => "request_headers",
            Self::Response => "response_headers",
        }
    }
}

impl RawHeaderEdits {
    /// The edits, in the order in which they are made.
    pub(crate) fn build(
        &self,
        direction: Direction,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Vec<HeaderEdit>, ErrorGuaranteed> {
        let (set_at, add_at, remove_at) = (at.key("set"), at.key("add"), at.key("remove"));
        let remove =
            every(self.remove.iter().map(|(index, name)| {
                header_name(name, direction, &remove_at.item(index), report).map(HeaderEdit::Remove)
            }));
        let set = every(self.set.iter().map(|(name, text)| {
            let at = set_at.key(name);
            let (name, value) = (header_name(name, direction, &at, report), value(text, &at, report));
            Ok(HeaderEdit::Set(name?, value?))
        }));
        let add = every(self.add.iter().map(|(name, texts)| {
            let at = add_at.key(name);
            let name = header_name(name, direction, &at, report);
            let values = every(texts.each(&at, |at, text| value(text, at, report)));
            let (name, values) = (name?, values?);
            Ok(values.into_iter().map(move |value| HeaderEdit::Add(name.clone(), value)))
        }));
        let (remove, set, add) = (remove?, set?, add?);
        Ok(remove.into_iter().chain(set).chain(add.into_iter().flatten()).collect())
    }
}

/// The value of a line, which has at least one visible character.
fn value(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Template, ErrorGuaranteed> {
    if text.is_empty() || text.trim() != text {
        let remedy = "write it without spaces at its ends, or remove the line by remove";
        return Err(report.problem(at, Mismatch::new(format!("{text:?}"), "some text", remedy)));
    }
    variable_text::build(text, &Variable::OF_HEADERS, at, report)
}

/// The name of a line that may be edited.
fn header_name(
    text: &str,
    direction: Direction,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<HeaderName, ErrorGuaranteed> {
    // The type takes a quotation mark as well, which is none of a name (RFC 9110, 5.6.2).
    let Some(name) = HeaderName::from_bytes(text.as_bytes()).ok().filter(|name| is_token(name.as_str())) else {
        let mismatch = Mismatch::new(format!("{text:?}"), "the name of a header", "correct it");
        return Err(report.problem(at, mismatch));
    };
    match reserved(name.as_str(), direction) {
        None => Ok(name),
        Some((wanted, remedy)) => {
            Err(report.problem(at, Mismatch::new(format!("{:?}", name.as_str()), wanted, remedy)))
        }
    }
}

/// What is wanted instead of a name that frames a message, ends at a hop or says where a message comes from, and what
/// to do.
fn reserved(name: &str, direction: Direction) -> Option<(&'static str, &'static str)> {
    const FRAMES: &str = "another header: this one frames the message, and is written from what is sent";
    const HOP: &str = "another header: this one is about a connection, which is the proxy's own";
    const ORIGIN: &str = "another header: this one says where the request comes from, and is the proxy's to write";
    const OURS: &str = "another header: this one is written by the proxy itself";
    let remove = "leave it out";
    match name {
        "content-length" | "transfer-encoding" | "content-encoding" | "content-range" | "trailer" => {
            Some((FRAMES, remove))
        }
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "te"
        | "upgrade"
        | "http2-settings"
        | "expect"
        | "proxy-authenticate"
        | "proxy-authorization" => Some((HOP, remove)),
        "host" if direction == Direction::Request => {
            Some((ORIGIN, "leave it out; endpoints that want a host of their own can read x-forwarded-host"))
        }
        "forwarded" | "via" | "x-real-ip" => Some((ORIGIN, "leave it out, or set another name by {client}")),
        "x-request-id" => Some((OURS, "leave it out; request_id_to_clients tells clients, and endpoints have it")),
        "vary" if direction == Direction::Response => {
            // Removed or replaced, one version's page would reach users of the other.
            Some((OURS, "leave it out: endpoints say it, and cache_headers adds what decides between versions"))
        }
        "grpc-status" | "grpc-message" => Some((FRAMES, remove)),
        _ if name.starts_with("x-forwarded-") => Some((ORIGIN, "leave it out, or set another name by {client}")),
        _ if name.starts_with("x-pointsman-") => Some((OURS, "leave it out, or choose another name")),
        _ if name.starts_with(FLAG_HEADER_PREFIX) && direction == Direction::Request => {
            Some((OURS, "leave it out; flags of the service tells endpoints of flags"))
        }
        _ if name.starts_with("sec-websocket-") => Some((HOP, remove)),
        _ if name.contains('_') => Some(("a name without `_`, which many endpoints take for `-`", "write it with `-`")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_frame_or_spoof_are_reserved() {
        use Direction::{Request, Response};
        for name in [
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "upgrade",
            "te",
            "trailer",
            "expect",
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-prefix",
            "x-real-ip",
            "x-request-id",
            "x-pointsman-version",
            "sec-websocket-accept",
            "x_user",
            "content-encoding",
            "grpc-status",
        ] {
            assert!(reserved(name, Request).is_some() && reserved(name, Response).is_some(), "{name}");
        }
        assert!(reserved("host", Request).is_some() && reserved("x-flag-a", Request).is_some());
        assert!(reserved("vary", Response).is_some());
        for name in ["authorization", "x-env", "cache-control", "strict-transport-security", "set-cookie", "accept"] {
            assert!(reserved(name, Request).is_none() && reserved(name, Response).is_none(), "{name}");
        }
    }
}

//! The request that `POST /v1/explain` is asked about, as it was written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::Texts;
use crate::config::reader::report::Report;
use crate::message::Headers;
use crate::message::known_headers::HOST;
use crate::problem::Mismatch;
use crate::table::{BearerClaims, RequestView};

/// A request to explain.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct ExplainBody {
    /// The method; `GET` if left out.
    pub method: Option<String>,
    /// The host, with or without a port.
    #[schema(value_type = String)]
    pub host: Option<String>,
    /// The path with its query; `/` if left out.
    pub path: Option<String>,
    /// Headers: a value, or a list of values.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub headers: Option<BTreeMap<String, Texts>>,
    /// The address of the client; 127.0.0.1 if left out.
    pub client: Option<String>,
    /// Whether it is asked by https; not, if left out.
    pub https: Option<bool>,
}

/// The request as it was written.
#[derive(Debug)]
pub(super) struct AskedRequest {
    method: Method,
    pub(super) host: String,
    pub(super) path: String,
    query: Option<String>,
    pub(super) headers: Headers,
    client: IpAddr,
    /// Whether it is asked by https.
    pub(super) secure: bool,
}

impl AskedRequest {
    /// Reads it; what is wrong is reported, and stands for something in what is returned.
    pub(super) fn read(body: &ExplainBody, report: &mut Report<'_>) -> Self {
        let at = ConfigPath::Root;
        let host = body.host.as_deref().unwrap_or_default();
        if body.host.is_none() {
            report.missing(&at.key("host"), Mismatch::new("nothing", "a host", "add it"));
        }
        let text = body.method.as_deref().unwrap_or("GET");
        let method = Method::from_bytes(text.as_bytes()).unwrap_or_else(|_| {
            report.problem(&at.key("method"), Mismatch::new(format!("{text:?}"), "a method such as GET", "mend it"));
            Method::GET
        });
        let target = body.path.as_deref().unwrap_or("/");
        check_target(target, &at.key("path"), report);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let text = body.client.as_deref().unwrap_or("127.0.0.1");
        let client = text.parse().unwrap_or_else(|_| {
            let mismatch = Mismatch::new(format!("{text:?}"), "an address such as 10.0.0.1", "leave the port out");
            report.problem(&at.key("client"), mismatch);
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        });
        let mut headers = headers(body.headers.iter().flatten(), &at.key("headers"), report);
        if !headers.contains(HOST) {
            // As every request has it, for rules that ask for the header.
            headers.append(HOST, host);
        }
        let secure = body.https.unwrap_or(false);
        Self { method, host: without_port(host).to_owned(), path: path.to_owned(), query, headers, client, secure }
    }

    /// As the data path sees it.
    pub(super) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            host: &self.host,
            path: self.path.as_bytes(),
            query: self.query.as_deref().map(str::as_bytes),
            headers: &self.headers,
            client: self.client,
            claims: BearerClaims::AS_THEY_STAND,
        }
    }
}

/// What no request can have as its target.
fn check_target(target: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) {
    let mut wrong = |wanted: &str, remedy: &str| {
        report.problem(at, Mismatch::new(format!("{target:?}"), wanted, remedy));
    };
    if !target.starts_with('/') {
        wrong("a path that begins with /", "put a / before it");
    }
    if target.contains('#') {
        let remedy = "leave out what begins with '#': it is refused in HTTP/1.1, and cut off in HTTP/2";
        wrong("a path without a fragment", remedy);
    }
    if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        let remedy = "write it as %20, or as the code of the byte: it is refused in every request";
        wrong("a path without white space and control characters", remedy);
    }
}

fn headers<'b>(
    written: impl Iterator<Item = (&'b String, &'b Texts)>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Headers {
    let mut headers = Headers::default();
    for (name, values) in written {
        values.each(&at.key(name), |at, text| {
            match HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(text).ok()) {
                Some((name, value)) => headers.append_named(&name, &value),
                None => {
                    let wanted = "a header's name and a line of visible text";
                    report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "correct it"));
                }
            }
        });
    }
    headers
}

/// The host of `host:port`; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

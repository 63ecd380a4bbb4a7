//! `POST /v1/explain`: which version a request would get, and why, by the data path's own function.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::State;
use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::Texts;
use crate::config::reader::report::Report;
use crate::message::Headers;
use crate::message::known_headers::HOST;
use crate::problem::Mismatch;
use crate::table::effective::shares;
use crate::table::spec::Condition;
use crate::table::{
    Availability, BearerClaims, Candidate, Cause, Decision, RequestView, RouteError, Service, Takeover, decide,
};

use super::AdminApi;
use super::call::ApiCall;
use super::change_response::Tagged;
use super::jwt_view::JudgedToken;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::view::{key_source, percent};

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
}

/// Where a request goes, and why.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// The revision in force.
    revision: u64,
    /// The service; none: no service answers this host and path.
    service: Option<String>,
    /// The version that answers; none when chance decides or the request is refused.
    version: Option<String>,
    /// The version of the rule or the split, which is another one if that has no usable endpoint.
    assigned: Option<String>,
    /// The rule that decides.
    rule: Option<String>,
    /// Where the user's key comes from.
    key_from: Option<String>,
    /// The slot of the user's key.
    slot: Option<u32>,
    /// What keys are hashed with.
    salt: Option<String>,
    /// When chance decides: the versions and how likely they are, in per cent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    chances: BTreeMap<String, f64>,
    /// The attributes of the user that the rules of the service look at, as far as the request has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
    /// The segments that the rules of the service name, and whether each holds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    segments: BTreeMap<String, bool>,
    /// What became of the request's token, where a rule or the key looks at tokens: whether it is verified, good or
    /// not.
    token: Option<String>,
    /// Why the request would be refused.
    refused: Option<&'static str>,
    /// All of it in a sentence.
    why: String,
}

/// Explains the decision for a request.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "explain",
    path = "/v1/explain",
    tag = "state",
    request_body(content = ExplainBody, content_type = "application/json",
        example = r#"{"host": "shop.example.com", "path": "/cart", "headers": {"x-user-id": "42"}}"#),
    responses((status = 200, description = "The decision", body = Explanation), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Tagged<Explanation>, ProblemDetails> {
    let body: ExplainBody = call.read();
    let asked = Asked::read(&body, &mut call.report);
    let problems = call.report.into_problems();
    if !problems.is_empty() {
        return Err(ProblemDetails::of_problems(problems));
    }
    let table = admin.table();
    let now_ms = admin.exporter.sources().now_ms();
    // Chance is only looked at where it decides, and there the answer is the chances.
    let Ok(path) = table.forwarded_path(&asked.host, asked.path.as_bytes()) else {
        let why = "the service wants its paths normalised, and this one climbs above the root or is badly encoded";
        let refused = Explanation { refused: Some("bad_target"), why: why.to_owned(), ..Explanation::default() };
        return Ok(Tagged(table.revision, Explanation { revision: table.revision, ..refused }));
    };
    let service = table.find(&asked.host, &path).map(|index| table.service(index));
    let token = JudgedToken::of(admin.exporter.sources().jwt.as_deref(), service, &asked.headers);
    let view = RequestView { path: &path, claims: token.claims(), ..asked.view() };
    let explanation = match decide(&table, &view, 0, |version| availability(version, now_ms)) {
        Ok(decision) => explain(&decision, now_ms),
        Err(RouteError::NoService) => Explanation {
            refused: Some("no_service"),
            why: format!("no service answers host {:?} and path {:?}", asked.host, asked.path),
            ..Explanation::default()
        },
        Err(RouteError::NoVersion { service, assigned, .. }) => unavailable(service, assigned, now_ms),
    };
    let Matched { attributes, segments } = service.map(|service| Matched::of(service, &view)).unwrap_or_default();
    let explanation = explanation.with_token(token.said);
    let explanation = Explanation { revision: table.revision, attributes, segments, ..explanation };
    Ok(Tagged(table.revision, explanation))
}

/// What rules look at besides the request itself.
#[derive(Default)]
struct Matched {
    attributes: BTreeMap<String, String>,
    segments: BTreeMap<String, bool>,
}

impl Matched {
    fn of(service: &Service, view: &RequestView<'_>) -> Self {
        let mut matched = Self::default();
        for rule in &*service.rules {
            matched.add(&rule.when, view);
        }
        matched
    }

    fn add(&mut self, condition: &Condition, view: &RequestView<'_>) {
        for (attribute, _) in &condition.attributes {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let value = attribute.with_value(view, text);
            self.attributes.extend(value.map(|value| (attribute.name.to_string(), value)));
        }
        for segment in &condition.segments {
            self.segments.insert(segment.name.to_string(), segment.when.holds(view));
            self.add(&segment.when, view);
        }
    }
}

/// Whether a version answers. One that is only tried as the last resort does not: a request that tried would be told so.
fn availability(version: &Candidate<'_>, now_ms: u64) -> Availability {
    match version.availability(now_ms) {
        Availability::Ready => Availability::Ready,
        other @ (Availability::LastResort(_) | Availability::Out(_)) => other.after_attempt(),
    }
}

fn unavailable(service: &Service, assigned: u16, now_ms: u64) -> Explanation {
    let version = &service.versions[usize::from(assigned)];
    let (refused, why) = match version.availability(now_ms) {
        Availability::LastResort(takeover) => {
            let others = match takeover {
                Takeover::Bounded => ", and the other versions do not take over all of its requests yet",
                Takeover::Full => ", and no other version takes its requests over",
            };
            let refuses = "refuse connections (they are tried again all the time)";
            ("connect_failed", format!("the endpoints of {} {refuses}{others}", version.name))
        }
        Availability::Ready | Availability::Out(_) => {
            ("no_endpoint", "no version that may answer has a usable endpoint".to_owned())
        }
    };
    let (service, assigned) = (Some(service.spec.name.to_string()), Some(version.name.to_string()));
    Explanation { service, assigned, refused: Some(refused), why, ..Explanation::default() }
}

fn explain(decision: &Decision<'_>, now_ms: u64) -> Explanation {
    let service = decision.service;
    let assigned = &service.versions[usize::from(decision.assigned)].name;
    let known = Explanation {
        service: Some(service.spec.name.to_string()),
        salt: Some(service.traffic.salt.to_string()),
        ..Explanation::default()
    };
    let source = |index: u16| key_source(&service.spec.sticky[usize::from(index)]);
    let passed_on = match decision.failed_over() {
        true => format!("; {assigned} has no usable endpoint, so {} answers", decision.version().name),
        false => String::new(),
    };
    let certain = |why: String| Explanation {
        version: Some(decision.version().name.to_string()),
        assigned: Some(assigned.to_string()),
        why: format!("{why}{passed_on}"),
        ..known.clone()
    };
    match decision.cause {
        Cause::Rule(index) => {
            let rule = &service.rules[usize::from(index)].name;
            Explanation { rule: Some(rule.to_string()), ..certain(format!("rule {rule} picks {assigned}")) }
        }
        Cause::Key(index) if decision.new_key.is_none() => {
            let (key_from, slot) = (source(index), decision.slot);
            let at = slot.map_or_else(String::new, |slot| format!("slot {slot}, which {assigned} owns"));
            Explanation { slot, ..certain(format!("the key from {key_from} falls on {at}")) }.with_key(key_from)
        }
        Cause::Key(index) => {
            let why = "the request has no key: it gets a random one in our cookie and stays with that one's version";
            by_chance(service, now_ms, Explanation { why: why.to_owned(), ..known }).with_key(source(index))
        }
        Cause::Chance => {
            let why = "the request has no key: each such request is drawn anew";
            by_chance(service, now_ms, Explanation { why: why.to_owned(), ..known })
        }
    }
}

fn by_chance(service: &Service, now_ms: u64, known: Explanation) -> Explanation {
    let shares = shares(service, |version| version.availability(now_ms));
    let named = service.versions.iter().zip(shares).filter(|(_, share)| share.ratio > 0.0);
    let chances: BTreeMap<_, _> =
        named.map(|(version, share)| (version.name.to_string(), percent(share.ratio))).collect();
    let listed: Vec<_> = chances.iter().map(|(version, chance)| format!("{version} {chance} %")).collect();
    let why = format!("{} ({})", known.why, listed.join(", "));
    Explanation { chances, why, ..known }
}

impl Explanation {
    fn with_token(self, token: Option<String>) -> Self {
        let why = token.as_ref().map_or(String::new(), |said| format!("; its token is {said}"));
        Self { why: self.why + &why, token, ..self }
    }

    fn with_key(self, key_from: String) -> Self {
        Self { key_from: Some(key_from), ..self }
    }
}

/// The request as it was written.
#[derive(Debug)]
struct Asked {
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    headers: Headers,
    client: IpAddr,
}

impl Asked {
    fn read(body: &ExplainBody, report: &mut Report<'_>) -> Self {
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
        Self { method, host: without_port(host).to_owned(), path: path.to_owned(), query, headers, client }
    }

    fn view(&self) -> RequestView<'_> {
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

//! Reads a call: who, on what terms (`?dry_run`, `If-Match`), and the body.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use crate::control::change::Change;
use crate::control::handle::{ChangeRequest, OntoDead};
use crate::control::hold::HoldTerms;
use crate::problem::Problem;
use crate::table::{Name, Table};

use super::answer::{ChangeAnswer, Tagged};
use super::fields::{BodyFields, show};
use super::guard::Caller;
use super::problem::ProblemDetails;
use super::{AdminApi, hold, json};

/// The key of a change that says how requests wait for it.
pub(crate) const HOLD: &str = "hold";

/// The key of a change that is to be made also onto versions that are known to have no usable endpoint.
pub(crate) const FORCE: &str = "force";

/// The largest body: splits of some thousand services.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How much of a body that is too large is read before the connection is given up.
const BODY_BYTES_DRAINED: usize = 1024 * 1024;

/// The longest wait for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A call that has a body.
#[derive(Debug)]
pub(crate) struct ApiCall {
    /// The fields of the body.
    pub body: Map<String, Value>,
    /// What is wrong with the call so far.
    pub problems: Vec<Problem>,
    /// Whether new requests wait for the change.
    pub hold: Option<HoldTerms>,
    /// Whether versions may get requests that are known to have no usable endpoint.
    pub force: bool,
    caller: Caller,
    dry_run: bool,
    if_match: Option<u64>,
}

impl ApiCall {
    /// Begins to read the body, which has no other keys than `known` (none: any).
    pub(crate) fn fields<'a>(&mut self, body: &'a Map<String, Value>, known: Option<&[&str]>) -> BodyFields<'a> {
        BodyFields::of(body, known, std::mem::take(&mut self.problems))
    }

    /// The caller of a call that takes no `?dry_run` and no `If-Match`, unless something is wrong with it.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) fn unconditional(self, mut problems: Vec<Problem>) -> Result<Arc<str>, ProblemDetails> {
        if self.dry_run || self.if_match.is_some() {
            problems.push(no_condition(if self.dry_run { "?dry_run" } else { "If-Match" }));
        }
        if problems.is_empty() { Ok(self.caller.0) } else { Err(ProblemDetails::of_problems(problems)) }
    }

    /// The caller of a call that may be dry but takes no `If-Match`, which is a problem more of the call.
    pub(crate) fn author(self, problems: &mut Vec<Problem>) -> Arc<str> {
        if self.if_match.is_some() {
            problems.push(no_condition("If-Match"));
        }
        self.caller.0
    }

    /// Takes the body, and on what terms traffic is to be moved out of it. No version and no service is called like
    /// these keys ([`RESERVED_NAMES`](crate::config::RESERVED_NAMES)).
    pub(crate) fn body_of_a_move(&mut self) -> Map<String, Value> {
        let mut body = std::mem::take(&mut self.body);
        if let Some(value) = body.remove(HOLD).filter(|value| !value.is_null()) {
            self.hold = hold::terms(HOLD, &value, &mut self.problems);
        }
        if let Some(value) = body.remove(FORCE) {
            let alone = Map::from_iter([(FORCE.to_owned(), value)]);
            let mut fields = BodyFields::of(&alone, None, std::mem::take(&mut self.problems));
            self.force = fields.flag(FORCE);
            self.problems = fields.problems;
        }
        body
    }

    /// Whether the caller only wants to know what would happen.
    #[must_use]
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run
    }

    /// Asks the writer for `change`, unless something is wrong with the call.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn apply(
        self,
        admin: &AdminApi,
        (change, reason): (Option<Change>, Option<String>),
        problems: Vec<Problem>,
    ) -> Result<Tagged<ChangeAnswer>, ProblemDetails> {
        let Some(change) = change.filter(|_| problems.is_empty()) else {
            return Err(ProblemDetails::of_problems(problems));
        };
        let Self { dry_run, if_match, force, caller, hold, .. } = self;
        let author = caller.0.to_string();
        let onto_dead = OntoDead::forced(force);
        let request = ChangeRequest { change, dry_run, if_match, onto_dead, author, reason };
        let (applied, held) = match &hold {
            Some(terms) => admin.holds.apply(&admin.handle, request, terms).await?,
            None => (admin.handle.apply(request).await?, None),
        };
        let revision = applied.revision;
        let answer = ChangeAnswer::new(applied, dry_run, &admin.table(), admin.exporter.sources().now_ms());
        let answer = answer.with_rollouts(&admin.exporter.sources().rollouts.borrow());
        Ok(Tagged(revision, answer.with_hold(held)))
    }
}

impl FromRequest<Arc<AdminApi>> for ApiCall {
    type Rejection = ProblemDetails;

    async fn from_request(request: Request, _: &Arc<AdminApi>) -> Result<Self, ProblemDetails> {
        let mut problems = Vec::new();
        let query = query(request.uri(), &["dry_run"], &mut problems);
        let dry_run = match query.first() {
            None | Some((_, "false")) => false,
            Some((_, "true" | "")) => true,
            Some((_, other)) => {
                problems.push(Problem::invalid(
                    "?dry_run",
                    format!("{other:?}"),
                    "true or false",
                    "leave it out for false",
                ));
                false
            }
        };
        let if_match = if_match(request.headers(), &mut problems);
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.expect("the guard notes the caller of every request that it lets in");
        let body = read_body(request).await?;
        let Value::Object(body) = body else {
            problems.push(Problem::invalid("body", show(&body), "an object", "write {...}"));
            return Err(ProblemDetails::of_problems(problems));
        };
        Ok(Self { body, problems, hold: None, force: false, caller, dry_run, if_match })
    }
}

/// A condition where none can be.
fn no_condition(place: &str) -> Problem {
    Problem::invalid(place, "a condition", "none: this call is done or not done", "leave it out")
}

async fn read_body(request: Request) -> Result<Value, ProblemDetails> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let detail = format!("found content type {content_type:?}, want `Content-Type: application/json`");
        return Err(ProblemDetails::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", detail));
    }
    let problem = |status, word, detail: &str| Err(ProblemDetails::new(status, word, detail.to_owned()));
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, collect(request.into_body())).await {
        Ok(Ok(bytes)) if bytes.len() <= BODY_BYTES_MAX => bytes,
        Ok(Ok(_)) => {
            let detail = format!("found a larger body, want at most {BODY_BYTES_MAX} bytes; send several calls");
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &detail);
        }
        Ok(Err(error)) => {
            let detail = format!("the body ended early or is framed wrongly: {error}");
            return problem(StatusCode::BAD_REQUEST, "bad_body", &detail);
        }
        Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not come in time"),
    };
    json::parse(&bytes).map_err(|error| {
        ProblemDetails::new(StatusCode::BAD_REQUEST, "bad_json", format!("the body is not good JSON: {error}"))
    })
}

/// The body, or more of it than is allowed. What is too much is read and thrown away, within bounds: closing a
/// connection with unread bytes resets it, and the caller would never see the answer.
async fn collect(mut body: Body) -> Result<Vec<u8>, axum::Error> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        seen += data.len();
        if bytes.len() <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&data);
        }
        if seen > BODY_BYTES_DRAINED {
            break;
        }
    }
    Ok(bytes)
}

/// `"41"`, or `*` for any.
fn if_match(headers: &HeaderMap, problems: &mut Vec<Problem>) -> Option<u64> {
    let text = headers.get(IF_MATCH)?.to_str().unwrap_or("?").trim();
    if text == "*" {
        return None;
    }
    let revision = text.strip_prefix("W/").unwrap_or(text).trim_matches('"').parse().ok();
    if revision.is_none() {
        let remedy = "take it from the ETag of an answer";
        problems.push(Problem::invalid("If-Match", format!("{text:?}"), "a revision such as \"41\"", remedy));
    }
    revision
}

/// The parameters of the query, of which only `known` ones are good. Their values are words and numbers, so there is
/// nothing to decode.
pub(crate) fn query<'a>(uri: &'a Uri, known: &[&str], problems: &mut Vec<Problem>) -> Vec<(&'a str, &'a str)> {
    let pairs = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    for (key, value) in pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
        if !known.contains(&key) || parameters.iter().any(|(other, _)| *other == key) {
            let found = if known.contains(&key) { "a parameter twice" } else { "an unknown parameter" };
            let wanted = if known.is_empty() { "none".to_owned() } else { format!("only {}, once", known.join(", ")) };
            problems.push(Problem::invalid(format!("?{key}"), found, wanted, "leave it out"));
        }
        parameters.push((key, value));
    }
    parameters.retain(|(key, _)| known.contains(key));
    parameters
}

/// The segments of the path that stand for something, decoded.
#[derive(Debug)]
pub(crate) struct PathSegments<T>(pub T);

impl<T: serde::de::DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathSegments<T> {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProblemDetails> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(segments)| Self(segments)).map_err(|_rejected| {
            let detail = format!("{} cannot be decoded, want percent-encoded UTF-8", parts.uri.path());
            ProblemDetails::new(StatusCode::BAD_REQUEST, "bad_path", detail)
        })
    }
}

/// The service that a call names, or a problem at `place`. A text that is no name cannot be a service's either.
pub(crate) fn service(table: &Table, place: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Name> {
    let found = table.service_named(text).map(|service| service.spec.name.clone());
    if found.is_none() {
        let known = table.services().map(|service| service.spec.name.as_str());
        problems.push(Problem::no_service(place, text, known));
    }
    found
}

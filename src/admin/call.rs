//! Reads a call: its caller, its terms (`?dry_run`, `If-Match`), and the body.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::RESERVED_NAMES;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::read;
use crate::config::reader::report::Report;
use crate::config::reader::tree::Tree;
use crate::config::reader::units::{Setting, TimeSpan};
use crate::control::change::Change;
use crate::control::handle::{ChangeRequest, OntoDead};
use crate::control::hold_registry::HoldTerms;
use crate::problem::{Mismatch, Problem, ProblemKind, strict_json};
use crate::table::{Name, Service, Table};

use super::AdminApi;
use super::call_query::dry_run;
use super::change_response::{ChangeResponse, Tagged};
use super::guard::Caller;
use super::hold_body::HoldBody;
use super::problem::ProblemDetails;
use super::time_to_live::{end_of, lasts};

pub(crate) use super::call_query::query;

/// The key of a change that is to be made also onto versions that are known to have no usable endpoint.
pub(crate) const FORCE: &str = "force";

/// The longest reason, in bytes: it is kept for ever and shown in a line.
const REASON_BYTES_MAX: usize = 1024;

/// The largest body: splits of some thousand services.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How much of a body that is too large is read before the connection is given up.
const BODY_BYTES_DRAINED: usize = 1024 * 1024;

/// The longest wait for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A call that has a body.
pub(crate) struct ApiCall {
    /// What is wrong with the call so far.
    pub report: Report<'static>,
    /// Whether versions may get requests that are known to have no usable endpoint.
    pub force: bool,
    body: Map<String, Value>,
    /// Whether new requests wait for the change.
    hold: Option<HoldTerms>,
    /// How long the weights last that it sets, if not for good.
    lasts: Option<Duration>,
    caller: Caller,
    dry_run: bool,
    if_match: Option<u64>,
}

/// On what terms traffic is moved: what stands beside versions or services in the body of a split.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct MoveTerms {
    pub(crate) reason: Option<String>,
    pub(crate) hold: Option<HoldBody>,
    pub(crate) force: Option<bool>,
    pub(crate) ttl: Option<Setting<TimeSpan>>,
}

impl ApiCall {
    /// The body. What is wrong with it is reported, and is not in what is returned.
    pub(crate) fn read<T: DeserializeOwned + Default>(&mut self) -> T {
        let body = Value::Object(std::mem::take(&mut self.body));
        read::all(Tree::Json(&body), ConfigPath::Root, &mut self.report).unwrap_or_default()
    }

    /// Takes the terms of a move out of a body whose other keys are names of versions or services, and returns those.
    /// No version and no service is called like a term ([`RESERVED_NAMES`]).
    pub(crate) fn split(&mut self) -> (MoveTerms, Map<String, Value>) {
        let (terms, names) =
            std::mem::take(&mut self.body).into_iter().partition(|(key, _)| RESERVED_NAMES.contains(&key.as_str()));
        self.body = terms;
        (self.read(), names)
    }

    /// On what terms traffic is moved.
    pub(crate) fn moves(&mut self, hold: Option<&HoldBody>, force: Option<bool>) {
        let at = ConfigPath::Root.key("hold");
        self.hold = hold.map(|hold| hold.terms(&at, &mut self.report));
        self.force = force.unwrap_or_default();
    }

    /// How long the weights last that are set, if not for good.
    pub(crate) fn lasts(&mut self, ttl: Option<Setting<TimeSpan>>) {
        self.lasts = lasts(ttl, &mut self.report);
    }

    /// The reason of a change.
    pub(crate) fn reason(&mut self, written: Option<String>) -> Option<String> {
        let reason = written?.trim().to_owned();
        if reason.len() > REASON_BYTES_MAX {
            let found = format!("{} bytes", reason.len());
            let mismatch = Mismatch::new(found, format!("at most {REASON_BYTES_MAX} bytes"), "shorten it");
            self.report.problem(&ConfigPath::Root.key("reason"), mismatch);
        }
        (!reason.is_empty()).then_some(reason)
    }

    /// The caller of a call that takes no `?dry_run` and no `If-Match`, unless something is wrong with it.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) fn unconditional(self) -> Result<Arc<str>, ProblemDetails> {
        let (caller, problems) = self.author_of_unconditional();
        if problems.is_empty() { Ok(caller) } else { Err(ProblemDetails::of_problems(problems)) }
    }

    /// The caller of a call that takes no `?dry_run` and no `If-Match`, and everything that is wrong with the call.
    pub(crate) fn author_of_unconditional(mut self) -> (Arc<str>, Vec<Problem>) {
        if self.dry_run || self.if_match.is_some() {
            self.report.add(no_condition(if self.dry_run { "?dry_run" } else { "If-Match" }));
        }
        (self.caller.name, self.report.into_problems())
    }

    /// The caller of a call that may be dry but takes no `If-Match`, and everything that is wrong with the call.
    pub(crate) fn author(mut self) -> (Arc<str>, Vec<Problem>) {
        if self.if_match.is_some() {
            self.report.add(no_condition("If-Match"));
        }
        (self.caller.name, self.report.into_problems())
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
        change: Option<Change>,
        reason: Option<String>,
    ) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
        let problems = self.report.into_problems();
        let Some(change) = change.filter(|_| problems.is_empty()) else {
            return Err(ProblemDetails::of_problems(problems));
        };
        let Self { dry_run, if_match, force, caller, hold, lasts, .. } = self;
        let author = caller.name.to_string();
        let onto_dead = OntoDead::forced(force);
        let until_ms = lasts.map(end_of);
        let request = ChangeRequest { change, dry_run, if_match, onto_dead, author, reason, until_ms };
        let (applied, held) = match &hold {
            Some(terms) => admin.holds.apply(&admin.handle, request, terms).await?,
            None => (admin.handle.apply(request).await?, None),
        };
        let revision = applied.revision;
        let fleet = admin.exporter.sources().fleet.as_ref().filter(|_| applied.changed && !dry_run);
        let reached = match fleet {
            Some(fleet) => Some(fleet.reach(revision).await.into()),
            None => None,
        };
        let response = ChangeResponse::new(applied, dry_run, &admin.table(), admin.exporter.sources().now_ms());
        let response = response.with_rollouts(&admin.exporter.sources().rollouts.borrow());
        let mut response = response.with_hold(held);
        response.fleet = reached;
        Ok(Tagged(revision, response))
    }
}

impl FromRequest<Arc<AdminApi>> for ApiCall {
    type Rejection = ProblemDetails;

    async fn from_request(request: Request, _: &Arc<AdminApi>) -> Result<Self, ProblemDetails> {
        let mut problems = Vec::new();
        let dry_run = dry_run(request.uri(), &mut problems);
        let if_match = if_match(request.headers(), &mut problems);
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.expect("the guard notes the caller of every request that it lets in");
        let body = read_body(request).await?;
        let mut report = Report::of_call();
        report.extend(problems);
        let Value::Object(body) = body else {
            let found = match body {
                Value::Null | Value::Bool(_) | Value::Number(_) => body.to_string(),
                Value::String(_) => "a string".to_owned(),
                Value::Array(_) | Value::Object(_) => "a list".to_owned(),
            };
            report.add(Problem::invalid("body", found, "an object", "write {...}"));
            return Err(ProblemDetails::of_problems(report.into_problems()));
        };
        Ok(Self { report, force: false, body, hold: None, lasts: None, caller, dry_run, if_match })
    }
}

/// A condition where none can be.
fn no_condition(place: &str) -> Problem {
    Problem::invalid(place, "a condition", "none: this call is done or not done", "leave it out")
}

/// A body as it was sent, of no more bytes than this.
#[derive(Debug)]
pub(crate) struct RawBody<const BYTES_MAX: usize>(pub Vec<u8>);

impl<S: Send + Sync, const BYTES_MAX: usize> FromRequest<S> for RawBody<BYTES_MAX> {
    type Rejection = ProblemDetails;

    async fn from_request(request: Request, _: &S) -> Result<Self, ProblemDetails> {
        read_bytes(request, BYTES_MAX).await.map(Self)
    }
}

/// The JSON of a body.
pub(crate) async fn read_body(request: Request) -> Result<Value, ProblemDetails> {
    let bytes = read_bytes(request, BODY_BYTES_MAX).await?;
    strict_json::parse(&bytes).map_err(|error| {
        let detail = match bytes.trim_ascii() {
            [] => "the body is empty, want an object; send {} when there is nothing to say".to_owned(),
            _ if error.is_eof() => format!("the JSON of the body is cut off ({error}); send all of it"),
            _ => format!("the body is not good JSON: {error}"),
        };
        ProblemDetails::new(StatusCode::BAD_REQUEST, "bad_json", detail)
    })
}

/// The bytes of a body that is said to be JSON.
async fn read_bytes(request: Request, bytes_max: usize) -> Result<Vec<u8>, ProblemDetails> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let detail = format!("found content type {content_type:?}, want `Content-Type: application/json`");
        return Err(ProblemDetails::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", detail));
    }
    let problem = |status, word, detail: &str| Err(ProblemDetails::new(status, word, detail.to_owned()));
    match tokio::time::timeout(BODY_TIMEOUT, collect(request.into_body(), bytes_max)).await {
        Ok(Ok(bytes)) if bytes.len() <= bytes_max => Ok(bytes),
        Ok(Ok(_)) => {
            let detail = format!("found a larger body, want at most {bytes_max} bytes; send several calls");
            problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &detail)
        }
        Ok(Err(error)) => {
            let detail = format!("the body ended early or is framed wrongly: {error}");
            problem(StatusCode::BAD_REQUEST, "bad_body", &detail)
        }
        Err(_) => problem(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not come in time"),
    }
}

/// The body, or more of it than is allowed. What is too much is read and thrown away, within bounds: closing a
/// connection with unread bytes resets it, and the caller would never see the answer.
async fn collect(mut body: Body, bytes_max: usize) -> Result<Vec<u8>, axum::Error> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        seen += data.len();
        if bytes.len() <= bytes_max {
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

/// What a call says that takes no parameters: nothing.
#[derive(Debug)]
pub(crate) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ProblemDetails> {
        let mut problems = Vec::new();
        query(&parts.uri, &[], &mut problems);
        if problems.is_empty() { Ok(Self) } else { Err(ProblemDetails::of_problems(problems)) }
    }
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

/// The service that a call names at `path`. A text that is no name cannot be a service's either.
///
/// # Errors
/// That there is none.
pub(crate) fn service<'t>(table: &'t Table, path: &str, text: &str) -> Result<&'t Service, Problem> {
    let known = table.services().map(|service| service.spec.name.as_str());
    table.service_named(text).ok_or_else(|| Problem::no_service(path, text, known))
}

/// The version that a call names at `path`; `kind` is of the problem that there is none.
///
/// # Errors
/// That there is none.
pub(crate) fn version(service: &Service, kind: ProblemKind, path: &str, text: &str) -> Result<Name, Problem> {
    let found = service.version_named(text).map(|version| version.name.clone());
    let known = service.versions.iter().map(|version| version.name.as_str());
    found.ok_or_else(|| Problem::no_version(kind, path, text, known))
}

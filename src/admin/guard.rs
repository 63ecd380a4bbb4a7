//! The guard before every call: is the host ours, the page ours, the token good?
//!
//! Probes need neither host nor token: an orchestrator asks by address. Metrics and the files of the
//! [console] need no token, but a known host; nor does the hook of a forge, which is signed. What is refused is
//! counted; a login that failed leaves a line in the log as well, and an address has
//! [only a limited number](super::logins).

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::AdminApi;
use super::access::Access;
use super::call_query::{DryCalls, says_dry_run};
use super::console;
use super::logins::{DELAY, TooMany};
use super::problem::ProblemDetails;
use super::serve::ClientCertificate;
use super::visit::{Origin, Visit};
use crate::stats::AdminRefused;
use crate::tokens::AccessRole;

/// Where forges say that there is something new: they have a secret of their own, and no token.
pub(crate) const HOOK_PATH: &str = "/v1/gitops/hook";

/// What the guard knows.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) admin: Arc<AdminApi>,
    /// The calls that change nothing if they say so.
    pub(crate) dry: DryCalls,
}

/// Who made a call.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name in the config, which is the author of revisions.
    pub name: Arc<str>,
    /// What it may do.
    pub role: AccessRole,
}

/// Why a call is not let in.
struct Rejection {
    reason: AdminRefused,
    problem: ProblemDetails,
    /// When the next try makes sense, if it came with one wrong token too many.
    too_many: Option<TooMany>,
}

impl Rejection {
    fn new(reason: AdminRefused, status: StatusCode, detail: String) -> Self {
        // A client cannot do anything about which of them it was.
        let told = if status == StatusCode::UNAUTHORIZED { AdminRefused::NoToken } else { reason };
        Self { reason, problem: ProblemDetails::new(status, told.word(), detail), too_many: None }
    }

    fn too_many(too_many: TooMany) -> Self {
        let detail = "this address has sent too many wrong tokens; wait, use the unix socket or another address";
        let refused = Self::new(AdminRefused::TooManyLogins, StatusCode::TOO_MANY_REQUESTS, detail.to_owned());
        Self { too_many: Some(too_many), ..refused }
    }

    /// Whether a client tried to log in.
    fn is_login(&self) -> bool {
        matches!(self.reason, AdminRefused::BadToken | AdminRefused::UnknownClient | AdminRefused::TooManyLogins)
    }

    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        if let Some(TooMany { wait }) = self.too_many {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// The middleware.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let admin = &guard.admin;
    // A client that sends many calls at once has one answered, and then others have their turn.
    yield_now().await;
    let mut response = match check(&guard, &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let response = next.run(request).await;
            if response.status() == StatusCode::REQUEST_TIMEOUT {
                admin.refused(AdminRefused::BodyTimeout);
            }
            response
        }
        Err(rejection) => {
            admin.refused(rejection.reason);
            if rejection.is_login() {
                told(&admin.access, &request, rejection.reason);
            }
            if let Some(visit) = request.extensions().get::<Arc<Visit>>()
                && rejection.too_many.is_some()
                && visit.origin.is_local()
            {
                // The connection is one that waits, and not one that we work on: others may have its place.
                visit.responded(Instant::now());
                sleep(DELAY).await;
            }
            rejection.into_response()
        }
    };
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A line for a login that failed, unless there were too many of them just now.
fn told(access: &Access, request: &Request, reason: AdminRefused) {
    let Some(left_out) = access.logins().line(Instant::now()) else { return };
    let from = request.extensions().get::<Arc<Visit>>().map_or("unknown", |visit| &visit.from);
    let (method, path, reason) = (request.method().as_str(), request.uri().path(), reason.word());
    tracing::warn!(from, reason, method, path, left_out, "a login to the admin API failed");
}

fn check(guard: &Guard, request: &Request) -> Result<Caller, Rejection> {
    let (access, path) = (&*guard.admin.access, request.uri().path());
    let headers = request.headers();
    let probe = matches!(path, "/healthz" | "/readyz");
    // A target in absolute form names the host in the line, and the header must not be believed then.
    let host = request.uri().authority().map(|authority| authority.as_str()).or_else(|| text(headers, &HOST));
    if !probe && !access.knows_host(host.unwrap_or("")) {
        let detail = format!("found host {:?}, want our own address or one of admin.hosts", host.unwrap_or(""));
        return Err(Rejection::new(AdminRefused::UnknownHost, StatusCode::FORBIDDEN, detail));
    }
    if headers.contains_key(ORIGIN) && !text(headers, &ORIGIN).is_some_and(|origin| access.knows_origin(origin)) {
        let detail = "found a call from a page of another site, want none (admin.hosts lists ours)".to_owned();
        return Err(Rejection::new(AdminRefused::UnknownOrigin, StatusCode::FORBIDDEN, detail));
    }
    if probe || path == HOOK_PATH || path == "/metrics" || console::is_below(path) {
        return Ok(Caller { name: "nobody".into(), role: AccessRole::Read });
    }
    let (name, role) = login(access, request)?;
    if role < needed(request, &guard.dry) {
        let detail = format!("{name} has the role read, want operate for {} {path}", request.method());
        return Err(Rejection::new(AdminRefused::WrongRole, StatusCode::FORBIDDEN, detail));
    }
    Ok(Caller { name, role })
}

/// Who it is, and what it may do.
fn login(access: &Access, request: &Request) -> Result<(Arc<str>, AccessRole), Rejection> {
    let visit = request.extensions().get::<Arc<Visit>>();
    let origin = visit.map_or(Origin::Loopback, |visit| visit.origin);
    let certificate = request.extensions().get::<ClientCertificate>().map(|ClientCertificate(name)| &**name);
    let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let now = Instant::now();
    if authorization.is_some() && !access.is_open() {
        access.logins().may_try(origin, now).map_err(Rejection::too_many)?;
    }
    if let Some(caller) = access.caller(authorization, certificate) {
        if !access.is_open() {
            access.logins().good(origin, now);
            visit.iter().for_each(|visit| visit.known());
        }
        return Ok(caller);
    }
    let (reason, detail) = match (authorization, certificate) {
        (Some(secret), _) => {
            access.logins().wrong(origin, secret, now).map_err(Rejection::too_many)?;
            (AdminRefused::BadToken, certificate.map(nobody))
        }
        (None, Some(name)) => (AdminRefused::UnknownClient, Some(nobody(name))),
        (None, None) => (AdminRefused::NoToken, None),
    };
    let anybody = || "want a token of admin.tokens: `Authorization: Bearer TOKEN`, or a client certificate".to_owned();
    Err(Rejection::new(reason, StatusCode::UNAUTHORIZED, detail.unwrap_or_else(anybody)))
}

fn nobody(certificate: &str) -> String {
    format!("found a certificate of {certificate:?} and no good token, want one of admin.clients")
}

/// A caller that may look may also ask why, and what would happen if.
fn needed(request: &Request, dry: &DryCalls) -> AccessRole {
    let (method, path) = (request.method(), request.uri().path());
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => AccessRole::Read,
        _ if matches!(path, "/v1/explain" | "/v1/simulate") || is_evaluation(method, path) => AccessRole::Read,
        _ if is_dry_run(request, dry) => AccessRole::Read,
        _ => AccessRole::Operate,
    }
}

/// Whether a call changes nothing: it says so, and goes where that counts.
fn is_dry_run(request: &Request, dry: &DryCalls) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    says_dry_run(request.uri()) && route.is_some_and(|route| dry.has(request.method(), route.as_str()))
}

/// Whether a call only asks which variant of a flag a user gets.
fn is_evaluation(method: &Method, path: &str) -> bool {
    let flag = path.strip_prefix("/v1/flags/").and_then(|rest| rest.strip_suffix("/evaluate"));
    *method == Method::POST && flag.is_some_and(|flag| !flag.contains('/'))
}

/// The value of a header that is there once.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

//! Asked at each request, before anything else: is the host ours, the page ours, the token good?
//!
//! Probes need neither host nor token: an orchestrator asks by address. Metrics need no token, but a known host.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::access::{Access, Role};
use super::problem::Problem;
use super::serve::ClientCertificate;

/// Who made a call.
#[derive(Clone, Debug)]
pub struct Caller(pub Arc<str>);

/// The middleware.
pub async fn guard(State(admin): State<Arc<Admin>>, mut request: Request, next: Next) -> Response {
    let mut response = match check(&admin.access, &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn check(access: &Access, request: &Request) -> Result<Caller, Problem> {
    let path = request.uri().path();
    let headers = request.headers();
    let probe = matches!(path, "/healthz" | "/readyz");
    // A target in absolute form names the host in the line, and the header must not be believed then.
    let host = request.uri().authority().map(|authority| authority.as_str()).or_else(|| text(headers, &HOST));
    if !probe && !access.knows_host(host.unwrap_or("")) {
        let detail = format!("found host {:?}, want our own address or one of admin.hosts", host.unwrap_or(""));
        return Err(Problem::new(StatusCode::FORBIDDEN, "unknown_host", detail));
    }
    if headers.contains_key(ORIGIN) && !text(headers, &ORIGIN).is_some_and(|origin| access.knows_origin(origin)) {
        let detail = "found a call from a page of another site, want none (admin.hosts lists ours)".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, "unknown_origin", detail));
    }
    if probe || path == "/metrics" {
        return Ok(Caller("nobody".into()));
    }
    let certificate = request.extensions().get::<ClientCertificate>().map(|ClientCertificate(name)| &**name);
    let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let (name, role) = access.caller(authorization, certificate).ok_or_else(|| {
        let detail = match certificate {
            None => "want a token of admin.tokens: `Authorization: Bearer TOKEN`, or a client certificate".to_owned(),
            Some(name) => format!("found a certificate of {name:?} and no good token, want one of admin.clients"),
        };
        Problem::new(StatusCode::UNAUTHORIZED, "no_token", detail)
    })?;
    if role < needed(request.method(), path) {
        let detail = format!("{name} has the role read, want operate for {} {path}", request.method());
        return Err(Problem::new(StatusCode::FORBIDDEN, "wrong_role", detail));
    }
    Ok(Caller(name))
}

/// Whoever may look may also ask why.
fn needed(method: &Method, path: &str) -> Role {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Role::Read,
        _ if path == "/v1/explain" => Role::Read,
        _ => Role::Operate,
    }
}

/// The value of a header that is there once.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

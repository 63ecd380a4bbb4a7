//! The step that answers calls for flags (OFREP), on listeners that do.
//!
//! It stands between admission and routing: head, client and rate have been looked at as for every request, and nothing
//! goes to an endpoint. On the listener of a site the call is decided as a request of its service would be, so its user
//! is the one that a page of the site has, whatever the call says; where that gives the user a new key, the response
//! sets it.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;

use super::admit::Admitted;
use super::admit::resolved_target::{ClientView, ResolvedTarget};
use super::bearer;
use super::call_body;
use super::context::RequestContext;
use super::flag_headers::seconds;
use super::header_edits::set_own_cookie;
use super::local_reply::LocalReply;
use super::own_request::OwnRequest;
use super::user_trials;
use crate::flags::user::FlagUser;
use crate::flags::{KnownUser, RequestUser};
use crate::message::known_headers::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LAST_EVENT_ID, RETRY_AFTER, WWW_AUTHENTICATE,
    X_ACCEL_BUFFERING,
};
use crate::message::{RequestHead, Response};
use crate::ofrep::cross_origin::{RequestOrigin, asks_for_permission};
use crate::ofrep::evaluation_body::{BulkBody, WithoutKey, bulk, single};
use crate::ofrep::evaluation_context::{CONTEXT_BYTES_MAX, EvaluationContext};
use crate::ofrep::flag_listener::{FlagListener, UserSource};
use crate::ofrep::keyless_user::KeylessUser;
use crate::ofrep::protocol_call::ProtocolCall;
use crate::ofrep::protocol_error::ProtocolError;
use crate::proxy::body::event_body::EventBody;
use crate::proxy::body::response_body::ResponseBody;
use crate::stats::{FlagCallOutcome, RejectReason};
use crate::table::key::{OwnKey, bearer_token};
use crate::table::spec::own_cookie::OwnCookieSpec;
use crate::table::{Cause, Decision, RouteError, Table, decide_at};

/// When it is worth to ask for a stream of events again, in seconds.
const STREAM_RETRY_AFTER: &str = "5";

/// What was asked for.
enum FlagAnswer {
    /// One flag.
    Single(String),
    /// All of them.
    Bulk(BulkBody),
}

/// Responds to a call.
///
/// # Errors
/// The local reply when its body breaks or does not come, or its host has no service.
pub(crate) async fn respond(
    listener: &FlagListener,
    request: OwnRequest<'_>,
    context: &RequestContext,
) -> Result<Response<ResponseBody>, LocalReply> {
    let headers = &request.head.headers;
    let origin = match &listener.users {
        UserSource::Request => None,
        UserSource::Context { origins, .. } => Some(origins.origin(headers)),
    };
    let call = ProtocolCall::of(&request.head.method, request.head.target.path());
    let flag = if let ProtocolCall::Single(flag) = &call { Some(flag.clone()) } else { None };
    let responded = match origin {
        Some(RequestOrigin::Foreign) => Err(ProtocolError::foreign_origin()),
        Some(RequestOrigin::Own | RequestOrigin::Allowed(_)) | None => match call {
            ProtocolCall::Options(methods) => Ok(options(&request, origin, methods, context)),
            ProtocolCall::WrongMethod(methods) => {
                let mut response = refusal(&ProtocolError::wrong_method(methods), None, context);
                response.headers.append(ALLOW, methods);
                Ok(response)
            }
            ProtocolCall::Unknown => Err(ProtocolError::no_such_call(&request.head.target.to_text())),
            ProtocolCall::Events => events(listener, &request, context),
            ProtocolCall::Single(_) | ProtocolCall::Bulk if !listener.lets_in(headers) => {
                Err(ProtocolError::no_token())
            }
            ProtocolCall::Single(_) | ProtocolCall::Bulk => {
                evaluation(listener, request, flag.as_deref(), context).await?
            }
        },
    };
    let mut response = responded.unwrap_or_else(|error| refusal(&error, flag.as_deref(), context));
    if let Some(origin) = origin {
        origin.allow(&mut response.headers);
    }
    Ok(response)
}

/// A response without a body, or with this one.
fn plain(status: Option<StatusCode>, text: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Own(Full::new(Bytes::from(text))));
    response.status = status.unwrap_or(response.status);
    response.headers.append(CACHE_CONTROL, "no-store");
    response
}

fn json(status: Option<StatusCode>, text: String) -> Response<ResponseBody> {
    let mut response = plain(status, text);
    response.headers.append(CONTENT_TYPE, "application/json");
    response
}

fn refusal(error: &ProtocolError, flag: Option<&str>, context: &RequestContext) -> Response<ResponseBody> {
    context.worker.stats.called_for_flags(error.outcome);
    let mut response = json(Some(error.status), error.body(flag));
    match error.outcome {
        FlagCallOutcome::NoToken => response.headers.append(WWW_AUTHENTICATE, "Bearer"),
        FlagCallOutcome::TooManyStreams => response.headers.append(RETRY_AFTER, STREAM_RETRY_AFTER),
        FlagCallOutcome::Evaluated
        | FlagCallOutcome::NotModified
        | FlagCallOutcome::Subscribed
        | FlagCallOutcome::Preflight
        | FlagCallOutcome::BadRequest
        | FlagCallOutcome::FlagNotFound
        | FlagCallOutcome::NoSuchCall
        | FlagCallOutcome::WrongMethod
        | FlagCallOutcome::ForeignOrigin => {}
    }
    response
}

/// What may be asked for, and what a page may send.
fn options(
    request: &OwnRequest<'_>,
    origin: Option<RequestOrigin<'_>>,
    methods: &str,
    context: &RequestContext,
) -> Response<ResponseBody> {
    context.worker.stats.called_for_flags(FlagCallOutcome::Preflight);
    let mut response = plain(Some(StatusCode::NO_CONTENT), String::new());
    response.headers.append(ALLOW, methods);
    if let Some(origin) = origin.filter(|_| asks_for_permission(&request.head.method, &request.head.headers)) {
        origin.permit(methods, &mut response.headers);
    }
    response
}

/// A stream of change events. It needs no token: browsers cannot send one, and it says no more than that something has
/// changed.
fn events(
    listener: &FlagListener,
    request: &OwnRequest<'_>,
    context: &RequestContext,
) -> Result<Response<ResponseBody>, ProtocolError> {
    let last_id = request.head.headers.get(LAST_EVENT_ID);
    let subscription = listener.feed.subscribe(last_id, context.now()).ok_or_else(ProtocolError::too_many_streams)?;
    context.worker.stats.called_for_flags(FlagCallOutcome::Subscribed);
    let mut response = plain(None, String::new())
        .map(|_empty| ResponseBody::Events(Box::new(EventBody::new(&context.worker, subscription))));
    response.headers.append(CONTENT_TYPE, "text/event-stream");
    response.headers.append(X_ACCEL_BUFFERING, "no");
    Ok(response)
}

/// Reads the context, and evaluates one flag or all.
async fn evaluation(
    listener: &FlagListener,
    request: OwnRequest<'_>,
    flag: Option<&str>,
    context: &RequestContext,
) -> Result<Result<Response<ResponseBody>, ProtocolError>, LocalReply> {
    let OwnRequest { head, body, admitted } = request;
    let read = match call_body::read(body, CONTEXT_BYTES_MAX).await? {
        Some(body) => EvaluationContext::parse(&body),
        None => Err(EvaluationContext::too_large()),
    };
    let told = match read {
        Ok(told) => told,
        Err(error) => return Ok(Err(error)),
    };
    let (answer, new_key) = match listener.users {
        UserSource::Context { .. } => {
            let table = context.worker.snapshot();
            let key = told.targeting_key().map(Box::from);
            let user = KnownUser { table: &table, key, context: told.into_values(), clock: seconds };
            user_trials::note_call(&table, flag, &user, &context.worker.seen);
            (ask(&table, flag, &user, WithoutKey::Refused), None)
        }
        UserSource::Request => by_request(head, admitted, flag, context)?,
    };
    Ok(answer.map(|answer| {
        let mut response = answered(head, answer, context);
        if let Some(key) = new_key {
            let NewCookie { key, spec } = &key;
            set_own_cookie(&mut response.headers, key, spec.as_deref(), admitted.secure);
        }
        response
    }))
}

/// The cookie that a user is given.
struct NewCookie {
    key: OwnKey,
    /// None: the usual one.
    spec: Option<Arc<OwnCookieSpec>>,
}

/// Asks for a flag, or for all, on behalf of the user of the request, and the cookie that the user is given.
fn by_request(
    head: &RequestHead,
    admitted: &Admitted,
    flag: Option<&str>,
    context: &RequestContext,
) -> Result<(Result<FlagAnswer, ProtocolError>, Option<NewCookie>), LocalReply> {
    let worker = &context.worker;
    let (table, host) = (worker.snapshot(), admitted.host_name(&head.headers));
    let target = ResolvedTarget::of(&table, host, &head.target)?;
    // Whatever the service itself looks at: a rule of a flag may ask for a claim.
    let token = bearer_token(&head.headers).and_then(|token| worker.verified(token));
    let claims = bearer::claims(worker, token.as_ref());
    let view = target.view(head, ClientView { host, client: admitted.client, claims });
    let now_ms = worker.clock_ms(context.now());
    let decided = decide_at(&table, target.service, &view, worker.random(), |version| version.availability(now_ms));
    let (table, view) = (&**table, &view);
    let (user, cause) = match decided {
        Ok(Decision { service_index: service, version, cause, slot, new_key, .. }) => {
            (RequestUser { table, view, service, version, slot, new_key, clock: seconds }, cause)
        }
        // Which version the user has does not depend on whether it responds.
        Err(RouteError::NoVersion { service_index: service, assigned: version, cause, slot, .. }) => {
            (RequestUser { table, view, service, version, slot, new_key: None, clock: seconds }, cause)
        }
        Err(RouteError::Responds { .. }) => {
            let detail = "a rule of the service responds to this user, so that there is no version";
            return Err(LocalReply::new(RejectReason::NoEndpoint, detail));
        }
        Err(RouteError::NoService) => {
            return Err(LocalReply::new(RejectReason::NoService, "no service answers this host and path"));
        }
    };
    let answer = match cause {
        Cause::Chance => ask(table, flag, &KeylessUser(user), WithoutKey::Default),
        Cause::Key(_) | Cause::Experiment(_) | Cause::Rule(_) => {
            user_trials::note_call(table, flag, &user, &worker.seen);
            ask(table, flag, &user, WithoutKey::Default)
        }
    };
    let cookie = |key| NewCookie { key, spec: table.service(user.service).spec.policy.cookie.clone() };
    Ok((answer, user.new_key.map(cookie)))
}

fn ask(
    table: &Table,
    flag: Option<&str>,
    user: &impl FlagUser,
    without: WithoutKey,
) -> Result<FlagAnswer, ProtocolError> {
    match flag {
        Some(flag) => single(table, flag, user, without).map(FlagAnswer::Single),
        None => Ok(FlagAnswer::Bulk(bulk(table, user, without))),
    }
}

/// The response with what was asked for, or word that the client has it already.
fn answered(head: &RequestHead, answer: FlagAnswer, context: &RequestContext) -> Response<ResponseBody> {
    let stats = &context.worker.stats;
    match answer {
        FlagAnswer::Single(text) => {
            stats.called_for_flags(FlagCallOutcome::Evaluated);
            json(None, text)
        }
        FlagAnswer::Bulk(BulkBody { text, tag }) => {
            let known = tag.is_among(head.headers.get_all(IF_NONE_MATCH));
            stats.called_for_flags(if known { FlagCallOutcome::NotModified } else { FlagCallOutcome::Evaluated });
            let mut response =
                if known { plain(Some(StatusCode::NOT_MODIFIED), String::new()) } else { json(None, text) };
            response.headers.append(ETAG, tag.to_string());
            response
        }
    }
}

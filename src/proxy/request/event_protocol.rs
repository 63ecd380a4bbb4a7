//! The step that takes events of users, on listeners that do.
//!
//! Like a [call for flags](super::flag_protocol) it stands between admission and routing, and nothing goes to an
//! endpoint. Unlike there, the request does not say who the user is: programs send events for many users at once.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;

use super::call_body;
use super::context::RequestContext;
use super::event_listener::EventListener;
use super::local_reply::LocalReply;
use super::own_request::OwnRequest;
use crate::events::event_batch::BATCH_BYTES_MAX;
use crate::events::event_refusal::EventRefusal;
use crate::events::receipt_view::ReceiptView;
use crate::message::known_headers::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use crate::message::{Headers, Response};
use crate::ofrep::cross_origin::{RequestOrigin, asks_for_permission};
use crate::proxy::body::response_body::ResponseBody;
use crate::stats::EventCallOutcome;

/// What may be done there.
const METHODS: &str = "POST, OPTIONS";

/// Responds to a call.
///
/// # Errors
/// The local reply when its body breaks or does not come.
pub(crate) async fn respond(
    listener: &EventListener,
    request: OwnRequest<'_>,
    context: &RequestContext,
) -> Result<Response<ResponseBody>, LocalReply> {
    let headers = &request.head.headers;
    let origin = listener.origins.origin(headers);
    let mut response = if origin == RequestOrigin::Foreign {
        refused(listener, &EventRefusal::foreign_origin())
    } else if request.head.method == Method::OPTIONS {
        listener.recorder.stats.called(EventCallOutcome::Preflight);
        let mut response = plain(StatusCode::NO_CONTENT, String::new());
        response.headers.append(ALLOW, METHODS);
        if asks_for_permission(&request.head.method, headers) {
            origin.permit(METHODS, &mut response.headers);
        }
        response
    } else {
        match admitted(listener, &request, context) {
            Ok(()) => recorded(listener, request).await?,
            Err(refusal) => refused(listener, &refusal),
        }
    };
    origin.allow(&mut response.headers);
    Ok(response)
}

/// Whether a batch may be sent at all, before its body is read.
fn admitted(listener: &EventListener, request: &OwnRequest<'_>, context: &RequestContext) -> Result<(), EventRefusal> {
    if request.head.method != Method::POST {
        return Err(EventRefusal::wrong_method());
    }
    let since_start = context.now().saturating_duration_since(context.worker.settings.clock_start);
    listener.let_in(&request.head.headers, since_start)?;
    json_content(&request.head.headers)
}

fn json_content(headers: &Headers) -> Result<(), EventRefusal> {
    let found = headers.get(CONTENT_TYPE).map(String::from_utf8_lossy).unwrap_or_default();
    let media_type = found.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(EventRefusal::wrong_content_type(&found))
    }
}

/// Reads the batch and records it.
async fn recorded(listener: &EventListener, request: OwnRequest<'_>) -> Result<Response<ResponseBody>, LocalReply> {
    let Some(body) = call_body::read(request.body, BATCH_BYTES_MAX).await? else {
        return Ok(refused(listener, &EventRefusal::too_large()));
    };
    Ok(match listener.recorder.record(&body).await {
        Ok(receipt) => json(None, ReceiptView::of(&receipt).to_text(), "application/json"),
        Err(refusal) => refusal_response(&refusal),
    })
}

/// Refuses a call that has not come to the recorder, which counts for itself.
fn refused(listener: &EventListener, refusal: &EventRefusal) -> Response<ResponseBody> {
    listener.recorder.stats.called(refusal.outcome);
    refusal_response(refusal)
}

fn refusal_response(refusal: &EventRefusal) -> Response<ResponseBody> {
    let mut response = json(Some(refusal.status), refusal.document().to_string(), "application/problem+json");
    let headers = &mut response.headers;
    if let Some(seconds) = refusal.retry_after {
        headers.append(RETRY_AFTER, seconds.to_string());
    }
    if refusal.outcome == EventCallOutcome::NoToken {
        headers.append(WWW_AUTHENTICATE, "Bearer");
    }
    if refusal.outcome == EventCallOutcome::WrongMethod {
        headers.append(ALLOW, METHODS);
    }
    response
}

fn json(status: Option<StatusCode>, text: String, media_type: &'static str) -> Response<ResponseBody> {
    let mut response = plain(status.unwrap_or_default(), text);
    response.headers.append(CONTENT_TYPE, media_type);
    response
}

fn plain(status: StatusCode, text: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Own(Full::new(Bytes::from(text))));
    response.status = status;
    response.headers.append(CACHE_CONTROL, "no-store");
    response
}

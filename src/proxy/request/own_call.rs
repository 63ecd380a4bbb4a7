//! Calls that a listener answers itself, between the admission of a request and its routing: for flags, and with
//! events.

use std::sync::Arc;

use super::context::RequestContext;
use super::event_listener::EventListener;
use super::event_protocol;
use super::flag_protocol;
use super::local_reply::LocalReply;
use super::own_request::OwnRequest;
use crate::message::Response;
use crate::ofrep::flag_listener::FlagListener;
use crate::proxy::body::response_body::ResponseBody;

/// What a listener answers itself, at least one of both. In one place: requests of a listener without any pay one look.
#[derive(Clone, Debug)]
pub(crate) struct OwnCalls {
    /// Calls for flags.
    pub(crate) flags: Option<Arc<FlagListener>>,
    /// Calls with events.
    pub(crate) events: Option<Arc<EventListener>>,
}

/// A call, and what answers it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OwnCall<'l> {
    /// For flags.
    Flags(&'l FlagListener),
    /// With events.
    Events(&'l EventListener),
}

impl OwnCalls {
    /// What answers a request for this path; nothing if it is routed.
    #[must_use]
    pub(crate) fn call(&self, path: &[u8]) -> Option<OwnCall<'_>> {
        // A listener for flags alone takes all paths.
        let events = self.events.as_deref().filter(|_| EventListener::takes(path)).map(OwnCall::Events);
        events.or_else(|| self.flags.as_deref().filter(|flags| flags.takes(path)).map(OwnCall::Flags))
    }
}

/// Responds to a call.
///
/// # Errors
/// The local reply when its body breaks or does not come, or its host has no service.
pub(crate) async fn respond(
    call: OwnCall<'_>,
    request: OwnRequest<'_>,
    context: &RequestContext,
) -> Result<Response<ResponseBody>, LocalReply> {
    match call {
        OwnCall::Flags(listener) => flag_protocol::respond(listener, request, context).await,
        OwnCall::Events(listener) => event_protocol::respond(listener, request, context).await,
    }
}

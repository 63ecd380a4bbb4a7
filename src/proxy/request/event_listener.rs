//! What a listener knows of events of users: who may send them, and how often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::events::event_recorder::EventRecorder;
use crate::events::event_refusal::EventRefusal;
use crate::message::Headers;
use crate::message::known_headers::{AUTHORIZATION, X_API_KEY};
use crate::ofrep::cross_origin::AllowedOrigins;
use crate::proxy::limits::rate::RateLimiter;
use crate::table::key::bearer_token;
use crate::tokens::Tokens;

/// Where events are sent.
const EVENTS: &[u8] = b"/v1/events";

/// A listener that takes events.
#[derive(Debug)]
pub(crate) struct EventListener {
    /// One of these is asked for.
    pub(crate) tokens: Arc<Tokens>,
    /// Pages of these origins may call.
    pub(crate) origins: AllowedOrigins,
    /// How often each token may send a batch.
    pub(crate) rates: BTreeMap<Box<str>, RateLimiter>,
    /// What takes the batches.
    pub(crate) recorder: EventRecorder,
}

impl EventListener {
    /// Whether a request for this path is one with events.
    #[must_use]
    pub(crate) fn takes(path: &[u8]) -> bool {
        path == EVENTS
    }

    /// Lets a batch in, at a time since the start of the process.
    ///
    /// # Errors
    /// The refusal: there is no good token, or it sends too often.
    pub(crate) fn let_in(&self, headers: &Headers, now: Duration) -> Result<(), EventRefusal> {
        let shown = if headers.contains(AUTHORIZATION) { bearer_token(headers) } else { headers.get(X_API_KEY) };
        let (name, _) =
            shown.and_then(|secret| self.tokens.find(secret.trim_ascii())).ok_or_else(EventRefusal::no_token)?;
        let Some(rate) = self.rates.get(&*name) else { return Ok(()) };
        rate.take(0, now).map_err(|early| {
            let seconds = early.as_secs() + u64::from(early.subsec_nanos() > 0);
            EventRefusal::rate_limited(seconds.max(1))
        })
    }
}

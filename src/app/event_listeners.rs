//! What listeners need that take events of users.

use std::sync::Arc;

use super::settings;
use crate::config::{Config, EventsConfig, ListenerConfig};
use crate::events::event_recorder::EventRecorder;
use crate::ofrep::cross_origin::AllowedOrigins;
use crate::proxy::limits::rate::{RateKey, RateLimiter};
use crate::proxy::request::event_listener::EventListener;
use crate::tokens::{BadToken, Tokens};

/// The section of the config.
const EVENTS: &str = "events";

/// What all of them share; nothing if none takes any.
#[derive(Clone, Debug)]
pub(crate) struct EventListeners {
    listener: Arc<EventListener>,
}

impl EventListeners {
    /// Reads the tokens.
    ///
    /// # Errors
    /// The tokens that cannot be used.
    pub(crate) fn load(config: &Config, recorder: &EventRecorder) -> Result<Option<Self>, Vec<BadToken>> {
        if !config.listeners.iter().any(|listener| listener.events) {
            return Ok(None);
        }
        let EventsConfig { tokens, origins, rate } = &config.events;
        let limiter = || RateLimiter::new(RateKey::Listener, rate.requests, rate.per, rate.burst);
        let listener = EventListener {
            rates: tokens.iter().map(|token| (token.name.as_str().into(), limiter())).collect(),
            tokens: Arc::new(Tokens::new(EVENTS, tokens.iter().map(settings::caller_token).collect())?),
            origins: AllowedOrigins::new(origins.clone()),
            recorder: recorder.clone(),
        };
        Ok(Some(Self { listener: Arc::new(listener) }))
    }

    /// What this listener takes.
    pub(crate) fn of(&self, listener: &ListenerConfig) -> Option<Arc<EventListener>> {
        listener.events.then(|| Arc::clone(&self.listener))
    }

    /// The tokens.
    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.listener.tokens)
    }
}

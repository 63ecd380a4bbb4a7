//! What listeners need that answer calls themselves: for flags, and with events of users.

use std::sync::Arc;

use super::event_listeners::EventListeners;
use super::flag_listeners::FlagListeners;
use crate::admin::ExperimentSources;
use crate::config::{Config, ListenerConfig};
use crate::control::Writer;
use crate::proxy::request::own_call::OwnCalls;
use crate::tokens::{BadToken, Tokens};

/// What all of them share.
#[derive(Debug)]
pub(crate) struct CallListeners {
    /// Calls for flags; nothing if no listener answers any.
    pub(crate) flags: Option<FlagListeners>,
    /// Calls with events; nothing if no listener takes any.
    events: Option<EventListeners>,
    /// What the events are of.
    pub(crate) experiments: ExperimentSources,
}

impl CallListeners {
    /// Reads the tokens. What `writer` puts in force is asked for flags, and the events are of `experiments`.
    ///
    /// # Errors
    /// The tokens that cannot be used.
    pub(crate) fn load(
        config: &Config,
        writer: &Writer,
        experiments: ExperimentSources,
    ) -> Result<Self, Vec<BadToken>> {
        let events = EventListeners::load(config, &experiments.recorder)?;
        Ok(Self { flags: FlagListeners::load(config, writer)?, events, experiments })
    }

    /// What this listener answers itself.
    pub(crate) fn of(&self, listener: &ListenerConfig) -> Option<OwnCalls> {
        let flags = self.flags.as_ref().and_then(|flags| flags.of(listener));
        let events = self.events.as_ref().and_then(|events| events.of(listener));
        (flags.is_some() || events.is_some()).then_some(OwnCalls { flags, events })
    }

    /// The tokens of those who call.
    pub(crate) fn tokens(&self) -> Vec<Arc<Tokens>> {
        let flags = self.flags.as_ref().and_then(|flags| flags.tokens.clone());
        flags.into_iter().chain(self.events.as_ref().map(EventListeners::tokens)).collect()
    }
}

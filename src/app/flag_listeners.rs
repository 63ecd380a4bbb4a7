//! What listeners need that answer calls for flags.

use std::sync::Arc;

use super::settings;
use crate::config::{Config, FlagAnswers, ListenerConfig, OFREP, OfrepAccess};
use crate::control::Writer;
use crate::ofrep::announcer::{Announcer, edition_of};
use crate::ofrep::change_feed::ChangeFeed;
use crate::ofrep::cross_origin::AllowedOrigins;
use crate::ofrep::flag_listener::{FlagListener, UserSource};
use crate::tokens::{BadToken, Tokens};

/// The parts that all of them share; nothing if none answers.
#[derive(Debug)]
pub(crate) struct FlagListeners {
    /// What tells of changes.
    pub(crate) announcer: Announcer,
    /// The tokens of the listener of its own, if it has some.
    pub(crate) tokens: Option<Arc<Tokens>>,
}

impl FlagListeners {
    /// Reads the tokens. What `writer` puts in force is asked for flags.
    ///
    /// # Errors
    /// The tokens that cannot be used.
    pub(crate) fn load(config: &Config, writer: &Writer) -> Result<Option<Self>, Vec<BadToken>> {
        let (published, changes) = (writer.published(), writer.changes());
        let answers = |listener: &ListenerConfig| listener.flags != FlagAnswers::None;
        if !config.listeners.iter().any(answers) {
            return Ok(None);
        }
        let edition = edition_of(&published.load());
        let feed = ChangeFeed::new(edition, jiff::Timestamp::now().as_second(), config.ofrep.event_streams_max);
        let tokens = config.listeners.iter().find_map(|listener| match &listener.flags {
            FlagAnswers::OfContexts(OfrepAccess { tokens, .. }) if !tokens.is_empty() => Some(tokens),
            FlagAnswers::None | FlagAnswers::OfSite | FlagAnswers::OfContexts(_) => None,
        });
        let read = |tokens: &Vec<_>| Tokens::new(OFREP, tokens.iter().map(settings::caller_token).collect());
        let tokens = tokens.map(read).transpose()?;
        let announcer = Announcer { feed, published, changes, looked_at: edition.revision };
        Ok(Some(Self { announcer, tokens: tokens.map(Arc::new) }))
    }

    /// What this listener answers.
    pub(crate) fn of(&self, listener: &ListenerConfig) -> Option<Arc<FlagListener>> {
        let users = match &listener.flags {
            FlagAnswers::None => return None,
            FlagAnswers::OfSite => UserSource::Request,
            FlagAnswers::OfContexts(access) => UserSource::Context {
                origins: AllowedOrigins::new(access.origins.clone()),
                tokens: self.tokens.as_ref().map(Arc::clone),
            },
        };
        Some(Arc::new(FlagListener { users, feed: Arc::clone(&self.announcer.feed) }))
    }
}

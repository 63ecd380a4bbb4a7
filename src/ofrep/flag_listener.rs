//! What a listener knows of the protocol.

use std::sync::Arc;

use super::change_feed::ChangeFeed;
use super::cross_origin::AllowedOrigins;
use super::protocol_call::ProtocolCall;
use crate::message::Headers;
use crate::message::known_headers::{AUTHORIZATION, X_API_KEY};
use crate::table::key::bearer_token;
use crate::tokens::Tokens;

/// A listener that answers calls of the protocol.
#[derive(Clone, Debug)]
pub(crate) struct FlagListener {
    /// Who says who the user is.
    pub(crate) users: UserSource,
    /// Where changes are told.
    pub(crate) feed: Arc<ChangeFeed>,
}

/// Who says who the user is.
#[derive(Clone, Debug)]
pub(crate) enum UserSource {
    /// The request itself, as for the service that has its host: the listener is one of a site.
    Request,
    /// The context of the call: the listener is for this alone.
    Context {
        /// Pages of which origins may ask.
        origins: AllowedOrigins,
        /// One of these is asked for; none: of no caller.
        tokens: Option<Arc<Tokens>>,
    },
}

impl FlagListener {
    /// Whether a request for this path is answered by the protocol, and not routed.
    #[must_use]
    pub(crate) fn takes(&self, path: &[u8]) -> bool {
        matches!(self.users, UserSource::Context { .. }) || ProtocolCall::has_path(path)
    }

    /// Whether a request with these headers may have flags.
    #[must_use]
    pub(crate) fn lets_in(&self, headers: &Headers) -> bool {
        let UserSource::Context { tokens: Some(tokens), .. } = &self.users else { return true };
        let shown = if headers.contains(AUTHORIZATION) { bearer_token(headers) } else { headers.get(X_API_KEY) };
        shown.is_some_and(|secret| tokens.find(secret.trim_ascii()).is_some())
    }
}

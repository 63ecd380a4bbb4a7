//! The trailers that are sent: those that the head announced.
//!
//! A `Trailer` line is only a hint (RFC 9110, 6.6.2), but a recipient of a trailer that was not announced may merge it
//! into the head after it has decided by the head; hyper did not send such ones either.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName};

use crate::message::Headers;
use crate::message::known_headers::TRAILER;

/// The names that a head announces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Announced(Vec<HeaderName>);

impl Announced {
    /// Those of `headers`; lines that are no text announce nothing.
    #[must_use]
    pub(crate) fn by(headers: &Headers) -> Self {
        let lines = headers
            .get_all(TRAILER)
            .filter(|line| line.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()));
        let names = lines.flat_map(|line| line.split(|byte| *byte == b','));
        Self(names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect())
    }

    /// Those of `trailers` that were announced.
    #[must_use]
    pub(crate) fn of(&self, mut trailers: HeaderMap) -> HeaderMap {
        // Both may be a hundred, and more.
        let announced: HashSet<_> = self.0.iter().collect();
        let others: Vec<_> = trailers.keys().filter(|name| !announced.contains(name)).cloned().collect();
        for name in others {
            trailers.remove(name);
        }
        trailers
    }
}

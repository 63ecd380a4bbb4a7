//! Which trailers are sent: those that the head announced.
//!
//! A `Trailer` line is only a hint (RFC 9110, 6.6.2), but whoever receives a trailer that nobody announced may merge it into
//! the head after it has decided by the head; hyper did not send such ones either.

use http::header::TRAILER;
use http::{HeaderMap, HeaderName};

/// The names that a head announces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Announced(Vec<HeaderName>);

impl Announced {
    /// Those of `headers`; lines that are no text announce nothing.
    #[must_use]
    pub fn by(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(TRAILER).iter().filter_map(|line| line.to_str().ok());
        let names = lines.flat_map(|line| line.split(','));
        Self(names.filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok()).collect())
    }

    /// Those of `trailers` that were announced.
    #[must_use]
    pub fn of(&self, mut trailers: HeaderMap) -> HeaderMap {
        let others: Vec<_> = trailers.keys().filter(|name| !self.0.contains(name)).cloned().collect();
        for name in others {
            trailers.remove(name);
        }
        trailers
    }
}

//! What a condition can be asked of: a request, or a user who is known by attributes alone.
//!
//! A condition could be asked of requests only, with a made-up request for everything else. But who asks for a flag by
//! its protocol sends a key and attributes, and no path, method or address; a made-up one would fit a rule that means
//! real ones. So a condition that asks for a part of a request does not hold where there is none.

use super::request::RequestView;
use super::spec::Attribute;

/// What is known when a condition is asked.
pub trait UserFacts {
    /// The request, if there is one.
    fn request(&self) -> Option<&RequestView<'_>>;

    /// Hands the value of an attribute to `then`; `None` if there is none, or an empty one.
    fn with_attribute<R>(&self, attribute: &Attribute, then: impl FnOnce(&[u8]) -> R) -> Option<R>;
}

impl UserFacts for RequestView<'_> {
    fn request(&self) -> Option<&RequestView<'_>> {
        Some(self)
    }

    fn with_attribute<R>(&self, attribute: &Attribute, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut then = Some(then);
        let mut sources = attribute.sources.iter();
        sources.find_map(|source| source.with_key(self, |value| then.take().map(|then| then(value)))?)
    }
}

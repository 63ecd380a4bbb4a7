//! What is known of who asks.

use std::borrow::Cow;

use super::datum::Datum;

/// Who asks for a flag, and what is known of them. Values are asked for one by one, so that a request has to be taken
/// apart only for what a rule names.
pub trait FlagContext {
    /// What makes the user the same user: `targetingKey`.
    fn targeting_key(&self) -> Option<Cow<'_, str>>;

    /// The attribute of this name.
    fn attribute(&self, name: &str) -> Option<Datum<'_>>;

    /// The name of the version of a service that the user gets.
    fn version_of(&self, service: &str) -> Option<Cow<'_, str>>;

    /// The time, in seconds since 1970.
    fn seconds(&self) -> i64;
}

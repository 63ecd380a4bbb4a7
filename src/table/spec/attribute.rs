//! What is known of a user, by a name of its own.

use super::KeySource;
use crate::shared::name::Name;

/// An attribute of a user: where a request has it.
///
/// A rule could name the header or the claim itself, and did so before there were attributes. But what a person is does
/// not depend on how a client says it: with a name of its own, the same condition holds for a browser with a cookie and
/// an app with a token, and also where there is no request at all, only a user with attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// Its name.
    pub name: Name,
    /// Where it comes from, at least one; the first that has a value wins.
    pub sources: Vec<KeySource>,
}

//! The claims of a token that was verified, between what verifies tokens and what looks at claims.

/// JSON in UTF-8, as the issuer has written it. Empty: no claims at all.
// Behind one pointer, and not a slice, which takes two: a request keeps it until it is decided.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TokenPayload(Vec<u8>);

impl TokenPayload {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self(Vec::new());

    /// The decoded payload of a token.
    #[must_use]
    pub fn new(json: Vec<u8>) -> Self {
        Self(json)
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

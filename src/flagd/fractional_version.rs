//! Which version of `fractional` is meant.
//!
//! flagd has changed what is hashed twice, and each change gives most users another value. So the file does not say
//! which one is meant, and the config does: `v2` hashes texts as they are, as flagd did until autumn 2026, and `v3`
//! hashes the [encoding](super::cbor) of any value.

use std::fmt;

/// What is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum FractionalVersion {
    /// Texts only: the text itself, by default the flag's key and the user's without anything between them.
    V2,
    /// The encoding of any value, by default of the list of the flag's key and the user's.
    #[default]
    V3,
}

/// `v3`
impl fmt::Display for FractionalVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
        })
    }
}

//! Users and events by 64 bits of a hash of their names: state does not grow with the length of what clients send, and
//! names no person.

use std::fmt;

use ring::digest::{SHA256, digest};

/// A user, or the id of an event. Of a million two are the same with a probability of 1 in 37 million. SHA-256 and not
/// the hash of the split: the sender of events may choose ids, and must not find two that are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameHash(u64);

impl NameHash {
    /// Of a user's key or an event's id.
    #[must_use]
    pub(crate) fn of(text: &str) -> Self {
        let hash = digest(&SHA256, text.as_bytes());
        let first = hash.as_ref().first_chunk::<8>().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }

    /// One that was stored.
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The one behind it in their order; none behind the last.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The number, to be stored.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// As it is written for people: 16 hexadecimal digits.
impl fmt::Display for NameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored state is read by later builds: the hash of a name stays what it is (FIPS 180-2, appendix B.1).
    #[test]
    fn the_hash_of_a_name_never_changes() {
        assert_eq!(NameHash::of("abc"), NameHash(0xba78_16bf_8f01_cfea));
        assert_eq!(NameHash::of("abc").to_string(), "ba7816bf8f01cfea");
        assert_eq!(NameHash(1).to_string(), "0000000000000001");
        assert_ne!(NameHash::of("user-1"), NameHash::of("user-2"));
    }
}

//! Names that users give to services, versions, rules and segments.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::problem::Mismatch;

/// The longest name, in bytes: names become metric labels and URL segments.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// A name of 1 to [`NAME_BYTES_MAX`] characters out of `A-Z a-z 0-9 . _ -`, beginning with a letter or a digit.
///
/// The narrow alphabet is what lets a name stand in a URL, a metric label, a cookie and the stored text of a split
/// without any quoting. Clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// A text that cannot be a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.mismatch())]
pub struct BadName(pub String);

impl BadName {
    /// What is wrong, wherever the name stands.
    #[must_use]
    pub fn mismatch(&self) -> Mismatch {
        let wanted =
            format!("1 to {NAME_BYTES_MAX} letters, digits, '.', '_' or '-', beginning with a letter or a digit");
        Mismatch::new(format!("{:?}", self.0), wanted, "rename it")
    }
}

impl Name {
    /// Checks `text` and makes a name of it.
    ///
    /// # Errors
    /// [`BadName`] when `text` is empty, too long, or has a character outside the alphabet.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let good = text.len() <= NAME_BYTES_MAX
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && text.bytes().all(allowed);
        if good { Ok(Self(Arc::from(text))) } else { Err(BadName(text.to_owned())) }
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared: for labels that live as long as the process.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Orders names as people count: `v2` comes before `v10`. Ties (`v1`, `v01`) fall back to the order of the bytes.
///
/// Versions are laid over the slots in this order, so it must never depend on the order of a file or a map.
#[must_use]
pub(crate) fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(&first_a), Some(&first_b)) = (rest_a.first(), rest_b.first()) else {
            return rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b));
        };
        if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, after_a) = take_number(rest_a);
            let (number_b, after_b) = take_number(rest_b);
            let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
            if order != Ordering::Equal {
                return order;
            }
            (rest_a, rest_b) = (after_a, after_b);
        } else if first_a != first_b {
            return first_a.cmp(&first_b);
        } else {
            (rest_a, rest_b) = (&rest_a[1..], &rest_b[1..]);
        }
    }
}

/// Splits the leading digits off, without their leading zeros.
fn take_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|b| **b == b'0').count();
    (&digits[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for good in ["v1", "shop", "a", "1.2.3", "blue-green_x"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", "-v1", ".hidden", "a b", "a/b", "ä", "v1:2", long.as_str()] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["v10", "v2", "v1", "blue", "green", "v1.10", "v1.9", "v01"];
        names.sort_by(|a, b| natural_cmp(a, b));
        assert_eq!(names, ["blue", "green", "v01", "v1", "v1.9", "v1.10", "v2", "v10"]);
    }
}

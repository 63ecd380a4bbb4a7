//! Semantic versions (semver.org), compared where they stand.
//!
//! The crate `semver` would do it, and is what the tests here compare with. But it allocates for the text behind a
//! hyphen, which any client may make long, and a decision does not allocate.

use std::cmp::Ordering;

/// A version that borrows the text that it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SemVer<'a> {
    /// Major, minor and patch version.
    pub(crate) numbers: [u64; 3],
    /// What stands behind the hyphen; empty for a release.
    pub(crate) pre: &'a str,
}

impl<'a> SemVer<'a> {
    /// Reads `2.1.0-beta.1+build`, also with a `v` before it and without the last numbers. What stands behind `+` does
    /// not count.
    #[must_use]
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (release, pre) = text.split_once('-').map_or((text, None), |(release, pre)| (release, Some(pre)));
        let mut numbers = [0; 3];
        let mut places = numbers.iter_mut();
        for number in release.split('.') {
            *places.next()? = number_of(number)?;
        }
        let good = |identifier: &str| {
            !identifier.is_empty() && identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let leading_zero =
            |identifier: &str| is_digits(identifier) && identifier.len() > 1 && identifier.starts_with('0');
        let good_pre = pre.is_none_or(|pre| pre.split('.').all(|part| good(part) && !leading_zero(part)));
        let good_build = build.is_none_or(|build| build.split('.').all(good));
        (good_pre && good_build).then_some(Self { numbers, pre: pre.unwrap_or_default() })
    }

    /// The order of semver.org, 11: a version before its release, numbers before words.
    #[must_use]
    pub(crate) fn cmp(&self, other: &SemVer<'_>) -> Ordering {
        let by_pre = || match (self.pre, other.pre) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (pre, other) => {
                let mut others = other.split('.');
                let differing =
                    pre.split('.').map(|part| others.next().map_or(Ordering::Greater, |o| identifiers(part, o)));
                let first = differing.into_iter().find(|order| order.is_ne());
                first.unwrap_or_else(|| if others.next().is_some() { Ordering::Less } else { Ordering::Equal })
            }
        };
        self.numbers.cmp(&other.numbers).then_with(by_pre)
    }
}

/// The order of two parts of what stands behind the hyphen; numbers of any length, without leading zeros.
fn identifiers(one: &str, other: &str) -> Ordering {
    match (is_digits(one), is_digits(other)) {
        (true, true) => one.len().cmp(&other.len()).then_with(|| one.cmp(other)),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => one.cmp(other),
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// A number without a sign and leading zeros.
fn number_of(text: &str) -> Option<u64> {
    let good = is_digits(text) && !text.is_empty() && (text == "0" || !text.starts_with('0'));
    good.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_library(
            one in "[0-3]\\.[0-3]\\.[0-3](-([0-9]{1,2}|[a-c-]{1,2})(\\.([0-9]{1,2}|[a-c-]{1,2})){0,2})?(\\+[0-9a-c]{1,2})?",
            other in "[0-3]\\.[0-3]\\.[0-3](-([0-9]{1,2}|[a-c-]{1,2})(\\.([0-9]{1,2}|[a-c-]{1,2})){0,2})?",
        ) {
            let library = |text: &str| semver::Version::parse(text).ok();
            let (ours, theirs) = (SemVer::parse(&one), library(&one));
            prop_assert_eq!(ours.is_some(), theirs.is_some(), "{}", one);
            if let (Some(ours), Some(other_ours), Some(theirs), Some(other_theirs)) =
                (ours, SemVer::parse(&other), theirs, library(&other))
            {
                let wanted = theirs.cmp_precedence(&other_theirs);
                prop_assert_eq!(ours.cmp(&other_ours), wanted, "{} and {}", one, other);
            }
        }

        #[test]
        fn what_is_whole_is_read_as_the_library_reads_it(text in "[0-9v.+a-]{0,14}") {
            let three = text.split(['-', '+']).next().is_some_and(|release| release.split('.').count() == 3);
            if three && !text.starts_with('v') {
                prop_assert_eq!(SemVer::parse(&text).is_some(), semver::Version::parse(&text).is_ok(), "{}", text);
            }
        }
    }
}

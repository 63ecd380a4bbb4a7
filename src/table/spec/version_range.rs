//! Ranges of semantic versions (semver.org), compared where they stand.
//!
//! The crate `semver` would do it, and is what the tests here compare with. But it allocates for the text behind a
//! hyphen, which any client may make long, and a decision does not allocate. It also follows what Cargo wants of
//! dependencies, where `>=1.0` leaves out `2.0.0-beta`; who asks for the versions of an app means the order alone.

use std::cmp::Ordering;

/// Versions that satisfy all of some comparisons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VersionRange(Box<[VersionComparison]>);

/// A comparison with one version.
#[derive(Clone, PartialEq, Eq, Debug)]
struct VersionComparison {
    operator: VersionOperator,
    numbers: [u64; 3],
    /// What stands behind the hyphen; empty for a release.
    pre: Box<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum VersionOperator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// At least, with the same major version.
    Caret,
    /// At least, with the same major and minor version.
    Tilde,
}

/// The longest first: `>` also begins `>=`.
const OPERATORS: [(&str, VersionOperator); 8] = [
    (">=", VersionOperator::GreaterOrEqual),
    ("<=", VersionOperator::LessOrEqual),
    ("!=", VersionOperator::NotEqual),
    (">", VersionOperator::Greater),
    ("<", VersionOperator::Less),
    ("=", VersionOperator::Equal),
    ("^", VersionOperator::Caret),
    ("~", VersionOperator::Tilde),
];

impl VersionRange {
    /// Reads comparisons with commas between them: `>=2.1, <3`. One without an operator is for equality; what is left
    /// out of a version is zero. `None` if there is none, or one is not a version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let comparison = |part: &str| {
            let part = part.trim();
            let operator = OPERATORS.iter().find_map(|(sign, operator)| Some((part.strip_prefix(sign)?, *operator)));
            let (version, operator) = operator.unwrap_or((part, VersionOperator::Equal));
            let version = SemVer::parse(version.trim_start())?;
            Some(VersionComparison { operator, numbers: version.numbers, pre: version.pre.into() })
        };
        text.split(',').map(comparison).collect::<Option<_>>().map(Self)
    }

    /// Whether `text` is a version that satisfies all comparisons.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        SemVer::parse(text).is_some_and(|version| self.0.iter().all(|comparison| comparison.holds(&version)))
    }
}

impl VersionComparison {
    fn holds(&self, version: &SemVer<'_>) -> bool {
        let order = version.cmp(&SemVer { numbers: self.numbers, pre: &self.pre });
        let same = |count: usize| version.numbers[..count] == self.numbers[..count];
        match self.operator {
            VersionOperator::Equal => order.is_eq(),
            VersionOperator::NotEqual => order.is_ne(),
            VersionOperator::Less => order.is_lt(),
            VersionOperator::LessOrEqual => order.is_le(),
            VersionOperator::Greater => order.is_gt(),
            VersionOperator::GreaterOrEqual => order.is_ge(),
            VersionOperator::Caret => order.is_ge() && same(1),
            VersionOperator::Tilde => order.is_ge() && same(2),
        }
    }
}

/// A version that borrows the text that it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SemVer<'a> {
    numbers: [u64; 3],
    pre: &'a str,
}

impl<'a> SemVer<'a> {
    /// Reads `2.1.0-beta.1+build`, also with a `v` before it and without the last numbers. What stands behind `+` does
    /// not count.
    fn parse(text: &'a str) -> Option<Self> {
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
    fn cmp(&self, other: &SemVer<'_>) -> Ordering {
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

    fn contains(range: &str, version: &str) -> bool {
        VersionRange::parse(range).expect("a range").contains(version)
    }

    #[test]
    fn operators() {
        for (range, inside, outside) in [
            ("1.2", &["1.2.0", "v1.2", "1.2.0+x"][..], &["1.2.1", "1.2.0-a", "1", "x"][..]),
            ("=v1", &["1", "1.0", "V1.0.0"], &["1.0.1"]),
            ("!=1.2.3", &["1.2.4", "1.2.3-a"], &["1.2.3", "v1.2.3+7", "no version"]),
            (">1.9", &["1.9.1", "1.10", "2.0.0-beta"], &["1.9", "1.9.0-rc.1", "1.2"]),
            ("^1.2", &["1.2", "1.99"], &["1.1.9", "2.0.0", "1.2.0-a"]),
            ("~1.2.3", &["1.2.3", "1.2.99"], &["1.3", "1.2.2"]),
            ("> 1, <= 2", &["1.5", "2", "2.0.0-a"], &["1", "2.0.1"]),
        ] {
            for version in inside {
                assert!(contains(range, version), "{version} in {range}");
            }
            for version in outside {
                assert!(!contains(range, version), "{version} in {range}");
            }
        }
        for bad in ["", ">=", "1.2.3.4", "1..2", "01", "1,", "x", ">=1.x", "=>1", "1.0.0-", "1.0.0-01", "1+", "-1"] {
            assert_eq!(VersionRange::parse(bad), None, "{bad:?}");
        }
    }

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

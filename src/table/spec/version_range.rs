//! Ranges of semantic versions (semver.org).
//!
//! The crate `semver` would do it. But it follows what Cargo wants of dependencies, where `>=1.0` leaves out
//! `2.0.0-beta`; who asks for the versions of an app means the order alone.

use std::fmt;

use crate::shared::sem_ver::SemVer;

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

/// `>=2.1.0, <3.0.0`
impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comparisons: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&comparisons.join(", "))
    }
}

impl fmt::Display for VersionComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS.iter().find(|(_, operator)| *operator == self.operator).map_or("", |(sign, _)| sign);
        let [major, minor, patch] = self.numbers;
        let hyphen = if self.pre.is_empty() { "" } else { "-" };
        write!(f, "{sign}{major}.{minor}.{patch}{hyphen}{}", self.pre)
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

#[cfg(test)]
mod tests {
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
}

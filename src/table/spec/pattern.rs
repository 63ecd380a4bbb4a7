//! What a value must look like.

use std::ops::RangeInclusive;

use regex::Regex;

use super::version_range::VersionRange;

/// What a value must look like.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The whole value.
    Exact(Box<str>),
    /// The whole value is one of these.
    OneOf(Box<[Box<str>]>),
    /// Its beginning.
    Prefix(Box<str>),
    /// Its end.
    Suffix(Box<str>),
    /// A regular expression, found anywhere unless anchored; compiled once, shared by equal texts.
    Regex(Regex),
    /// A version in a range.
    SemVer(VersionRange),
    /// A decimal number in a range.
    Number(RangeInclusive<f64>),
    /// Any value, as long as there is one.
    Present,
}

/// Two expressions are the same if their texts are.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other))
            | (Self::Prefix(one), Self::Prefix(other))
            | (Self::Suffix(one), Self::Suffix(other)) => one == other,
            (Self::OneOf(one), Self::OneOf(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            (Self::SemVer(one), Self::SemVer(other)) => one == other,
            (Self::Number(one), Self::Number(other)) => one == other,
            (Self::Present, Self::Present) => true,
            _ => false,
        }
    }
}

impl Pattern {
    /// Whether `value` fits. Bytes that are not UTF-8 fit [`Pattern::Present`] only, and patterns compared as bytes.
    #[must_use]
    pub fn fits(&self, value: &[u8]) -> bool {
        let text = || std::str::from_utf8(value).ok();
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::OneOf(texts) => texts.iter().any(|text| text.as_bytes() == value),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Suffix(text) => value.ends_with(text.as_bytes()),
            Self::Regex(regex) => text().is_some_and(|text| regex.is_match(text)),
            Self::SemVer(range) => text().is_some_and(|text| range.contains(text)),
            Self::Number(range) => text().and_then(number).is_some_and(|number| range.contains(&number)),
            Self::Present => true,
        }
    }
}

/// A decimal number. The standard library also reads `inf` and `NaN`, which are no numbers to people.
fn number(text: &str) -> Option<f64> {
    let decimal = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E');
    text.bytes().all(decimal).then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_can_fit_and_miss() {
        let one_of = |texts: &[&str]| Pattern::OneOf(texts.iter().map(|text| Box::from(*text)).collect());
        let range = |text: &str| Pattern::SemVer(VersionRange::parse(text).expect("a range"));
        for (pattern, fits, misses) in [
            (Pattern::Exact("pro".into()), &["pro"][..], &["prof", "Pro", ""][..]),
            (one_of(&["pro", "team"]), &["pro", "team"], &["free", "pro,team", ""]),
            (Pattern::Prefix("eu-".into()), &["eu-", "eu-west"], &["eu", "us-eu-"]),
            (Pattern::Suffix("@example.com".into()), &["ann@example.com"], &["ann@example.com.evil", "example.com"]),
            (Pattern::Regex(Regex::new("^a+$").expect("a regex")), &["aa"], &["ab", ""]),
            (range(">=2.1, <3"), &["v2.1", "2.9.9", "2.1.0+7"], &["2.0.9", "3", "2.1.0-beta", "two"]),
            (Pattern::Number(18.0..=65.5), &["18", "65.5", "2e1", "+20"], &["17.9", "66", "inf", "NaN", "", "18 "]),
            (Pattern::Number(f64::NEG_INFINITY..=0.0), &["-1e300", "0", "-0"], &["-inf", "1e-9", "-1e999"]),
            (Pattern::Present, &["", "x"], &[]),
        ] {
            for value in fits {
                assert!(pattern.fits(value.as_bytes()), "{value:?} in {pattern:?}");
            }
            for value in misses {
                assert!(!pattern.fits(value.as_bytes()), "{value:?} in {pattern:?}");
            }
        }
        assert!(!range(">0").fits(b"1\xff") && !Pattern::Number(0.0..=9.0).fits(b"1\xff"));
    }
}

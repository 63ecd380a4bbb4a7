//! The pattern of a value: `"exact"`, `["one", "of"]`, or a table with one of `exact`, `prefix`, `suffix`, `regex`,
//! `semver`, `present`, or with `min`, `max` or both.

use std::fmt;
use std::ops::RangeInclusive;

use regex::Regex;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::config::build::Build;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;
use crate::table::spec::Pattern;
use crate::table::spec::version_range::VersionRange;

/// A pattern as it is written.
#[derive(Debug)]
pub(crate) enum RawPattern {
    Exact(String),
    OneOf(List<String>),
    Table(RawPatternTable),
}

#[derive(Debug, serde::Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawPatternTable {
    exact: Option<String>,
    prefix: Option<String>,
    suffix: Option<String>,
    regex: Option<String>,
    semver: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    present: Option<bool>,
}

/// What a table can have.
const KEYS: &str = "one of exact, prefix, suffix, regex, semver, present, or min and max";

impl<'de> Deserialize<'de> for RawPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternVisitor)
    }
}

struct PatternVisitor;

impl<'de> Visitor<'de> for PatternVisitor {
    type Value = RawPattern;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exact text such as \"x\", a list of texts, or a table such as { prefix = \"x\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawPattern, E> {
        Ok(RawPattern::Exact(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawPattern, A::Error> {
        List::deserialize(SeqAccessDeserializer::new(list)).map(RawPattern::OneOf)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawPattern, A::Error> {
        RawPatternTable::deserialize(MapAccessDeserializer::new(table)).map(RawPattern::Table)
    }
}

impl RawPattern {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Pattern, ErrorGuaranteed> {
        match self {
            Self::Exact(text) => Ok(Pattern::Exact(text.as_str().into())),
            Self::OneOf(list) if list.is_empty() => {
                let text = Mismatch::new("an empty list", "at least one text", "add one or remove the key");
                Err(build.report.problem(at, text))
            }
            Self::OneOf(list) => Ok(Pattern::OneOf(list.iter().map(|(_, text)| text.as_str().into()).collect())),
            Self::Table(table) => table.build(at, build),
        }
    }
}

impl RawPatternTable {
    fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Pattern, ErrorGuaranteed> {
        let Self { exact, prefix, suffix, regex: pattern, semver, min, max, present } = self;
        let texts = [exact, prefix, suffix, pattern, semver];
        let others = [min.is_some() || max.is_some(), present.is_some()];
        let count = texts.iter().filter(|text| text.is_some()).count() + others.iter().filter(|there| **there).count();
        match count {
            0 => return Err(build.report.missing(at, Mismatch::new("no key", KEYS, "add one"))),
            1 => {}
            _ => return Err(build.report.problem(at, Mismatch::new("several keys", KEYS, "keep one"))),
        }
        if let Some(text) = exact {
            return Ok(Pattern::Exact(text.as_str().into()));
        }
        if let Some(text) = prefix {
            return some_text(text, "prefix", at, build).map(Pattern::Prefix);
        }
        if let Some(text) = suffix {
            return some_text(text, "suffix", at, build).map(Pattern::Suffix);
        }
        if let Some(text) = pattern {
            return regex(text, &at.key("regex"), build).map(Pattern::Regex);
        }
        if let Some(text) = semver {
            return version_range(text, &at.key("semver"), build).map(Pattern::SemVer);
        }
        if *present == Some(false) {
            let text = Mismatch::new("false", "true", "absence cannot be matched, remove it");
            return Err(build.report.problem(&at.key("present"), text));
        }
        if *present == Some(true) {
            return Ok(Pattern::Present);
        }
        self.number_range(at, build).map(Pattern::Number)
    }

    fn number_range(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<RangeInclusive<f64>, ErrorGuaranteed> {
        for (value, key) in [(self.min, "min"), (self.max, "max")] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                let text = Mismatch::new(value.to_string(), "a number", "leave it out for no bound");
                return Err(build.report.problem(&at.key(key), text));
            }
        }
        match (self.min.unwrap_or(f64::NEG_INFINITY), self.max.unwrap_or(f64::INFINITY)) {
            (min, max) if min > max => {
                let text = Mismatch::new(format!("{min}, above max = {max}"), "at most max", "exchange the two");
                Err(build.report.problem(&at.key("min"), text))
            }
            (min, max) => Ok(min..=max),
        }
    }
}

/// The text of `key`, which is not empty.
fn some_text(text: &str, key: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Box<str>, ErrorGuaranteed> {
    if text.is_empty() {
        let text = Mismatch::new(format!("an empty {key}"), "some text", "write present = true for any value");
        return Err(build.report.problem(&at.key(key), text));
    }
    Ok(text.into())
}

/// A range of versions.
fn version_range(text: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<VersionRange, ErrorGuaranteed> {
    VersionRange::parse(text).ok_or_else(|| {
        let wanted = "comparisons with versions such as \">=2.1, <3\", \"^2.1\", \"~2.1.3\" or \"2.1.0\"";
        build.report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "correct it"))
    })
}

/// A regular expression, compiled once for all places with the same text.
pub(crate) fn regex(text: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Regex, ErrorGuaranteed> {
    let compiled = match build.regexes.get(text) {
        Some(compiled) => compiled,
        None => build.regexes.entry(text.to_owned()).or_insert(Regex::new(text)),
    };
    match compiled {
        Ok(regex) => Ok(regex.clone()),
        Err(why) => {
            let text = Mismatch::new(format!("{text:?}"), "a regular expression", explain(why));
            Err(build.report.problem(at, text))
        }
    }
}

/// One line of an error that draws a picture over several.
fn explain(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let why = last.strip_prefix("error: ").unwrap_or(last);
    format!("mend it: {}", why.trim_end_matches('.'))
}

//! The pattern of a value: `"exact"`, or a table with one of `exact`, `prefix`, `regex`, `present`.

use std::fmt;

use regex::Regex;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::config::build::Build;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;
use crate::table::spec::Pattern;

/// A pattern as it is written.
#[derive(Debug)]
pub(crate) enum RawPattern {
    Exact(String),
    Table(RawPatternTable),
}

#[derive(Debug, serde::Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawPatternTable {
    exact: Option<String>,
    prefix: Option<String>,
    regex: Option<String>,
    present: Option<bool>,
}

impl<'de> Deserialize<'de> for RawPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternVisitor)
    }
}

struct PatternVisitor;

impl<'de> Visitor<'de> for PatternVisitor {
    type Value = RawPattern;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exact text such as \"x\", or a table such as { prefix = \"x\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawPattern, E> {
        Ok(RawPattern::Exact(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawPattern, A::Error> {
        RawPatternTable::deserialize(MapAccessDeserializer::new(table)).map(RawPattern::Table)
    }
}

impl RawPattern {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Pattern, ErrorGuaranteed> {
        let table = match self {
            Self::Exact(text) => return Ok(Pattern::Exact(text.as_str().into())),
            Self::Table(table) => table,
        };
        match (&table.exact, &table.prefix, &table.regex, table.present) {
            (Some(text), None, None, None) => Ok(Pattern::Exact(text.as_str().into())),
            (None, Some(text), None, None) if text.is_empty() => {
                let text = Mismatch::new("an empty prefix", "some text", "write present = true for any value");
                Err(build.report.problem(&at.key("prefix"), text))
            }
            (None, Some(text), None, None) => Ok(Pattern::Prefix(text.as_str().into())),
            (None, None, Some(text), None) => regex(text, &at.key("regex"), build).map(Pattern::Regex),
            (None, None, None, Some(true)) => Ok(Pattern::Present),
            (None, None, None, Some(false)) => {
                let text = Mismatch::new("false", "true", "absence cannot be matched, remove it");
                Err(build.report.problem(&at.key("present"), text))
            }
            (None, None, None, None) => Err(build
                .report
                .missing(at, Mismatch::new("no key", "one of exact, prefix, regex, present", "add one"))),
            _ => Err(build
                .report
                .problem(at, Mismatch::new("several keys", "one of exact, prefix, regex, present", "keep one"))),
        }
    }
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

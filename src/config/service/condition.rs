//! `when`: a match on the request, of a rule or of a segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method};
use serde::Deserialize;

use super::definition_index::DefinitionIndex;
use super::pattern::RawPattern;
use super::sticky::{is_query_name, is_token};
use crate::config::build::Build;
use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::{List, Texts};
use crate::config::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;
use crate::table::spec::{Attribute, Condition, Pattern, Segment};

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawCondition {
    header: BTreeMap<String, RawPattern>,
    cookie: BTreeMap<String, RawPattern>,
    query: BTreeMap<String, RawPattern>,
    method: Option<Texts>,
    path: Option<RawPattern>,
    client: Option<Texts>,
    segment: Option<Texts>,
    attribute: BTreeMap<String, RawPattern>,
    any: List<Self>,
    not: Option<Box<Self>>,
}

/// Named patterns of one kind.
type Named<K> = Vec<(K, Pattern)>;

impl RawCondition {
    /// The condition, which has at least one part; `catches` says what an empty one would do.
    pub(crate) fn build(
        &self,
        segments: &DefinitionIndex<Segment>,
        catches: Mismatch,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<Condition, ErrorGuaranteed> {
        let headers = named(&self.header, header_name, &at.key("header"), build);
        let cookies = named(&self.cookie, |name| is_token(name).then(|| name.into()), &at.key("cookie"), build);
        let query = named(&self.query, |name| is_query_name(name).then(|| name.into()), &at.key("query"), build);
        let methods = texts(self.method.as_ref(), &at.key("method"), build, method);
        let path = self.path.as_ref().map(|raw| path(raw, &at.key("path"), build)).transpose();
        let clients = texts(self.client.as_ref(), &at.key("client"), build, |text, at, build| {
            check::network(text, at, &mut build.report)
        });
        let found = texts(self.segment.as_ref(), &at.key("segment"), build, |text, at, build| {
            segments.find(text, at, &mut build.report)
        });
        let attributes = attributes(&self.attribute, &at.key("attribute"), build);
        let any = every(
            self.any.iter().map(|(index, raw)| raw.build(segments, empty_part(), &at.key("any").item(index), build)),
        );
        let not = self.not.as_ref().map(|raw| raw.build(segments, empty_part(), &at.key("not"), build).map(Box::new));
        let (headers, cookies, query) = (headers?, cookies?, query?);
        let (methods, path, clients, segments) = (methods?, path?, clients?, found?);
        let (attributes, any, not) = (attributes?, any?, not.transpose()?);
        let condition = Condition { headers, cookies, query, methods, path, clients, segments, attributes, any, not };
        if condition.is_empty() {
            return Err(build.report.missing(at, catches));
        }
        Ok(condition)
    }

    /// Whether it names segments.
    pub(crate) fn has_segment(&self) -> bool {
        let mut inner = self.any.iter().map(|(_, raw)| raw).chain(self.not.as_deref());
        self.segment.is_some() || inner.any(Self::has_segment)
    }
}

/// A part of `any` or `not` that would hold for every request.
fn empty_part() -> Mismatch {
    Mismatch::new("no match", "at least one", "add one, or remove it")
}

fn header_name(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}

/// Patterns by the name of a header, cookie or query parameter.
fn named<K: PartialEq>(
    raw: &BTreeMap<String, RawPattern>,
    name: impl Fn(&str) -> Option<K>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Named<K>, ErrorGuaranteed> {
    let mut found: Named<K> = Vec::new();
    let mut refused = Ok(());
    for (key, raw) in raw {
        let at = at.key(key);
        let pattern = raw.build(&at, build);
        match (name(key), pattern) {
            (None, _) => {
                let text = Mismatch::new(format!("{key:?}"), "a name that can stand in a request", "correct it");
                refused = Err(build.report.problem(&at, text));
            }
            (Some(name), _) if found.iter().any(|(other, _)| *other == name) => {
                let text =
                    Mismatch::new("it for the second time in other letters", "each name once", "remove one of the two");
                refused = Err(build.report.problem(&at, text));
            }
            (Some(_), Err(reported)) => refused = Err(reported),
            (Some(name), Ok(pattern)) => found.push((name, pattern)),
        }
    }
    refused.map(|()| found)
}

/// The elements of a list that is not empty, or none if there is no such key.
pub(crate) fn texts<T>(
    raw: Option<&Texts>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
    one: impl Fn(&str, &ConfigPath<'_>, &mut Build<'_>) -> Result<T, ErrorGuaranteed>,
) -> Result<Vec<T>, ErrorGuaranteed> {
    match raw {
        None => Ok(Vec::new()),
        Some(raw) if raw.is_empty() => {
            Err(build.report.problem(at, Mismatch::new("an empty list", "at least one", "add one or remove the key")))
        }
        Some(raw) => every(raw.each(at, |at, text| one(text, at, build))),
    }
}

/// A method; its case counts.
pub(crate) fn method(text: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Method, ErrorGuaranteed> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if !text.bytes().any(|b| b.is_ascii_lowercase()) => Ok(method),
        Ok(_) | Err(_) => {
            let upper = text.to_ascii_uppercase();
            let remedy = if is_token(text) { format!("write {upper:?}") } else { "correct it".to_owned() };
            Err(build.report.problem(at, Mismatch::new(format!("{text:?}"), "a method such as \"GET\"", remedy)))
        }
    }
}

/// A pattern of the path, which every request has and which begins with `/`.
pub(crate) fn path(raw: &RawPattern, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Pattern, ErrorGuaranteed> {
    let pattern = raw.build(at, build)?;
    match &pattern {
        Pattern::SemVer(_) | Pattern::Number(_) => {
            let text = Mismatch::new("a version or a number", "a text, prefix, suffix or regex", "choose one of them");
            Err(build.report.problem(at, text))
        }
        Pattern::Exact(text) | Pattern::Prefix(text) if !text.starts_with('/') => Err(not_absolute(text, at, build)),
        Pattern::OneOf(texts) => match texts.iter().find(|text| !text.starts_with('/')) {
            Some(text) => Err(not_absolute(text, at, build)),
            None => Ok(pattern),
        },
        Pattern::Present => {
            let text =
                Mismatch::new("present", "a text, prefix, suffix or regex, for every request has a path", "remove it");
            Err(build.report.problem(at, text))
        }
        Pattern::Exact(_) | Pattern::Prefix(_) | Pattern::Suffix(_) | Pattern::Regex(_) => Ok(pattern),
    }
}

/// That a path begins with `/`.
fn not_absolute(text: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> ErrorGuaranteed {
    let remedy = format!("write {:?}", format!("/{text}"));
    build.report.problem(at, Mismatch::new(format!("{text:?}"), "a path that begins with /", remedy))
}

/// Patterns by the name of an attribute.
fn attributes(
    raw: &BTreeMap<String, RawPattern>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Named<Arc<Attribute>>, ErrorGuaranteed> {
    every(raw.iter().map(|(name, raw)| {
        let at = at.key(name);
        let pattern = raw.build(&at, build);
        let attribute = build.attributes.find(name, &at, &mut build.report);
        Ok((attribute?, pattern?))
    }))
}

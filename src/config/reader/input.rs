//! The input of the reader: the text of a config, with the line of every key, or the body of a call, which has no
//! lines.
//!
//! A text that is not TOML is reported for its syntax alone: half a tree would be full of keys that only seem to be
//! missing.

use std::collections::HashSet;

use toml::de::{DeTable, DeValue, Error};

use super::config_path::ConfigPath;
use super::tree::{NodeId, Tree};
use super::unclosed;
use super::variables::{ConfigEnvironment, PutIn};
use crate::problem::{Mismatch, PROBLEMS_MAX, Problem, ProblemKind, Problems};

/// A tree to read from.
pub(crate) struct Input<'t>(InputTree<'t>);

enum InputTree<'t> {
    Toml { root: DeValue<'t>, lines: LineIndex, put_in: PutIn },
    Json(&'t serde_json::Value),
}

impl<'t> Input<'t> {
    /// The text of a config.
    pub(crate) fn toml(text: &'t str) -> Result<Self, Problems> {
        let lines = LineIndex::new(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self(InputTree::Toml {
                root: DeValue::Table(root.into_inner()),
                lines,
                put_in: PutIn::default(),
            }));
        }
        if let Some(problem) = unclosed_problem(text, &lines, &errors) {
            return Err(Problems::new(vec![problem], false));
        }
        let mut problems: Vec<_> = errors.iter().take(PROBLEMS_MAX).map(|e| syntax_problem(text, &lines, e)).collect();
        problems.sort_by_key(|problem| problem.line);
        // What follows on the same line nearly always follows from the first.
        problems.dedup_by_key(|problem| problem.line);
        Err(Problems::new(problems, errors.len() > PROBLEMS_MAX))
    }

    /// The same with the values of the variables that its texts name.
    pub(crate) fn toml_with(text: &'t str, environment: ConfigEnvironment<'_>) -> Result<Self, Problems> {
        let mut input = Self::toml(text)?;
        if text.contains("${") {
            input.put_in(environment);
        }
        Ok(input)
    }

    pub(super) fn put_in(&mut self, environment: ConfigEnvironment<'_>) {
        if let InputTree::Toml { root, put_in, .. } = &mut self.0 {
            *put_in = PutIn::new(root, environment);
        }
    }

    /// What is wrong with the variables.
    pub(super) fn variable_problems(&self) -> Vec<Problem> {
        let InputTree::Toml { lines, put_in, .. } = &self.0 else { return Vec::new() };
        put_in.faults.iter().map(|fault| fault.problem(lines.at(fault.offset))).collect()
    }

    /// The texts that have no value, because their variables have none.
    pub(super) fn left_out(&self) -> HashSet<NodeId> {
        let InputTree::Toml { put_in, .. } = &self.0 else { return HashSet::new() };
        put_in.left_out.clone()
    }

    /// The text at `path` as it is written, if variables were put in.
    pub(super) fn before_variables(&self, path: &str) -> Option<&str> {
        let InputTree::Toml { put_in, .. } = &self.0 else { return None };
        put_in.written.get(path).map(String::as_str)
    }

    /// The body of a call, or what is stored.
    pub(crate) fn json(value: &'t serde_json::Value) -> Self {
        Self(InputTree::Json(value))
    }

    fn root(&self) -> Tree<'_> {
        match &self.0 {
            InputTree::Toml { root, .. } => Tree::Toml(root),
            InputTree::Json(value) => Tree::Json(value),
        }
    }

    /// The value at `path`, if it is there.
    pub(crate) fn value(&self, path: &ConfigPath<'_>) -> Option<Tree<'_>> {
        match path {
            ConfigPath::Root => Some(self.root()),
            ConfigPath::Key(parent, key) => self.value(parent)?.key(key),
            ConfigPath::Item(parent, index) => self.value(parent)?.item(*index),
        }
    }

    /// The line of `path`, or of the innermost part of it that is there.
    pub(crate) fn line_of(&self, path: &ConfigPath<'_>) -> Option<usize> {
        let InputTree::Toml { root, lines, .. } = &self.0 else { return None };
        offset(root, path).1.map(|offset| lines.at(offset))
    }
}

/// The value at `path`, if it is there, and where its key or the innermost part of it begins.
fn offset<'v, 't>(root: &'v DeValue<'t>, path: &ConfigPath<'_>) -> (Option<&'v DeValue<'t>>, Option<usize>) {
    let (parent, at) = match path {
        ConfigPath::Root => return (Some(root), None),
        ConfigPath::Key(parent, _) | ConfigPath::Item(parent, _) => offset(root, parent),
    };
    let found = parent.and_then(|parent| match path {
        ConfigPath::Root => None,
        ConfigPath::Key(_, key) => {
            let (key, value) = parent.as_table()?.get_key_value(*key)?;
            Some((value.get_ref(), key.span().start))
        }
        ConfigPath::Item(_, index) => {
            let element = parent.as_array()?.get(*index)?;
            Some((element.get_ref(), element.span().start))
        }
    });
    found.map_or((None, at), |(value, start)| (Some(value), Some(start)))
}

/// Where the lines of a text begin.
struct LineIndex(Vec<usize>);

impl LineIndex {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset + 1).collect())
    }

    /// The line, from 1, of a byte offset.
    fn at(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|begin| *begin <= offset)
    }
}

/// The list or table that was not closed, if that is the first error: all others follow from it.
fn unclosed_problem(text: &str, lines: &LineIndex, errors: &[Error]) -> Option<Problem> {
    let first = errors.iter().filter_map(Error::span).map(|span| span.start).min()?;
    let (at, bracket) = unclosed::opened(text, first)?;
    let (what, wanted, remedy) = match bracket {
        '[' => ("unclosed array", "]", "close the list that begins on this line"),
        _ => ("unclosed inline table", "}", "close the table that begins on this line"),
    };
    let found = match text[first..].trim().is_empty() {
        true => "the end of the file".to_owned(),
        false => format!("the next key on line {}", lines.at(first)),
    };
    let problem = Mismatch::new(found, wanted, remedy).at("", ProblemKind::Syntax(what.to_owned()));
    Some(Problem { line: Some(lines.at(at)), ..problem })
}

/// A syntax error in our words; the parser joins what is wrong and what it expected into one message.
fn syntax_problem(text: &str, lines: &LineIndex, error: &Error) -> Problem {
    let (what, expected) = match error.message().split_once(", expected ") {
        Some((what, expected)) => (what, Some(expected)),
        None => (error.message(), None),
    };
    let span = error.span();
    let found = span.clone().map_or_else(|| "something else".to_owned(), |span| found(text, span));
    let (wanted, remedy) = match what {
        "duplicate key" => ("every key once", "remove one of the two"),
        "string values must be quoted" => ("a value", "put texts into quotes"),
        "key with no value" | "missing value for key" | "missing value" => ("a value", "write KEY = VALUE"),
        "unclosed array" => ("]", "close the list"),
        "unclosed inline table" => ("}", "close the table"),
        "unclosed table" | "unclosed array table" => ("]", "close the header of the section"),
        _ if what.starts_with("invalid") && what.ends_with("string") => {
            (expected.unwrap_or("a text"), "close the text on its line, write \\\\ for a backslash")
        }
        _ => (expected.unwrap_or("valid TOML"), "see toml.io for the notation"),
    };
    let line = span.map(|span| lines.at(span.start));
    Problem { line, ..Mismatch::new(found, wanted, remedy).at("", ProblemKind::Syntax(what.to_owned())) }
}

/// What stands at `span`, shortened.
fn found(text: &str, span: std::ops::Range<usize>) -> String {
    /// More than this of a wrong text does not help to find it.
    const CHARS_MAX: usize = 40;
    let rest = text.get(span.start..).unwrap_or_default();
    let width = if span.is_empty() { 1 } else { text.get(span).map_or(1, |part| part.chars().count()) };
    match rest.chars().next() {
        None => "the end of the file".to_owned(),
        Some('\n' | '\r') => "the end of the line".to_owned(),
        Some(_) => {
            let part: String = rest.chars().take(width.min(CHARS_MAX)).take_while(|c| *c != '\n').collect();
            format!("{:?}", part.trim_end())
        }
    }
}

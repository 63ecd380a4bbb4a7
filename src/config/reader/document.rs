//! The text as TOML, with the line of every key.
//!
//! A text that is not TOML is reported for its syntax alone: half a tree would be full of keys that only seem to be
//! missing.

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::config_path::Place;
use super::problem::{Problem, Problems};
use super::report::{PROBLEMS_MAX, and_more};

/// A text that is TOML.
pub(crate) struct Document<'t> {
    root: DeValue<'t>,
    lines: Lines,
}

impl<'t> Document<'t> {
    /// Reads `text`.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Problems> {
        let lines = Lines::new(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { root: DeValue::Table(root.into_inner()), lines });
        }
        let mut problems: Vec<_> = errors.iter().take(PROBLEMS_MAX).map(|e| syntax_problem(text, &lines, e)).collect();
        problems.sort_by_key(|problem| problem.line);
        // What follows on the same line nearly always follows from the first.
        problems.dedup_by_key(|problem| problem.line);
        if errors.len() > PROBLEMS_MAX {
            problems.push(and_more());
        }
        Err(Problems::new(problems))
    }

    /// The value at `place`, if it is there.
    pub(crate) fn value(&self, place: &Place<'_>) -> Option<&DeValue<'t>> {
        self.find(place).0
    }

    /// The line of `place`, or of the innermost part of it that is there.
    pub(crate) fn line_of(&self, place: &Place<'_>) -> Option<usize> {
        self.find(place).1.map(|offset| self.lines.at(offset))
    }

    /// The value at `place`, if it is there, and where its key or the innermost part of it begins.
    fn find(&self, place: &Place<'_>) -> (Option<&DeValue<'t>>, Option<usize>) {
        let entry = |parent: &Place<'_>, pick: &dyn Fn(&DeValue<'t>) -> Option<usize>| {
            let (value, offset) = self.find(parent);
            (value, value.and_then(pick).or(offset))
        };
        match place {
            Place::Root => (Some(&self.root), None),
            Place::Key(parent, key) => {
                let (table, offset) = entry(parent, &|v| Some(v.as_table()?.get_key_value(*key)?.0.span().start));
                (table.and_then(|v| v.as_table()?.get(*key)).map(Spanned::get_ref), offset)
            }
            Place::Item(parent, index) => {
                let (list, offset) = entry(parent, &|v| Some(v.as_array()?.get(*index)?.span().start));
                (list.and_then(|v| v.as_array()?.get(*index)).map(Spanned::get_ref), offset)
            }
        }
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset + 1).collect())
    }

    /// The line, from 1, of a byte offset.
    fn at(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|begin| *begin <= offset)
    }
}

/// A syntax error in our words; the parser joins what is wrong and what it expected into one message.
fn syntax_problem(text: &str, lines: &Lines, error: &Error) -> Problem {
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
    Problem {
        line: span.map(|span| lines.at(span.start)),
        path: String::new(),
        text: format!("not TOML: {what}: found {found}, want {wanted} ({remedy})"),
    }
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

//! The fault of a value that cannot be read: what serde found and wanted, kept apart until it is known in which
//! notation to answer.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::tree::Notation;
use super::unit_remedy;
use crate::problem::{Mismatch, listed, suggest};

/// How the wish for a number of a revision begins.
pub(crate) const A_REVISION: &str = "a revision";

/// What serde refuses.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// Another type, or a value out of range.
    Unfit {
        /// What stands there.
        found: Written,
        /// What the type wants, in its own words.
        wanted: String,
    },
    /// A key that the table does not have.
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that it has.
        known: &'static [&'static str],
    },
    /// None of the words that can stand there.
    UnknownChoice {
        /// What stands there.
        choice: String,
        /// The words.
        known: &'static [&'static str],
    },
    /// What no type of ours says.
    Other(String),
}

/// What stands in a file or a body, as far as a message needs it.
#[derive(Debug)]
pub(crate) enum Written {
    Null,
    Bool(bool),
    Number {
        /// As it is written.
        text: String,
        is_whole: bool,
    },
    Text(String),
    List,
    Table,
    Other(String),
}

impl ReadFault {
    /// The keys that would have been known, when a key is unknown.
    pub(crate) fn known(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::UnknownKey { known, .. } => Some(known),
            Self::Unfit { .. } | Self::UnknownChoice { .. } | Self::Other(_) => None,
        }
    }

    /// Whether a text stands where none can.
    pub(crate) fn wants_no_text(&self) -> bool {
        let Self::Unfit { found: Written::Text(_), wanted } = self else { return false };
        wanted.contains("number") || matches!(wanted.as_str(), "a boolean" | "a sequence" | "a map" | "a table")
    }

    /// What is wrong, for a person who writes `notation`.
    pub(crate) fn mismatch(&self, notation: Notation) -> Mismatch {
        match self {
            Self::Unfit { found, wanted } => found.instead_of(wanted, notation),
            Self::UnknownKey { key, known } => {
                let found = format!("the unknown key {key:?}");
                match suggest(key, known.iter().copied()) {
                    Some(meant) => Mismatch::new(found, "a known one", format!("did you mean {meant:?}?")),
                    None => {
                        let known = listed(known.iter().copied());
                        Mismatch::new(found, format!("one of {known}"), "rename or remove it")
                    }
                }
            }
            Self::UnknownChoice { choice, known } => {
                let remedy = match suggest(choice, known.iter().copied()) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => "choose one of them".to_owned(),
                };
                Mismatch::new(format!("{choice:?}"), one_quoted(known), remedy)
            }
            Self::Other(why) => Mismatch::new(why.as_str(), "a value that can be read", "correct it"),
        }
    }
}

/// `one of "a", "b"`
pub(crate) fn one_quoted(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
    format!("one of {}", quoted.join(", "))
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mismatch(Notation::Toml).fmt(f)
    }
}

impl std::error::Error for ReadFault {}

impl Error for ReadFault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Other(text.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Unfit { found: Written::from(unexpected), wanted: expected.to_string() }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey { key: key.to_owned(), known }
    }

    fn unknown_variant(choice: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownChoice { choice: choice.to_owned(), known }
    }
}

impl From<Unexpected<'_>> for Written {
    fn from(unexpected: Unexpected<'_>) -> Self {
        match unexpected {
            Unexpected::Bool(value) => Self::Bool(value),
            Unexpected::Unsigned(value) => Self::Number { text: value.to_string(), is_whole: true },
            Unexpected::Signed(value) => Self::Number { text: value.to_string(), is_whole: true },
            // A whole one keeps its fraction: `1.0` is not `1`.
            Unexpected::Float(value) => Self::Number { text: format!("{value:?}"), is_whole: false },
            Unexpected::Str(value) => Self::Text(value.to_owned()),
            Unexpected::Map => Self::Table,
            Unexpected::Seq => Self::List,
            Unexpected::Unit => Self::Null,
            Unexpected::Other(what) => Self::Other(what.to_owned()),
            Unexpected::Char(_)
            | Unexpected::Bytes(_)
            | Unexpected::Option
            | Unexpected::NewtypeStruct
            | Unexpected::Enum
            | Unexpected::UnitVariant
            | Unexpected::NewtypeVariant
            | Unexpected::TupleVariant
            | Unexpected::StructVariant => Self::Other(unexpected.to_string()),
        }
    }
}

impl Written {
    /// `found 5, want a list (write [5])`
    fn instead_of(&self, expected: &str, notation: Notation) -> Mismatch {
        let wanted = match expected {
            "a boolean" => "true or false",
            "a sequence" => "a list",
            "a map" | "a table" => table(notation),
            other if other.starts_with("a whole number") && self.is_huge() => {
                let wanted = format!("{other}, that is not so large");
                return Mismatch::new(self.shown(notation), wanted, "lower it");
            }
            other => other,
        };
        Mismatch::new(self.shown(notation), wanted, self.remedy(wanted, notation))
    }

    /// Whether it is a whole number that no setting can be.
    fn is_huge(&self) -> bool {
        let (Self::Number { text, .. } | Self::Other(text)) = self else { return false };
        text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_err()
    }

    /// As it would be written.
    fn shown(&self, notation: Notation) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number { text, .. } | Self::Other(text) => text.clone(),
            Self::Text(text) => format!("{text:?}"),
            Self::List => "a list".to_owned(),
            Self::Table => table(notation).to_owned(),
        }
    }

    /// What to write instead.
    fn remedy(&self, wanted: &str, notation: Notation) -> String {
        if let Self::Text(text) = self {
            return text_remedy(text, wanted, notation);
        }
        let found = self.shown(notation);
        let number = matches!(self, Self::Number { .. });
        let scalar = number || matches!(self, Self::Bool(_));
        if number && wanted.starts_with("a duration") {
            format!("write \"{found}s\" for seconds")
        } else if number && wanted.starts_with("a size") {
            format!("write \"{found}B\" for bytes")
        } else if scalar && wanted == "a string" {
            format!("write \"{found}\"")
        } else if scalar && wanted == "a list" {
            format!("write [{found}]")
        } else if wanted == table(notation) {
            write_table(notation).to_owned()
        } else if matches!(self, Self::Number { is_whole: false, .. })
            && wanted.contains("number")
            && !wanted.starts_with(A_REVISION)
        {
            "round it or bring it into the range".to_owned()
        } else {
            correction(wanted)
        }
    }
}

/// What there is no general remedy for.
fn correction(wanted: &str) -> String {
    let remedy = if wanted.starts_with(A_REVISION) { "take it from the list of revisions" } else { "correct it" };
    remedy.to_owned()
}

/// How a set of keys and values is called.
fn table(notation: Notation) -> &'static str {
    match notation {
        Notation::Toml => "a table",
        Notation::Json => "an object",
    }
}

fn write_table(notation: Notation) -> &'static str {
    match notation {
        Notation::Toml => "write { KEY = VALUE }, or a [section] of its own",
        Notation::Json => "write {\"KEY\": VALUE}",
    }
}

/// What to write instead of `2%`: weights are per cent, ratios and probabilities are parts of one.
fn percent_remedy(number: &str, wanted: &str) -> String {
    let of_one = ["between 0 and 1,", "from 0 to 1,", "including, 1,"].iter().any(|range| wanted.contains(range));
    match number.parse::<f64>() {
        Ok(percent) if of_one => format!("write {}", percent / 100.0),
        Ok(_) | Err(_) => format!("write {number}"),
    }
}

/// What to write instead of a text.
fn text_remedy(text: &str, wanted: &str, notation: Notation) -> String {
    let number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    let span = wanted.starts_with("a duration");
    if wanted == "a list" {
        format!("write [{text:?}]")
    } else if wanted == table(notation) {
        write_table(notation).to_owned()
    } else if (wanted == "true or false" && matches!(text, "true" | "false"))
        || (wanted.contains("number") && number(text))
    {
        "leave the quotes out".to_owned()
    } else if wanted.contains("number") && number(text.trim_end_matches('%')) {
        percent_remedy(text.trim_end_matches('%'), wanted)
    } else if span || wanted.starts_with("a size") {
        let unit = if span { 's' } else { 'B' };
        match number(text) && !text.contains('.') {
            true => format!("add a unit: \"{text}{unit}\""),
            false if span => unit_remedy::of_time(text),
            false => unit_remedy::of_size(text),
        }
    } else {
        correction(wanted)
    }
}

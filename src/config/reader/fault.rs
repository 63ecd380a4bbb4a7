//! Why a value could not be read: serde's answers in our words, with what was *found* and what is *wanted* kept apart.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::suggest::{listed, nearest};

/// What serde refused, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What is wrong.
    pub(crate) text: String,
    /// The keys that would have been known, when a key is unknown.
    pub(crate) known: Option<&'static [&'static str]>,
}

impl Fault {
    fn new(text: String) -> Self {
        Self { text, known: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(text.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(unfit(unexpected, &expected.to_string()))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        let meant = nearest(key, known.iter().copied());
        let text = match meant {
            Some(meant) => format!("found the unknown key {key:?}, want a known one (did you mean {meant:?}?)"),
            None => {
                let known = listed(known.iter().copied());
                format!("found the unknown key {key:?}, want one of {known} (rename or remove it)")
            }
        };
        Self { text, known: Some(known) }
    }

    fn unknown_variant(choice: &str, known: &'static [&'static str]) -> Self {
        let quoted: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
        let remedy = match nearest(choice, known.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "choose one of them".to_owned(),
        };
        Self::new(format!("found {choice:?}, want one of {} ({remedy})", quoted.join(", ")))
    }
}

/// `found 5, want a list (write [5])`
fn unfit(unexpected: Unexpected<'_>, expected: &str) -> String {
    let wanted = match expected {
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    };
    let found = found(unexpected);
    format!("found {found}, want {wanted} ({})", remedy(unexpected, &found, wanted))
}

/// What was found, as it would be written in the file.
fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Char(value) => format!("{value:?}"),
        Unexpected::Str(value) => format!("{value:?}"),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Other(what) => what.to_owned(),
        Unexpected::Bytes(_)
        | Unexpected::Unit
        | Unexpected::Option
        | Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => unexpected.to_string(),
    }
}

/// What to write instead.
fn remedy(unexpected: Unexpected<'_>, found: &str, wanted: &str) -> String {
    if let Unexpected::Str(text) = unexpected {
        return text_remedy(text, wanted);
    }
    let number = matches!(unexpected, Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_));
    let scalar = number || matches!(unexpected, Unexpected::Bool(_));
    if number && wanted.starts_with("a duration") {
        format!("write \"{found}s\" for seconds")
    } else if number && wanted.starts_with("a size") {
        format!("write \"{found}B\" for bytes")
    } else if scalar && wanted == "a string" {
        format!("write \"{found}\"")
    } else if scalar && wanted == "a list" {
        format!("write [{found}]")
    } else if wanted == "a table" {
        TABLE.to_owned()
    } else if matches!(unexpected, Unexpected::Float(_)) && wanted.contains("number") {
        "round it or bring it into the range".to_owned()
    } else {
        "correct it".to_owned()
    }
}

const TABLE: &str = "write { KEY = VALUE }, or a [section] of its own";

/// What to write instead of `2%`: weights are per cent, ratios and probabilities are parts of one.
fn percent_remedy(number: &str, wanted: &str) -> String {
    let of_one = ["between 0 and 1,", "from 0 to 1,", "including, 1,"].iter().any(|range| wanted.contains(range));
    match number.parse::<f64>() {
        Ok(percent) if of_one => format!("write {}", percent / 100.0),
        Ok(_) | Err(_) => format!("write {number}"),
    }
}

/// What to write instead of a text.
fn text_remedy(text: &str, wanted: &str) -> String {
    let number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    let span = wanted.starts_with("a duration");
    if wanted == "a list" {
        format!("write [{text:?}]")
    } else if wanted == "a table" {
        TABLE.to_owned()
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
            false => "write a whole number and a unit, without a space".to_owned(),
        }
    } else {
        "correct it".to_owned()
    }
}

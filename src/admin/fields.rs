//! Reads the fields of a body and collects everything that is wrong with them.

use serde_json::{Map, Value};

use crate::problem::Problem;

/// The longest reason, in bytes: it is kept for ever and shown in a line.
pub(crate) const REASON_BYTES_MAX: usize = 1024;

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct BodyFields<'a> {
    map: &'a Map<String, Value>,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
}

impl<'a> BodyFields<'a> {
    /// Begins to read `body`, which has to be an object with no other keys than `known` (none: any keys).
    #[must_use]
    pub(crate) fn of(body: &'a Map<String, Value>, known: Option<&[&str]>, problems: Vec<Problem>) -> Self {
        let mut fields = Self { map: body, problems };
        for key in body.keys().filter(|key| known.is_some_and(|known| !known.contains(&key.as_str()))) {
            let wanted = format!("only {}", known.unwrap_or_default().join(", "));
            let near = known.unwrap_or_default().iter().find(|known| strsim::damerau_levenshtein(known, key) <= 2);
            let remedy = near.map_or_else(|| "leave it out".to_owned(), |near| format!("did you mean {near}?"));
            fields.problems.push(Problem::invalid(key.as_str(), "an unknown key", wanted, &remedy));
        }
        fields
    }

    /// A text that has to be there.
    pub(crate) fn text(&mut self, key: &str) -> Option<&'a str> {
        match self.map.get(key) {
            None => {
                self.wrong(key, "nothing", "a text", "add it");
                None
            }
            Some(_) => self.optional_text(key),
        }
    }

    /// A text, if it is there.
    pub(crate) fn optional_text(&mut self, key: &str) -> Option<&'a str> {
        let value = self.optional(key)?;
        let text = value.as_str();
        if text.is_none() {
            self.wrong(key, kind(value), "a text", "put it in quotes");
        }
        text
    }

    /// A whole number, if it is there.
    pub(crate) fn optional_number(&mut self, key: &str) -> Option<u64> {
        let value = self.optional(key)?;
        let number = value.as_u64();
        if number.is_none() {
            self.wrong(key, show(value), "a whole number", "take it from the list of revisions");
        }
        number
    }

    /// Whether something is asked for; not, if nothing is said.
    pub(crate) fn flag(&mut self, key: &str) -> bool {
        let value = self.optional(key);
        let flag = value.map_or(Some(false), Value::as_bool);
        if let (None, Some(value)) = (flag, value) {
            self.wrong(key, show(value), "true or false", "leave it out for false");
        }
        flag.unwrap_or_default()
    }

    /// A list of texts, if it is there.
    pub(crate) fn optional_list(&mut self, key: &str) -> Option<Vec<&'a str>> {
        let value = self.optional(key)?;
        let texts: Option<Vec<_>> = value.as_array().and_then(|items| items.iter().map(Value::as_str).collect());
        let texts = texts.filter(|texts| !texts.is_empty());
        if texts.is_none() {
            self.wrong(key, show(value), "a list of at least one name", "write [\"shop\"], or leave it out for all");
        }
        texts
    }

    /// A value that is there and not null.
    fn optional(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The reason of a change.
    pub(crate) fn reason(&mut self) -> Option<String> {
        let reason = self.optional_text("reason")?.trim();
        if reason.len() > REASON_BYTES_MAX {
            let found = format!("{} bytes", reason.len());
            self.wrong("reason", found, format!("at most {REASON_BYTES_MAX} bytes"), "shorten it");
        }
        (!reason.is_empty()).then(|| reason.to_owned())
    }

    /// Notes a problem.
    pub(crate) fn wrong(&mut self, key: &str, found: impl Into<String>, wanted: impl Into<String>, remedy: &str) {
        self.problems.push(Problem::invalid(key, found, wanted, remedy));
    }
}

/// What a value is, in a word or two.
#[must_use]
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value as it stands if it is short, else what it is.
#[must_use]
pub(crate) fn show(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 40 { text } else { kind(value).to_owned() }
}

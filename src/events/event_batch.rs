//! A batch of events, from the text of a body to events that cannot be wrong, or to everything that is wrong with it.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Map, Value};

use super::event_names::EventNames;
use crate::experiment::name_hash::NameHash;
use crate::ledger::ledger_handle::{UserEvent, UserEventKind};
use crate::problem::{Mismatch, Problem, ProblemKind, listed, strict_json, suggest};

/// The most events of a batch: what a program has to say of some seconds.
pub(crate) const BATCH_EVENTS_MAX: usize = 1000;

/// The largest body, in bytes: a worker that reads one serves no request meanwhile, which are some milliseconds.
pub(crate) const BATCH_BYTES_MAX: usize = 256 * 1024;

/// After this many problems nothing more is to be learned from a batch.
const PROBLEMS_MAX: usize = 20;

/// The longest id and the longest name of an event, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// The longest key of a user, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// The largest value: its square and that of a million users' sum are numbers, and above it cents are lost.
const VALUE_MAX: f64 = 1e15;

/// The clock of another machine may be ahead by so much, in milliseconds; such an event has happened now.
const AHEAD_MS: u64 = 5_000;

/// What an event may have.
const KEYS: [&str; 6] = ["id", "event", "covariate", "targetingKey", "value", "at"];

/// Why a batch is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BatchFault {
    /// It is not JSON, for this reason.
    NoJson(String),
    /// All of these, or the first ones of many.
    Problems(Vec<Problem>),
}

/// Reads a batch: `[{"id": "1", "event": "order_value", "targetingKey": "ann", "value": 49.9}, ...]`. What is in the
/// future at `now_ms` is refused, and an event without a time has happened then.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_batch(body: &[u8], known: &EventNames, now_ms: u64) -> Result<Vec<UserEvent>, BatchFault> {
    let mut reader = BatchReader { known, now_ms, problems: Vec::new() };
    let events = match parse(body)? {
        Value::Array(events) => events,
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            let remedy = "write [{\"id\": \"1\", \"event\": \"order_value\", \"targetingKey\": \"ann\"}]";
            reader.problem("body", Mismatch::new(kind(&other), "a list of events", remedy));
            return Err(BatchFault::Problems(reader.problems));
        }
    };
    if events.is_empty() || events.len() > BATCH_EVENTS_MAX {
        let remedy = if events.is_empty() { "send some, or nothing at all" } else { "send several batches" };
        let found = format!("{} events", events.len());
        reader.problem("body", Mismatch::new(found, format!("1 to {BATCH_EVENTS_MAX}"), remedy));
        return Err(BatchFault::Problems(reader.problems));
    }
    let mut read = Vec::with_capacity(events.len());
    for (event, number) in events.iter().zip(1_u32..) {
        read.extend(reader.event(&format!("[{number}]"), event));
        if reader.problems.len() >= PROBLEMS_MAX {
            reader.problems.truncate(PROBLEMS_MAX);
            break;
        }
    }
    if reader.problems.is_empty() { Ok(read) } else { Err(BatchFault::Problems(reader.problems)) }
}

fn parse(body: &[u8]) -> Result<Value, BatchFault> {
    strict_json::parse(body).or_else(|error| {
        // What some languages write for values that are no numbers is no JSON, and still has a place to be told of.
        let quoted = quote_non_numbers(body).and_then(|body| strict_json::parse(&body).ok());
        quoted.ok_or_else(|| match body.trim_ascii() {
            [] => BatchFault::NoJson("the body is empty, want a list of events".to_owned()),
            _ if error.is_eof() => {
                BatchFault::NoJson(format!("the JSON of the body is cut off ({error}); send all of it"))
            }
            _ => BatchFault::NoJson(format!("the body is not good JSON: {error}")),
        })
    })
}

/// The same text with `NaN` and `Infinity` as texts; none if it has neither.
fn quote_non_numbers(body: &[u8]) -> Option<Vec<u8>> {
    let (mut quoted, mut at, mut text, mut found) = (Vec::with_capacity(body.len() + 64), 0, false, false);
    while let Some(byte) = body.get(at) {
        let rest = &body[at..];
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| rest.starts_with(word.as_bytes()));
        match (text, word) {
            (false, Some(word)) => {
                quoted.extend_from_slice(format!("\"{word}\"").as_bytes());
                at += word.len();
                found = true;
            }
            (true, _) if *byte == b'\\' => {
                quoted.extend_from_slice(&rest[..rest.len().min(2)]);
                at += 2;
            }
            (true | false, _) => {
                text ^= *byte == b'"';
                quoted.push(*byte);
                at += 1;
            }
        }
    }
    found.then_some(quoted)
}

/// What an event is read by, and what was wrong so far.
struct BatchReader<'k> {
    known: &'k EventNames,
    now_ms: u64,
    problems: Vec<Problem>,
}

/// What a text may have.
struct TextWanted {
    key: &'static str,
    bytes: Range<usize>,
    meaning: &'static str,
}

const ID: TextWanted = TextWanted {
    key: "id",
    bytes: 1..NAME_BYTES_MAX + 1,
    meaning: "a text that makes it the same event if it is sent again",
};

const USER: TextWanted = TextWanted {
    key: "targetingKey",
    bytes: 1..KEY_BYTES_MAX + 1,
    meaning: "a text: the key of the user, as the proxy knows it",
};

const EVENT: TextWanted =
    TextWanted { key: "event", bytes: 1..NAME_BYTES_MAX + 1, meaning: "the name of an event, a text" };

const COVARIATE: TextWanted =
    TextWanted { key: "covariate", bytes: 1..NAME_BYTES_MAX + 1, meaning: "the name of a metric, a text" };

impl BatchReader<'_> {
    fn problem(&mut self, at: impl Into<String>, mismatch: Mismatch) {
        self.problems.push(mismatch.at(at, ProblemKind::Invalid));
    }

    /// An event; none with problems, which are noted.
    fn event(&mut self, at: &str, value: &Value) -> Option<UserEvent> {
        let Value::Object(event) = value else {
            self.problem(at, Mismatch::new(kind(value), "an object", "write {\"id\": ..., \"event\": ...}"));
            return None;
        };
        for key in event.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let remedy = suggest(key, KEYS).map_or("remove it".to_owned(), |meant| format!("did you mean {meant:?}?"));
            self.problem(format!("{at}.{key}"), Mismatch::new("an unknown key", listed(KEYS), remedy));
        }
        let id = self.text(at, event, &ID);
        let named = self.named(at, event);
        let user = self.text(at, event, &USER);
        let value = self.value(at, event);
        let at_ms = self.at_ms(at, event);
        let (kind, name) = named?;
        let (id, user) = (NameHash::of(id?), NameHash::of(user?));
        Some(UserEvent { id, kind, event: name.into(), user, value: value?, at_ms: at_ms? })
    }

    /// What it is about: an event of a metric, or what was known of the user before for one.
    fn named<'v>(&mut self, at: &str, event: &'v Map<String, Value>) -> Option<(UserEventKind, &'v str)> {
        if !event.contains_key(COVARIATE.key) {
            let name = self.text(at, event, &EVENT)?;
            let remedy = "let a metric of the config ask for it: event = \"NAME\"";
            return self.known(at, name, &EVENT, remedy).then_some((UserEventKind::Happened, name));
        }
        if event.contains_key(EVENT.key) {
            let remedy = "send what was known before, and what was done, as two";
            self.problem(at, Mismatch::new("both of event and covariate", "one of them", remedy));
            return None;
        }
        if !event.contains_key("value") {
            self.problem(format!("{at}.value"), Mismatch::new("none", "a number", "add what was known of the user"));
        }
        let name = self.text(at, event, &COVARIATE)?;
        let remedy = "name a metric with covariate = true";
        self.known(at, name, &COVARIATE, remedy).then_some((UserEventKind::KnownBefore, name))
    }

    /// Whether a metric asks for it.
    fn known(&mut self, at: &str, name: &str, what: &TextWanted, remedy: &str) -> bool {
        let names: &BTreeSet<Box<str>> =
            if what.key == EVENT.key { self.known.events() } else { self.known.covariates() };
        if names.contains(name) {
            return true;
        }
        let meant = suggest(name, names.iter().map(|name| &**name));
        let remedy = meant.map_or(remedy.to_owned(), |meant| format!("did you mean {meant:?}?"));
        let wanted = if names.is_empty() {
            format!("one that a metric asks for, of which none has an {}", what.key)
        } else {
            format!("one that a metric asks for: {}", listed(names.iter().map(|name| &**name)))
        };
        let found = format!("{name:?}, which no metric asks for");
        self.problem(format!("{at}.{}", what.key), Mismatch::new(found, wanted, remedy));
        false
    }

    fn text<'v>(&mut self, at: &str, event: &'v Map<String, Value>, wanted: &TextWanted) -> Option<&'v str> {
        let TextWanted { key, bytes, meaning } = wanted;
        let (found, wanted, remedy) = match event.get(*key) {
            Some(Value::String(text)) if bytes.contains(&text.len()) => return Some(text),
            Some(Value::String(text)) if text.is_empty() => {
                ("an empty text".to_owned(), (*meaning).to_owned(), "write it".to_owned())
            }
            Some(Value::String(text)) => {
                (format!("{} bytes", text.len()), format!("at most {}", bytes.end - 1), "shorten it".to_owned())
            }
            None => ("none".to_owned(), (*meaning).to_owned(), format!("add \"{key}\": \"...\"")),
            Some(other) => (kind(other), (*meaning).to_owned(), "put it in quotation marks".to_owned()),
        };
        self.problem(format!("{at}.{key}"), Mismatch::new(found, wanted, remedy));
        None
    }

    fn value(&mut self, at: &str, event: &Map<String, Value>) -> Option<f64> {
        let found = match event.get("value") {
            None => return Some(1.0),
            Some(Value::Number(number)) => match number.as_f64().filter(|value| value.abs() <= VALUE_MAX) {
                Some(value) => return Some(value),
                None => number.to_string(),
            },
            Some(Value::String(text)) => format!("{:?}", shortened(text)),
            Some(other) => kind(other),
        };
        let wanted = format!("a number of at most {VALUE_MAX:e}");
        self.problem(format!("{at}.value"), Mismatch::new(found, wanted, "correct it, or leave it out for 1"));
        None
    }

    /// When it was, in milliseconds since 1970.
    fn at_ms(&mut self, at: &str, event: &Map<String, Value>) -> Option<u64> {
        let Some(written) = event.get("at") else { return Some(self.now_ms) };
        let read = match written {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => {
                text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok())
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let shown = || match written {
            Value::String(text) => format!("{:?}", shortened(text)),
            Value::Number(number) => number.to_string(),
            other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => kind(other),
        };
        let (wanted, remedy) = match read {
            Some(read) if read <= self.now_ms.saturating_add(AHEAD_MS) => return Some(read.min(self.now_ms)),
            Some(_) => ("a time that is not in the future", "set the clock of the sender, or leave it out for now"),
            None => (
                "a time such as \"2026-11-29T12:00:00Z\", or milliseconds since 1970",
                "correct it, or leave it out for now",
            ),
        };
        self.problem(format!("{at}.at"), Mismatch::new(shown(), wanted, remedy));
        None
    }
}

/// The beginning of a text that may be long.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// What a value is, for people.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {:?}", shortened(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests;

//! Values while a rule is evaluated: what a context holds where it stands, and what operators make of it.
//!
//! The conversions are JavaScript's, as JSONLogic wants them. Integers are kept apart from other numbers only because
//! large ones would lose digits, and a user who is drawn by a number would be another user.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::{Map, Number, Value};

/// A value.
#[derive(Clone, Debug)]
pub enum Datum<'a> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number without a fraction.
    Int(i128),
    /// Any number.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(DatumList<'a>),
    /// An object of the context.
    Object(&'a Map<String, Value>),
}

/// A list: of the context or the rule, or one that an operator has made.
#[derive(Clone, Debug)]
pub enum DatumList<'a> {
    /// Where it stands.
    Given(&'a Vec<Value>),
    /// Made by an operator.
    Made(Rc<MadeList<'a>>),
}

/// A list that an operator has made.
#[derive(Debug)]
pub struct MadeList<'a> {
    items: Vec<Datum<'a>>,
    /// How many of its kind are in each other.
    depth: usize,
}

impl<'a> From<&'a Value> for Datum<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::from(number),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(items) => Self::List(DatumList::Given(items)),
            Value::Object(members) => Self::Object(members),
        }
    }
}

impl From<&Number> for Datum<'_> {
    fn from(number: &Number) -> Self {
        let int = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        int.map_or_else(|| Self::Float(number.as_f64().unwrap_or(f64::NAN)), Self::Int)
    }
}

impl<'a> DatumList<'a> {
    /// A list that an operator has made.
    pub(crate) fn made(items: Vec<Datum<'a>>) -> Self {
        let depth_of = |item: &Datum<'_>| if let Datum::List(list) = item { list.depth() } else { 0 };
        let depth = 1 + items.iter().map(depth_of).max().unwrap_or_default();
        Self::Made(Rc::new(MadeList { items, depth }))
    }

    /// How many lists that operators have made are in each other.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Given(_) => 0,
            Self::Made(list) => list.depth,
        }
    }

    /// How many items it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Given(items) => items.len(),
            Self::Made(list) => list.items.len(),
        }
    }

    /// The item at `index`.
    pub(crate) fn get(&self, index: usize) -> Option<Datum<'a>> {
        match self {
            Self::Given(items) => items.get(index).map(Datum::from),
            Self::Made(list) => list.items.get(index).cloned(),
        }
    }

    /// The items.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Datum<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Whether both are one list, and not two with the same items.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Given(one), Self::Given(other)) => std::ptr::eq(*one, *other),
            (Self::Made(one), Self::Made(other)) => Rc::ptr_eq(one, other),
            (Self::Given(_), Self::Made(_)) | (Self::Made(_), Self::Given(_)) => false,
        }
    }
}

impl<'a> Datum<'a> {
    /// What is inside of it by this name: a member of an object, an item of a list, a character of a text, how many of
    /// these there are. Null if there is nothing.
    pub(crate) fn member(&self, name: &str) -> Self {
        let index = || name.parse::<usize>().ok().filter(|index| index.to_string() == name);
        let found = match self {
            Self::Object(members) => members.get(name).map(Datum::from),
            Self::List(list) if name == "length" => i128::try_from(list.len()).ok().map(Self::Int),
            Self::List(list) => index().and_then(|index| list.get(index)),
            Self::Text(text) if name == "length" => i128::try_from(text.chars().count()).ok().map(Self::Int),
            Self::Text(text) => {
                let character = index().and_then(|index| text.chars().nth(index));
                character.map(|character| Self::Text(Cow::Owned(character.to_string())))
            }
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => None,
        };
        found.unwrap_or(Self::Null)
    }

    /// Whether it counts as true: not null, false, zero, NaN, an empty text or an empty list.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => list.len() > 0,
            Self::Object(_) => true,
        }
    }

    /// Whether `missing` takes it for nothing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Null) || matches!(self, Self::Text(text) if text.is_empty())
    }

    /// As a number; NaN if it is none.
    pub(crate) fn number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(value) => f64::from(u8::from(*value)),
            #[expect(clippy::cast_precision_loss, reason = "as JavaScript has it")]
            Self::Int(number) => *number as f64,
            Self::Float(number) => *number,
            Self::Text(text) => number_of(text),
            Self::List(list) => match list.len() {
                0 => 0.0,
                1 => list.get(0).map_or(f64::NAN, |item| item.number()),
                _ => f64::NAN,
            },
            Self::Object(_) => f64::NAN,
        }
    }

    /// As an integer, if it is one by itself: for sums that stay exact.
    pub(crate) fn int(&self) -> Option<i128> {
        match self {
            Self::Null => Some(0),
            Self::Bool(value) => Some(i128::from(*value)),
            Self::Int(number) => Some(*number),
            Self::Float(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// As a text. Null is an empty one, in flagd as where JavaScript joins texts.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text.clone(),
            Self::Null => Cow::Borrowed(""),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Object(_) => Cow::Borrowed("[object Object]"),
            Self::Int(_) | Self::Float(_) | Self::List(_) => {
                let mut text = String::new();
                self.write(&mut text, usize::MAX);
                Cow::Owned(text)
            }
        }
    }

    /// Adds the text of it to `to`; no more of it once there are `bytes_max` bytes.
    pub(crate) fn write(&self, to: &mut String, bytes_max: usize) {
        if to.len() >= bytes_max {
            return;
        }
        // Writing to a text cannot fail.
        match self {
            Self::Int(number) => write!(to, "{number}").unwrap_or(()),
            Self::Float(number) => write_float(*number, to),
            Self::List(list) => {
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        to.push(',');
                    }
                    item.write(to, bytes_max);
                }
            }
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::Object(_) => to.push_str(&self.text()),
        }
    }

    /// `==`: equal when converted to each other's type.
    pub(crate) fn equals_loosely(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Null, _) | (_, Self::Null) => false,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::List(one), Self::List(other)) => one.is(other),
            (Self::Object(one), Self::Object(other)) => std::ptr::eq(*one, *other),
            (Self::List(_), Self::Object(_)) | (Self::Object(_), Self::List(_)) => false,
            (Self::List(_) | Self::Object(_), Self::Text(_)) | (Self::Text(_), Self::List(_) | Self::Object(_)) => {
                self.text() == other.text()
            }
            #[expect(clippy::float_cmp, reason = "equality is what the rule asks for")]
            (one, other) => one.number() == other.number(),
        }
    }

    /// `===`: of one type and equal; lists and objects by what they hold.
    pub(crate) fn equals_strictly(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => self.equals_loosely(other),
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| one.equals_strictly(&other))
            }
            (Self::Object(one), Self::Object(other)) => one == other,
            _ => false,
        }
    }

    /// What it costs to look at its text, or to copy it; nothing if it is none.
    pub(crate) fn text_steps(&self) -> usize {
        if let Self::Text(text) = self { text.len() / TEXT_BYTES_PER_STEP } else { 0 }
    }

    /// How many values it is made of, and how much text: what it costs to look at all of it.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 1,
            Self::Text(text) => 1 + text.len() / TEXT_BYTES_PER_STEP,
            Self::List(DatumList::Given(items)) => {
                1 + items.iter().map(|item| Datum::from(item).weight()).sum::<usize>()
            }
            Self::List(DatumList::Made(list)) => 1 + list.items.iter().map(Self::weight).sum::<usize>(),
            Self::Object(members) => 1 + members.values().map(|value| Datum::from(value).weight()).sum::<usize>(),
        }
    }
}

/// Bytes of text that are looked at for the price of one step.
pub(crate) const TEXT_BYTES_PER_STEP: usize = 64;

/// The number that a text stands for, in decimal; an empty one is zero.
fn number_of(text: &str) -> f64 {
    let text = text.trim();
    let decimal = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if text.bytes().all(decimal) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

/// A number without a fraction has none in its text.
fn write_float(number: f64, to: &mut String) {
    if number.is_infinite() {
        to.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
    } else if number == 0.0 {
        to.push('0');
    } else {
        write!(to, "{number}").unwrap_or(());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        Datum::from(value).text().into_owned()
    }

    #[test]
    fn texts_of_values_are_those_of_javascript() {
        let cases = [
            (json!(null), ""),
            (json!(true), "true"),
            (json!(1), "1"),
            (json!(1.0), "1"),
            (json!(-0.0), "0"),
            (json!(0.1), "0.1"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!([1, [2, "x"], null]), "1,2,x,"),
            (json!({"a": 1}), "[object Object]"),
        ];
        for (value, wanted) in cases {
            assert_eq!(text(&value), wanted, "{value}");
        }
        assert_eq!(Datum::Float(f64::NEG_INFINITY).text(), "-Infinity");
    }

    #[test]
    fn numbers_of_values_are_those_of_javascript() {
        let cases: [(Value, f64); 7] = [
            (json!(null), 0.0),
            (json!(true), 1.0),
            (json!(" 12 "), 12.0),
            (json!(""), 0.0),
            (json!("1e3"), 1000.0),
            (json!([]), 0.0),
            (json!(["7"]), 7.0),
        ];
        for (value, wanted) in cases {
            assert_eq!(Datum::from(&value).number().to_bits(), wanted.to_bits(), "{value}");
        }
        for value in [json!("1x"), json!("0x10"), json!("inf"), json!("nan"), json!([1, 2]), json!({})] {
            assert!(Datum::from(&value).number().is_nan(), "{value}");
        }
    }

    #[test]
    fn equality_is_loose_or_strict() {
        let loose = |one: &Value, other: &Value| Datum::from(one).equals_loosely(&Datum::from(other));
        let strict = |one: &Value, other: &Value| Datum::from(one).equals_strictly(&Datum::from(other));
        for (one, other) in [(json!(1), json!("1")), (json!(true), json!(1)), (json!([1]), json!("1"))] {
            assert!(loose(&one, &other) && loose(&other, &one) && !strict(&one, &other), "{one} {other}");
        }
        for (one, other) in [(json!(null), json!(0)), (json!(null), json!(false)), (json!("x"), json!(0))] {
            assert!(!loose(&one, &other) && !loose(&other, &one) && !strict(&one, &other), "{one} {other}");
        }
        assert!(strict(&json!(1), &json!(1.0)) && strict(&json!([1, {"a": 2}]), &json!([1, {"a": 2}])));
        assert!(!loose(&json!([1]), &json!([1])), "two lists are not one");
        let list = json!([1]);
        assert!(loose(&list, &list));
    }
}

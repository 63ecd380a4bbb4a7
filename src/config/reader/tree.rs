//! A value that was written, as TOML or as JSON: the two trees that the reader walks, seen in one way.
//!
//! Why not turn one into the other first: a config would lose its lines, and JSON has what TOML cannot say, such as
//! `null`, which must be a problem at its place and not an error of a conversion.

use toml::Spanned;
use toml::de::{DeInteger, DeString, DeValue};

/// In which of the two a text is written; a remedy is written in the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notation {
    /// A config.
    Toml,
    /// The body of a call, or what is stored of a rollout.
    Json,
}

/// A value and all that is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tree<'p> {
    /// Of a config.
    Toml(&'p DeValue<'p>),
    /// Of a body.
    Json(&'p serde_json::Value),
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'p> {
    Null,
    Bool(bool),
    Whole(i64),
    /// A whole number above those of [`Content::Whole`].
    Huge(u64),
    Fraction(f64),
    Text(&'p str),
    /// A value that no setting has, as it is written or called.
    Other(&'p str),
    List,
    Table,
}

/// A node's address: the tree does not move while it is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct NodeId(usize);

impl<'p> Tree<'p> {
    /// Which node of the tree this is.
    pub(crate) fn id(self) -> NodeId {
        NodeId(match self {
            Self::Toml(value) => std::ptr::from_ref(value).addr(),
            Self::Json(value) => std::ptr::from_ref(value).addr(),
        })
    }

    /// How it is written.
    pub(crate) fn notation(self) -> Notation {
        match self {
            Self::Toml(_) => Notation::Toml,
            Self::Json(_) => Notation::Json,
        }
    }

    /// What it is.
    pub(crate) fn content(self) -> Content<'p> {
        match self {
            Self::Toml(value) => of_toml(value),
            Self::Json(value) => of_json(value),
        }
    }

    /// The value of a key, if it is a table that has it.
    pub(crate) fn key(self, key: &str) -> Option<Self> {
        match self {
            Self::Toml(value) => value.as_table()?.get(key).map(|value| Self::Toml(value.get_ref())),
            Self::Json(value) => value.as_object()?.get(key).map(Self::Json),
        }
    }

    /// An element, from 0, if it is a list that has it.
    pub(crate) fn item(self, index: usize) -> Option<Self> {
        match self {
            Self::Toml(value) => value.as_array()?.get(index).map(|value| Self::Toml(value.get_ref())),
            Self::Json(value) => value.as_array()?.get(index).map(Self::Json),
        }
    }

    /// The keys of a table and their values; none of anything else.
    pub(crate) fn entries(self) -> Entries<'p> {
        match self {
            Self::Toml(value) => Entries::Toml(value.as_table().map(|table| table.iter())),
            Self::Json(value) => Entries::Json(value.as_object().map(|object| object.iter())),
        }
    }
}

fn of_toml<'p>(value: &'p DeValue<'p>) -> Content<'p> {
    match value {
        DeValue::String(text) => Content::Text(text),
        DeValue::Boolean(value) => Content::Bool(*value),
        DeValue::Integer(number) => whole(number).map_or(Content::Other(number.as_str()), Content::Whole),
        DeValue::Float(number) => number.as_str().parse().map_or(Content::Other("a number"), Content::Fraction),
        DeValue::Datetime(_) => Content::Other("a date or time"),
        DeValue::Array(_) => Content::List,
        DeValue::Table(_) => Content::Table,
    }
}

/// The value of an integer, unless it is larger than any setting can be.
fn whole(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn of_json(value: &serde_json::Value) -> Content<'_> {
    use serde_json::Value;
    match value {
        Value::Null => Content::Null,
        Value::Bool(value) => Content::Bool(*value),
        Value::Number(number) => {
            let whole = number.as_i64().map(Content::Whole).or_else(|| number.as_u64().map(Content::Huge));
            whole.or_else(|| number.as_f64().map(Content::Fraction)).unwrap_or(Content::Other("a number"))
        }
        Value::String(text) => Content::Text(text),
        Value::Array(_) => Content::List,
        Value::Object(_) => Content::Table,
    }
}

/// The entries of a table.
pub(crate) enum Entries<'p> {
    Toml(Option<toml::map::Iter<'p, Spanned<DeString<'p>>, Spanned<DeValue<'p>>>>),
    Json(Option<serde_json::map::Iter<'p>>),
}

impl<'p> Iterator for Entries<'p> {
    type Item = (&'p str, Tree<'p>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Toml(rest) => {
                let (key, value) = rest.as_mut()?.next()?;
                Some((key.get_ref().as_ref(), Tree::Toml(value.get_ref())))
            }
            Self::Json(rest) => {
                let (key, value) = rest.as_mut()?.next()?;
                Some((key.as_str(), Tree::Json(value)))
            }
        }
    }
}

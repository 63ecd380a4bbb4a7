//! Shapes that several raw sections have: lists whose elements keep their numbers, and lists of one.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::config_path::ConfigPath;

/// A list. An element that did not fit is a hole, so that the others are reported under their own numbers.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct List<T>(Vec<Option<T>>);

impl<T> List<T> {
    /// The elements and their numbers, from 0.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().enumerate().filter_map(|(index, element)| Some((index, element.as_ref()?)))
    }

    /// Whether it was written without elements.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A text, or a list of texts.
#[derive(Debug)]
pub(crate) enum Texts {
    /// `key = "x"`
    One(String),
    /// `key = ["x", "y"]`
    Many(List<String>),
}

impl Texts {
    /// Calls `each` with every text and its place; `at` is the place of the whole.
    pub(crate) fn each<T>(&self, at: &ConfigPath<'_>, mut each: impl FnMut(&ConfigPath<'_>, &str) -> T) -> Vec<T> {
        match self {
            Self::One(text) => vec![each(at, text)],
            Self::Many(list) => list.iter().map(|(index, text)| each(&at.item(index), text)).collect(),
        }
    }

    /// Whether it is a list without elements.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Many(list) if list.is_empty())
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Texts, A::Error> {
        List::deserialize(SeqAccessDeserializer::new(list)).map(Texts::Many)
    }
}

//! The place of a key or an element in a config or in the body of a call. A path lives on the stack and points at its
//! parent: walking 2,000 services costs nothing until one of them has a problem.

use std::fmt;

/// A key or an element, and what it stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConfigPath<'a> {
    /// The whole file.
    Root,
    /// A key of a table.
    Key(&'a Self, &'a str),
    /// An element of a list, from 0.
    Item(&'a Self, usize),
}

impl ConfigPath<'_> {
    /// A key in this table.
    pub(crate) fn key<'b>(&'b self, key: &'b str) -> ConfigPath<'b> {
        ConfigPath::Key(self, key)
    }

    /// An element of this list, from 0.
    pub(crate) fn item(&self, index: usize) -> ConfigPath<'_> {
        ConfigPath::Item(self, index)
    }
}

/// `services.shop.rules[1].use`: elements are counted from 1, as people and the names of nameless rules do.
impl fmt::Display for ConfigPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Item(parent, index) => write!(f, "{parent}[{}]", index + 1),
            Self::Key(parent, key) => {
                let dot = if matches!(parent, Self::Root) { "" } else { "." };
                let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
                match !key.is_empty() && key.bytes().all(bare) {
                    true => write!(f, "{parent}{dot}{key}"),
                    false => write!(f, "{parent}{dot}{key:?}"),
                }
            }
        }
    }
}

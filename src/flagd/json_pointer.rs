//! Where something is in a JSON document: JSON Pointer (RFC 6901).

use std::fmt;

/// A place, by the way that leads to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JsonPointer<'a> {
    /// The whole document.
    Root,
    /// A member of an object.
    Key(&'a Self, &'a str),
    /// An item of a list.
    Item(&'a Self, usize),
}

impl<'a> JsonPointer<'a> {
    /// The member of this name.
    pub(crate) fn key(&'a self, name: &'a str) -> Self {
        Self::Key(self, name)
    }

    /// The item at `index`.
    pub(crate) fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }
}

/// `/flags/new~1old/targeting/if/0`; empty for the whole document.
impl fmt::Display for JsonPointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, name) => write!(f, "{parent}/{}", name.replace('~', "~0").replace('/', "~1")),
            Self::Item(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_written_as_the_standard_has_them() {
        let flags = JsonPointer::Root.key("flags");
        let flag = flags.key("a/b~c");
        assert_eq!(flag.item(3).to_string(), "/flags/a~1b~0c/3");
        assert_eq!(JsonPointer::Root.to_string(), "");
    }
}

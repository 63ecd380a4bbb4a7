//! The entity tag of a bulk response.
//!
//! It is made of the result and not of the flags' definitions: a client keeps its tag when an attribute of its user
//! changes, and a tag of the definitions alone would tell it that nothing has. In front of it stands the revision, so
//! that two tags can be put in order; it is not compared, since most revisions change no flag of a user.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// The tag of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EntityTag {
    revision: u64,
    result: u64,
}

impl EntityTag {
    /// The tag of this result, by the table of this revision.
    #[must_use]
    pub(crate) fn of(revision: u64, result: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(result.as_bytes());
        Self { revision, result: hasher.finish() }
    }

    /// Whether a client that sends these lines of `If-None-Match` has the result already. Lists, weak tags and tags
    /// without quotes are understood; `*` is any.
    #[must_use]
    pub(crate) fn is_among<'h>(self, lines: impl Iterator<Item = &'h [u8]>) -> bool {
        let wanted = format!("{:016x}", self.result);
        lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).any(|tag| {
            let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
            let tag = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\"")).unwrap_or(tag);
            let result = tag.iter().rposition(|byte| *byte == b'-').map(|dash| &tag[dash + 1..]);
            tag == b"*" || result == Some(wanted.as_bytes())
        })
    }
}

/// `"42-00c0ffee00c0ffee"`, with its quotes.
impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}-{:016x}\"", self.revision, self.result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(tag: EntityTag, line: &str) -> bool {
        tag.is_among([line.as_bytes()].into_iter())
    }

    #[test]
    fn a_tag_is_found_in_every_form_that_clients_send() {
        let tag = EntityTag::of(42, "flags");
        let text = tag.to_string();
        let bare = text.trim_matches('"');
        for good in [
            text.clone(),
            format!("W/{text}"),
            format!("\"x\", W/\"y-1\",{text} "),
            bare.to_owned(),
            "*".to_owned(),
            "\"a\", *".to_owned(),
        ] {
            assert!(among(tag, &good), "{good}");
        }
        assert!(tag.is_among([&b"\"a\""[..], text.as_bytes()].into_iter()), "several lines are one list");
        for bad in [String::new(), "\"\"".to_owned(), bare[..bare.len() - 1].to_owned(), format!("{bare}0")] {
            assert!(!among(tag, &bad), "{bad}");
        }
        assert!(!tag.is_among(std::iter::empty()));
    }

    #[test]
    fn the_result_counts_and_the_revision_tells_the_order() {
        let (old, new, other) = (EntityTag::of(9, "a"), EntityTag::of(10, "a"), EntityTag::of(10, "b"));
        assert!(among(new, &old.to_string()), "a revision that changed nothing for this user");
        assert!(!among(other, &new.to_string()));
        assert!(new.to_string().starts_with("\"10-"), "{new}");
    }

    proptest::proptest! {
        #[test]
        fn no_line_can_panic(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _known = EntityTag::of(1, "x").is_among([&line[..]].into_iter());
        }
    }
}

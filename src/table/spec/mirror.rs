//! The part of a mirror that decides on requests: which of them are copied to another version, and what of the two
//! responses is compared. How much of them is copied is traffic, and moves by revisions.

use std::fmt;

use http::{HeaderName, Method};

use crate::shared::name::Name;
use crate::table::weights::Weight;

/// A mirror of a service, as the file defines it.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorSpec {
    /// The version that gets copies.
    pub to: Name,
    /// The share of requests that are copied, if no revision says otherwise.
    pub share: Weight,
    /// The methods of requests that are copied.
    pub methods: Box<[Method]>,
    /// What of the responses is compared.
    pub compare: MirrorCompare,
    /// The most copies that are under way in the process.
    pub in_flight_max: u32,
    /// The longest body of a request that is copied, and how much of each response is looked at, in bytes.
    pub body_bytes_max: usize,
    /// Whether what differs is shown, and not only its hashes.
    pub samples: bool,
}

impl MirrorSpec {
    /// The methods that are copied unless others are named: those that ask for nothing to be changed.
    pub const DEFAULT_METHODS: [Method; 2] = [Method::GET, Method::HEAD];

    /// What is compared if a file says nothing: statuses, the type and the body (as JSON), and times; of bodies up to
    /// 64 KiB, with at most 100 copies under way.
    #[must_use]
    pub fn to_version(to: Name) -> Self {
        let compare = MirrorCompare {
            status: true,
            headers: [http::header::CONTENT_TYPE].into(),
            body: MirrorBody::Json,
            ignore: [].into(),
            latency: true,
        };
        Self {
            to,
            share: Weight::ZERO,
            methods: Self::DEFAULT_METHODS.into(),
            compare,
            in_flight_max: 100,
            body_bytes_max: 64 * 1024,
            samples: false,
        }
    }

    /// Whether requests with this method are copied.
    #[must_use]
    pub(crate) fn copies(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }
}

/// What of two responses is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorCompare {
    /// Their statuses.
    pub status: bool,
    /// These headers.
    pub headers: Box<[HeaderName]>,
    /// Their bodies.
    pub body: MirrorBody,
    /// What of bodies in JSON is left out.
    pub ignore: Box<[MirrorPointer]>,
    /// How long they take.
    pub latency: bool,
}

/// How bodies are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MirrorBody {
    /// Not at all.
    #[default]
    Off,
    /// Byte by byte.
    Exact,
    /// As JSON, whatever the order of members and the spaces; what is no JSON, byte by byte.
    Json,
    /// By their lengths alone.
    Length,
}

impl MirrorBody {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Off, Self::Exact, Self::Json, Self::Length];

    /// The word in files and answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Exact => "exact",
            Self::Json => "json",
            Self::Length => "length",
        }
    }

    /// The one with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|body| body.word() == word)
    }
}

/// A place in a JSON document by the way that leads to it (RFC 6901), in which a part that is `*` is any member or
/// item. It stands for all that is below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MirrorPointer {
    text: Box<str>,
    /// The parts, without their escapes; `None` is any.
    parts: Box<[Option<Box<str>>]>,
}

impl MirrorPointer {
    /// A pointer from its text: it begins with `/`, and has `~` only as `~0` or `~1`. The whole document has none,
    /// because a mirror that ignores all of it compares nothing.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        let parts = rest.split('/').map(|part| if part == "*" { Some(None) } else { unescaped(part).map(Some) });
        Some(Self { text: text.into(), parts: parts.collect::<Option<_>>()? })
    }

    /// Whether it stands for the place that these parts lead to: for it or for one above it.
    #[must_use]
    pub(crate) fn covers<P: AsRef<str>>(&self, place: &[P]) -> bool {
        self.parts.len() <= place.len()
            && self
                .parts
                .iter()
                .zip(place)
                .all(|(part, found)| part.as_deref().is_none_or(|part| part == found.as_ref()))
    }
}

impl fmt::Display for MirrorPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A part without its escapes; `None` if one is not good.
fn unescaped(part: &str) -> Option<Box<str>> {
    let mut pieces = part.split('~');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escaped, rest) = match piece.as_bytes().first()? {
            b'0' => ('~', &piece[1..]),
            b'1' => ('/', &piece[1..]),
            _ => return None,
        };
        text.push(escaped);
        text.push_str(rest);
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_stands_for_what_is_below_it() {
        let covers = |pointer: &str, place: &[&str]| MirrorPointer::new(pointer).unwrap().covers(place);
        assert!(covers("/at", &["at"]) && covers("/at", &["at", "day"]) && covers("/at/day", &["at", "day"]));
        assert!(!covers("/at/day", &["at"]) && !covers("/at", &["a"]) && !covers("/at", &[]));
        assert!(covers("/items/*/at", &["items", "7", "at"]) && covers("/*", &["x"]));
        assert!(!covers("/items/*/at", &["items", "7", "by"]));
        assert!(covers("/a~1b~0c/0", &["a/b~c", "0"]) && covers("/", &[""]));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for bad in ["", "at", "at/day", "/a~", "/a~2b", "$.at"] {
            assert_eq!(MirrorPointer::new(bad), None, "{bad}");
        }
        assert_eq!(MirrorPointer::new("/a~1b/*").unwrap().to_string(), "/a~1b/*");
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        assert!(MirrorBody::ALL.into_iter().all(|body| MirrorBody::from_word(body.word()) == Some(body)));
        assert_eq!(MirrorBody::from_word("yaml"), None);
    }
}

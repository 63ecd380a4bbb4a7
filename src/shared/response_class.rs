//! The ways of a response to be another one without being a failure, by which a rollout is judged: its status, its
//! length and its type.
//!
//! A version that answers 404 to everything does not fail, and neither does one that sends an empty page. But requests
//! are assigned by chance, so whatever a response has or has not can be compared between the versions. A
//! class is a question that is answered for every response by itself; one response may be in several, or in none.

/// How many classes there are.
pub(crate) const CLASSES: usize = 11;

/// A way to be another response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseClass {
    /// 404 or 410.
    NotFound,
    /// 401 or 403.
    Unauthorized,
    /// 3xx but 304.
    Redirect,
    /// 304.
    NotModified,
    /// 429.
    TooMany,
    /// Another 4xx.
    ClientError,
    /// A status below 200, above 599, or one of 2xx and other 4xx that the baseline hardly has.
    UnusualStatus,
    /// A 2xx without a body.
    Empty,
    /// A 2xx shorter than half of what nearly all of the baseline's are.
    Short,
    /// A 2xx longer than twice what nearly all of the baseline's are.
    Long,
    /// A 2xx of a content type that the baseline hardly has.
    OtherType,
}

/// What of a response a class looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResponseAspect {
    /// The status.
    Status,
    /// The length of the body.
    Length,
    /// The content type.
    MediaType,
}

impl ResponseClass {
    /// All of them.
    pub const ALL: [Self; CLASSES] = [
        Self::NotFound,
        Self::Unauthorized,
        Self::Redirect,
        Self::NotModified,
        Self::TooMany,
        Self::ClientError,
        Self::UnusualStatus,
        Self::Empty,
        Self::Short,
        Self::Long,
        Self::OtherType,
    ];

    /// Its number in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// What it looks at.
    #[must_use]
    pub fn aspect(self) -> ResponseAspect {
        match self {
            Self::NotFound
            | Self::Unauthorized
            | Self::Redirect
            | Self::NotModified
            | Self::TooMany
            | Self::ClientError
            | Self::UnusualStatus => ResponseAspect::Status,
            Self::Empty | Self::Short | Self::Long => ResponseAspect::Length,
            Self::OtherType => ResponseAspect::MediaType,
        }
    }

    /// Whether it is told by what the baseline usually sends, and so not before that is known.
    #[must_use]
    pub fn needs_usual(self) -> bool {
        self >= Self::UnusualStatus
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::Redirect => "redirect",
            Self::NotModified => "not_modified",
            Self::TooMany => "too_many",
            Self::ClientError => "client_error",
            Self::UnusualStatus => "unusual_status",
            Self::Empty => "empty",
            Self::Short => "short",
            Self::Long => "long",
            Self::OtherType => "other_type",
        }
    }
}

/// Some of the classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassSet(u16);

impl ClassSet {
    /// With `class`, if `is`.
    #[must_use]
    pub(crate) fn with(self, class: ResponseClass, is: bool) -> Self {
        Self(self.0 | u16::from(is) << class.index())
    }

    /// Whether `class` is one of them.
    #[must_use]
    pub(crate) fn has(self, class: ResponseClass) -> bool {
        self.0 & 1 << class.index() != 0
    }

    /// Each of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = ResponseClass> {
        ResponseClass::ALL.into_iter().filter(move |class| self.has(*class))
    }

    /// The classes that the status alone tells.
    #[must_use]
    pub(crate) fn of_status(status: u16) -> Self {
        let class = match status {
            304 => ResponseClass::NotModified,
            300..=399 => ResponseClass::Redirect,
            401 | 403 => ResponseClass::Unauthorized,
            404 | 410 => ResponseClass::NotFound,
            429 => ResponseClass::TooMany,
            400..=499 => ResponseClass::ClientError,
            _ => return Self::default(),
        };
        Self::default().with(class, true)
    }
}

/// What was seen of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObservedResponse {
    /// Its status.
    pub status: u16,
    /// What stands for its media type ([`media_type`]).
    pub media_type: u64,
    /// Bytes of its body: declared, or counted to the end; `None` if it was not read to its end.
    pub length: Option<u64>,
}

/// A number for a media type: the part of a `Content-Type` before its parameters, in any case. 1 stands for none, and 0
/// for no type at all.
#[must_use]
pub(crate) fn media_type(content_type: Option<&[u8]>) -> u64 {
    let Some(value) = content_type else { return 1 };
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    fnv1a(essence.iter().map(u8::to_ascii_lowercase)).max(2)
}

/// The hash of Fowler, Noll and Vo, 64 bits: short texts, no allocation, and nothing that has to be kept from anybody.
pub(crate) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_in_its_class() {
        let class = |status| ClassSet::of_status(status).iter().next();
        let of = [
            (200, None),
            (204, None),
            (301, Some(ResponseClass::Redirect)),
            (304, Some(ResponseClass::NotModified)),
            (400, Some(ResponseClass::ClientError)),
            (401, Some(ResponseClass::Unauthorized)),
            (403, Some(ResponseClass::Unauthorized)),
            (404, Some(ResponseClass::NotFound)),
            (410, Some(ResponseClass::NotFound)),
            (429, Some(ResponseClass::TooMany)),
            (499, Some(ResponseClass::ClientError)),
            (503, None),
        ];
        for (status, want) in of {
            assert_eq!(class(status), want, "{status}");
        }
        let numbers = ResponseClass::ALL.map(ResponseClass::index);
        assert_eq!(numbers, std::array::from_fn(|index| index));
    }

    #[test]
    fn a_media_type_is_one_whatever_its_case_and_parameters() {
        let html = media_type(Some(b"text/html"));
        assert_eq!(html, media_type(Some(b"Text/HTML ; charset=utf-8")));
        assert_ne!(html, media_type(Some(b"text/plain")));
        assert_eq!(media_type(None), 1);
        assert!(media_type(Some(b"")) > 1);
    }
}

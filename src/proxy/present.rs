//! Which headers a message has, of those that a proxy has something to do with.
//!
//! Some thirty headers mean something to a proxy, and nearly every message has two or three of them. To ask the map for
//! each is to hash a name each time, to find nothing; here every name that *is* there is looked at once, and told apart by
//! its length before a byte is compared.
//!
//! What is said stays true one way only: a header that is not here is not there. One that is may have been removed since,
//! so whoever finds one here asks the map. Nobody who adds a header has to tell: he knows of it.

use std::ops::BitOr;

use http::HeaderMap;

/// Kinds of headers; a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Present(u32);

impl Present {
    /// `Connection`.
    pub const CONNECTION: Self = Self(1);
    /// `Upgrade`.
    pub const UPGRADE: Self = Self(1 << 1);
    /// What else ends at this hop, whether `Connection` names it or not, besides `TE` and `Transfer-Encoding`.
    pub const HOP_BY_HOP: Self = Self(1 << 2);
    /// `TE`.
    pub const TE: Self = Self(1 << 3);
    /// `Trailer`.
    pub const TRAILER: Self = Self(1 << 4);
    /// `Transfer-Encoding`.
    pub const TRANSFER_ENCODING: Self = Self(1 << 5);
    /// `Content-Length`.
    pub const CONTENT_LENGTH: Self = Self(1 << 6);
    /// `Host`.
    pub const HOST: Self = Self(1 << 7);
    /// `Expect`.
    pub const EXPECT: Self = Self(1 << 8);
    /// A name that begins with `X-Forwarded-`.
    pub const X_FORWARDED: Self = Self(1 << 9);
    /// `Forwarded`.
    pub const FORWARDED: Self = Self(1 << 10);
    /// `X-Real-IP`.
    pub const X_REAL_IP: Self = Self(1 << 11);
    /// `X-Request-Id`.
    pub const X_REQUEST_ID: Self = Self(1 << 12);
    /// `X-Pointsman-Revision`.
    pub const X_REVISION: Self = Self(1 << 13);
    /// `Accept`.
    pub const ACCEPT: Self = Self(1 << 14);
    /// `Content-Type`.
    pub const CONTENT_TYPE: Self = Self(1 << 15);
    /// A name with an underscore.
    pub const UNDERSCORE: Self = Self(1 << 16);

    /// What is there: one look at each name.
    #[must_use]
    pub fn among(headers: &HeaderMap) -> Self {
        headers.keys().fold(Self::default(), |found, name| found | Self::kind(name.as_str()))
    }

    /// Whether one of these is there.
    #[must_use]
    pub fn has(self, kinds: Self) -> bool {
        self.0 & kinds.0 != 0
    }

    /// The kind of a header, by its name in lower case.
    fn kind(name: &str) -> Self {
        match name {
            "connection" => Self::CONNECTION,
            "upgrade" => Self::UPGRADE,
            "keep-alive" | "proxy-connection" | "proxy-authenticate" | "proxy-authorization" | "http2-settings" => {
                Self::HOP_BY_HOP
            }
            "te" => Self::TE,
            "trailer" => Self::TRAILER,
            "transfer-encoding" => Self::TRANSFER_ENCODING,
            "content-length" => Self::CONTENT_LENGTH,
            "host" => Self::HOST,
            "expect" => Self::EXPECT,
            "forwarded" => Self::FORWARDED,
            "x-real-ip" => Self::X_REAL_IP,
            "x-request-id" => Self::X_REQUEST_ID,
            "x-pointsman-revision" => Self::X_REVISION,
            "accept" => Self::ACCEPT,
            "content-type" => Self::CONTENT_TYPE,
            other => Self::kind_of_many(other),
        }
    }

    /// The kinds that any number of names are of.
    fn kind_of_many(name: &str) -> Self {
        let forwarded = if name.starts_with("x-forwarded-") { Self::X_FORWARDED } else { Self::default() };
        let underscore = if name.bytes().any(|byte| byte == b'_') { Self::UNDERSCORE } else { Self::default() };
        forwarded | underscore
    }
}

impl BitOr for Present {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn present(names: &[&'static str]) -> Present {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(*name, HeaderValue::from_static("1"));
        }
        Present::among(&headers)
    }

    #[test]
    fn every_kind_is_told_by_its_name() {
        for (name, kind) in [
            ("Connection", Present::CONNECTION),
            ("Upgrade", Present::UPGRADE),
            ("Keep-Alive", Present::HOP_BY_HOP),
            ("Proxy-Connection", Present::HOP_BY_HOP),
            ("Proxy-Authenticate", Present::HOP_BY_HOP),
            ("Proxy-Authorization", Present::HOP_BY_HOP),
            ("HTTP2-Settings", Present::HOP_BY_HOP),
            ("TE", Present::TE),
            ("Trailer", Present::TRAILER),
            ("Transfer-Encoding", Present::TRANSFER_ENCODING),
            ("Content-Length", Present::CONTENT_LENGTH),
            ("Host", Present::HOST),
            ("Expect", Present::EXPECT),
            ("X-Forwarded-For", Present::X_FORWARDED),
            ("X-Forwarded-", Present::X_FORWARDED),
            ("Forwarded", Present::FORWARDED),
            ("X-Real-IP", Present::X_REAL_IP),
            ("X-Request-Id", Present::X_REQUEST_ID),
            ("X-Pointsman-Revision", Present::X_REVISION),
            ("Accept", Present::ACCEPT),
            ("Content-Type", Present::CONTENT_TYPE),
            ("X_Forwarded_For", Present::UNDERSCORE),
            ("X-Forwarded-_", Present::UNDERSCORE | Present::X_FORWARDED),
            ("X-Forwarded", Present::default()),
            ("User-Agent", Present::default()),
        ] {
            assert_eq!(present(&[name]), kind, "{name}");
        }
    }

    #[test]
    fn all_of_them_are_seen() {
        let found = present(&["accept-language", "te", "cookie", "x-a_b", "cookie", "host"]);
        assert_eq!(found, Present::TE | Present::UNDERSCORE | Present::HOST);
        assert!(found.has(Present::EXPECT | Present::HOST) && !found.has(Present::EXPECT | Present::UPGRADE));
        assert_eq!(present(&[]), Present::default());
    }
}

//! The set of headers that a message has, of those that a proxy has something to do with.
//!
//! Some thirty headers mean something to a proxy, and nearly every message has two or three of them. To look for each
//! is to find nothing nearly always; here every name that *is* there is looked at once, when it is added, and told
//! apart by its length before a byte is compared.
//!
//! What is said stays true one way only: a header that is not here is not there. One that is may have been removed
//! since, so a header that is found here is looked for.

use std::ops::BitOr;

/// Kinds of headers; a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HeaderSet(u32);

impl HeaderSet {
    /// Nothing.
    pub const NONE: Self = Self(0);
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
    /// `Cookie`.
    pub const COOKIE: Self = Self(1 << 17);
    /// `Date`.
    pub const DATE: Self = Self(1 << 18);
    /// `grpc-status`.
    pub const GRPC_STATUS: Self = Self(1 << 19);

    /// `Via`.
    pub const VIA: Self = Self(1 << 20);
    /// `Authorization`.
    pub const AUTHORIZATION: Self = Self(1 << 21);

    /// What a proxy before this one, if it is trusted, says of a request: `X-Pointsman-Mirror`, `X-Pointsman-No-Fault`;
    /// and what is said of the version that responds: `X-Pointsman-Version`.
    pub const OF_PROXY: Self = Self(1 << 22);

    /// Whether one of these is there.
    #[must_use]
    pub fn has(self, kinds: Self) -> bool {
        self.0 & kinds.0 != 0
    }

    /// These kinds and others.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kind of a header, by its name in lower case.
    #[must_use]
    pub fn kind(name: &[u8]) -> Self {
        match name {
            b"connection" => Self::CONNECTION,
            b"upgrade" => Self::UPGRADE,
            b"keep-alive"
            | b"proxy-connection"
            | b"proxy-authenticate"
            | b"proxy-authorization"
            | b"http2-settings" => Self::HOP_BY_HOP,
            b"te" => Self::TE,
            b"trailer" => Self::TRAILER,
            b"transfer-encoding" => Self::TRANSFER_ENCODING,
            b"content-length" => Self::CONTENT_LENGTH,
            b"host" => Self::HOST,
            b"expect" => Self::EXPECT,
            b"forwarded" => Self::FORWARDED,
            b"x-real-ip" => Self::X_REAL_IP,
            b"x-request-id" => Self::X_REQUEST_ID,
            b"x-pointsman-revision" => Self::X_REVISION,
            b"x-pointsman-mirror" | b"x-pointsman-no-fault" | b"x-pointsman-version" => Self::OF_PROXY,
            b"accept" => Self::ACCEPT,
            b"content-type" => Self::CONTENT_TYPE,
            b"cookie" => Self::COOKIE,
            b"date" => Self::DATE,
            b"grpc-status" => Self::GRPC_STATUS,
            b"via" => Self::VIA,
            b"authorization" => Self::AUTHORIZATION,
            other => Self::kind_of_many(other),
        }
    }

    /// The kinds that any number of names are of.
    fn kind_of_many(name: &[u8]) -> Self {
        let forwarded = if name.starts_with(b"x-forwarded-") { Self::X_FORWARDED } else { Self::NONE };
        let underscore = if name.contains(&b'_') { Self::UNDERSCORE } else { Self::NONE };
        forwarded | underscore
    }
}

impl BitOr for HeaderSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_told_by_its_name() {
        for (name, kind) in [
            ("Connection", HeaderSet::CONNECTION),
            ("Upgrade", HeaderSet::UPGRADE),
            ("Keep-Alive", HeaderSet::HOP_BY_HOP),
            ("Proxy-Connection", HeaderSet::HOP_BY_HOP),
            ("Proxy-Authenticate", HeaderSet::HOP_BY_HOP),
            ("Proxy-Authorization", HeaderSet::HOP_BY_HOP),
            ("HTTP2-Settings", HeaderSet::HOP_BY_HOP),
            ("TE", HeaderSet::TE),
            ("Trailer", HeaderSet::TRAILER),
            ("Transfer-Encoding", HeaderSet::TRANSFER_ENCODING),
            ("Content-Length", HeaderSet::CONTENT_LENGTH),
            ("Host", HeaderSet::HOST),
            ("Expect", HeaderSet::EXPECT),
            ("X-Forwarded-For", HeaderSet::X_FORWARDED),
            ("X-Forwarded-", HeaderSet::X_FORWARDED),
            ("Forwarded", HeaderSet::FORWARDED),
            ("X-Real-IP", HeaderSet::X_REAL_IP),
            ("X-Request-Id", HeaderSet::X_REQUEST_ID),
            ("X-Pointsman-Revision", HeaderSet::X_REVISION),
            ("X-Pointsman-Mirror", HeaderSet::OF_PROXY),
            ("X-Pointsman-No-Fault", HeaderSet::OF_PROXY),
            ("Accept", HeaderSet::ACCEPT),
            ("Content-Type", HeaderSet::CONTENT_TYPE),
            ("Cookie", HeaderSet::COOKIE),
            ("Date", HeaderSet::DATE),
            ("Grpc-Status", HeaderSet::GRPC_STATUS),
            ("Via", HeaderSet::VIA),
            ("Authorization", HeaderSet::AUTHORIZATION),
            ("X_Forwarded_For", HeaderSet::UNDERSCORE),
            ("X-Forwarded-_", HeaderSet::UNDERSCORE | HeaderSet::X_FORWARDED),
            ("X-Forwarded", HeaderSet::default()),
            ("User-Agent", HeaderSet::default()),
        ] {
            assert_eq!(HeaderSet::kind(name.to_ascii_lowercase().as_bytes()), kind, "{name}");
        }
    }

    #[test]
    fn kinds_add_up() {
        let found = HeaderSet::TE | HeaderSet::UNDERSCORE | HeaderSet::HOST;
        assert!(found.has(HeaderSet::EXPECT | HeaderSet::HOST) && !found.has(HeaderSet::EXPECT | HeaderSet::UPGRADE));
        assert!(!HeaderSet::NONE.has(found) && !found.has(HeaderSet::NONE));
    }
}

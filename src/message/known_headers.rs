//! Names of headers that the proxy itself asks for or writes.

use super::header_set::HeaderSet;

/// A name, in lower case, with the kind under which [`Headers`](super::Headers) note it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownHeader {
    text: &'static str,
    kind: HeaderSet,
}

impl KnownHeader {
    /// A name that is noted.
    const fn noted(text: &'static str, kind: HeaderSet) -> Self {
        Self { text, kind }
    }

    /// A name that is asked for too rarely to be noted.
    const fn rare(text: &'static str) -> Self {
        Self { text, kind: HeaderSet::NONE }
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.text
    }

    /// The kind of header that it names; none, if it is not noted.
    #[must_use]
    pub const fn kind(self) -> HeaderSet {
        self.kind
    }
}

/// A constant for each name.
macro_rules! names {
    (noted { $($noted:ident = $noted_text:literal, $kind:ident;)* } rare { $($rare:ident = $rare_text:literal;)* }) => {
        $(
            #[doc = concat!("`", $noted_text, "`.")]
            pub(crate) const $noted: KnownHeader = KnownHeader::noted($noted_text, HeaderSet::$kind);
        )*
        $(
            #[doc = concat!("`", $rare_text, "`.")]
            pub(crate) const $rare: KnownHeader = KnownHeader::rare($rare_text);
        )*

        /// All of them.
        #[cfg(test)]
        const ALL: &[KnownHeader] = &[$($noted,)* $($rare,)*];
    };
}

names! {
    noted {
        ACCEPT = "accept", ACCEPT;
        AUTHORIZATION = "authorization", AUTHORIZATION;
        CONNECTION = "connection", CONNECTION;
        CONTENT_LENGTH = "content-length", CONTENT_LENGTH;
        CONTENT_TYPE = "content-type", CONTENT_TYPE;
        COOKIE = "cookie", COOKIE;
        DATE = "date", DATE;
        EXPECT = "expect", EXPECT;
        FORWARDED = "forwarded", FORWARDED;
        GRPC_STATUS = "grpc-status", GRPC_STATUS;
        HOST = "host", HOST;
        HTTP2_SETTINGS = "http2-settings", HOP_BY_HOP;
        KEEP_ALIVE = "keep-alive", HOP_BY_HOP;
        PROXY_AUTHENTICATE = "proxy-authenticate", HOP_BY_HOP;
        PROXY_AUTHORIZATION = "proxy-authorization", HOP_BY_HOP;
        PROXY_CONNECTION = "proxy-connection", HOP_BY_HOP;
        TE = "te", TE;
        TRAILER = "trailer", TRAILER;
        TRANSFER_ENCODING = "transfer-encoding", TRANSFER_ENCODING;
        UPGRADE = "upgrade", UPGRADE;
        VIA = "via", VIA;
        X_FORWARDED_FOR = "x-forwarded-for", X_FORWARDED;
        X_FORWARDED_HOST = "x-forwarded-host", X_FORWARDED;
        X_FORWARDED_PREFIX = "x-forwarded-prefix", X_FORWARDED;
        X_FORWARDED_PROTO = "x-forwarded-proto", X_FORWARDED;
        X_MIRROR = "x-pointsman-mirror", OF_PROXY;
        X_NO_FAULT = "x-pointsman-no-fault", OF_PROXY;
        X_REAL_IP = "x-real-ip", X_REAL_IP;
        X_REQUEST_ID = "x-request-id", X_REQUEST_ID;
        X_REVISION = "x-pointsman-revision", X_REVISION;
        X_VERSION = "x-pointsman-version", OF_PROXY;
    }
    rare {
        ACCESS_CONTROL_ALLOW_HEADERS = "access-control-allow-headers";
        ACCESS_CONTROL_ALLOW_METHODS = "access-control-allow-methods";
        ACCESS_CONTROL_ALLOW_ORIGIN = "access-control-allow-origin";
        ACCESS_CONTROL_EXPOSE_HEADERS = "access-control-expose-headers";
        ACCESS_CONTROL_MAX_AGE = "access-control-max-age";
        ACCESS_CONTROL_REQUEST_METHOD = "access-control-request-method";
        ALLOW = "allow";
        CACHE_CONTROL = "cache-control";
        ETAG = "etag";
        GRPC_MESSAGE = "grpc-message";
        IF_NONE_MATCH = "if-none-match";
        LAST_EVENT_ID = "last-event-id";
        LOCATION = "location";
        ORIGIN = "origin";
        RETRY_AFTER = "retry-after";
        SEC_WEBSOCKET_ACCEPT = "sec-websocket-accept";
        SEC_WEBSOCKET_KEY = "sec-websocket-key";
        SET_COOKIE = "set-cookie";
        VARY = "vary";
        WWW_AUTHENTICATE = "www-authenticate";
        X_ACCEL_BUFFERING = "x-accel-buffering";
        X_API_KEY = "x-api-key";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_the_kind_that_is_noted_for_it() {
        for name in ALL {
            assert_eq!(HeaderSet::kind(name.as_str().as_bytes()), name.kind(), "{name:?}");
            assert!(http::HeaderName::from_bytes(name.as_str().as_bytes()).is_ok_and(|same| same == name.as_str()));
        }
    }
}

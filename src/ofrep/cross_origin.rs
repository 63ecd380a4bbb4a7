//! Pages of other origins: which of them may ask, and what their browsers are told (the CORS protocol of Fetch).

use http::Method;

use crate::message::Headers;
use crate::message::known_headers::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};

/// What a page may send besides what every page may.
const ALLOWED_HEADERS: &str = "Authorization, Cache-Control, Content-Type, If-None-Match, Last-Event-ID, X-API-Key";

/// What a page may read besides what every page may: without it a client has no tag to send the next time.
const EXPOSED_HEADERS: &str = "ETag, Retry-After";

/// How long a browser need not ask again, in seconds: as long as most of them remember it at all.
const MAX_AGE: &str = "7200";

/// The origins whose pages may ask.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct AllowedOrigins(Box<[Box<str>]>);

/// Where a request comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RequestOrigin<'h> {
    /// No page, or one of our own origin.
    Own,
    /// A page of this origin, which may ask.
    Allowed(&'h str),
    /// A page that may not.
    Foreign,
}

impl AllowedOrigins {
    /// These, each as browsers write it: `https://shop.example.com`.
    #[must_use]
    pub(crate) fn new(origins: impl IntoIterator<Item = String>) -> Self {
        Self(origins.into_iter().map(String::into_boxed_str).collect())
    }

    /// Where a request with these headers comes from.
    #[must_use]
    pub(crate) fn origin<'h>(&self, headers: &'h Headers) -> RequestOrigin<'h> {
        let Some(origin) = headers.get(ORIGIN) else { return RequestOrigin::Own };
        let Ok(origin) = std::str::from_utf8(origin) else { return RequestOrigin::Foreign };
        if self.0.iter().any(|allowed| **allowed == *origin) {
            return RequestOrigin::Allowed(origin);
        }
        let host = origin.split_once("://").map(|(_, host)| host.as_bytes());
        let own = host.is_some_and(|host| headers.get(HOST).is_some_and(|own| own.eq_ignore_ascii_case(host)));
        if own { RequestOrigin::Own } else { RequestOrigin::Foreign }
    }
}

impl RequestOrigin<'_> {
    /// Says in a response who may read it.
    pub(crate) fn allow(self, headers: &mut Headers) {
        headers.append(VARY, "Origin");
        if let Self::Allowed(origin) = self {
            headers.append(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }

    /// Says in the response to a question for permission what may be sent.
    pub(crate) fn permit(self, methods: &str, headers: &mut Headers) {
        if matches!(self, Self::Allowed(_)) {
            headers.append(ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.append(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            headers.append(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }
}

/// Whether a browser asks for permission, and does not make the call itself.
#[must_use]
pub(crate) fn asks_for_permission(method: &Method, headers: &Headers) -> bool {
    *method == Method::OPTIONS && headers.contains(ORIGIN) && headers.contains(ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_origins_and_our_own_may_ask() {
        let allowed = AllowedOrigins::new(["https://shop.example.com".to_owned()]);
        for (origin, found) in [
            (None, RequestOrigin::Own),
            (Some("https://shop.example.com"), RequestOrigin::Allowed("https://shop.example.com")),
            (Some("http://flags.internal:8016"), RequestOrigin::Own),
            (Some("http://shop.example.com"), RequestOrigin::Foreign),
            (Some("https://shop.example.com.evil"), RequestOrigin::Foreign),
            (Some("https://shop.example.com:444"), RequestOrigin::Foreign),
            (Some("null"), RequestOrigin::Foreign),
        ] {
            let mut headers = Headers::default();
            headers.append(HOST, "Flags.internal:8016");
            if let Some(origin) = origin {
                headers.append(ORIGIN, origin);
            }
            assert_eq!(allowed.origin(&headers), found, "{origin:?}");
            let mut response = Headers::default();
            allowed.origin(&headers).allow(&mut response);
            let told = response.get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(told.is_some(), matches!(found, RequestOrigin::Allowed(_)), "{origin:?}");
            assert_eq!(response.get(VARY), Some(&b"Origin"[..]), "also of one without: a cache may have both");
        }
    }
}

//! The part of a request that routing looks at.

use std::net::IpAddr;

use http::Method;

use crate::message::Headers;
use crate::message::known_headers::COOKIE;
use crate::shared::token_payload::TokenPayload;

/// A request as [`decide`](super::decide()) sees it: borrowed, already admitted (one valid host, origin-form path).
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host without its port, in any case.
    pub host: &'a str,
    /// The path as it will be forwarded.
    pub path: &'a [u8],
    /// The query without its `?`.
    pub query: Option<&'a [u8]>,
    /// The headers as they came, with a `Host` also if the host stood in the target alone.
    pub headers: &'a Headers,
    /// The client's address, by the rules for trusted proxies.
    pub client: IpAddr,
    /// What is to be believed of its token.
    pub claims: BearerClaims<'a>,
}

/// What is to be believed of a request's bearer token, which nothing here can verify.
#[derive(Clone, Copy, Debug)]
pub struct BearerClaims<'a>(Option<&'a TokenPayload>);

static NO_CLAIMS: TokenPayload = TokenPayload::EMPTY;

impl<'a> BearerClaims<'a> {
    /// All that it says: there is nothing to verify it by.
    pub const AS_THEY_STAND: Self = Self(None);

    /// Nothing: there is no token, it is not good, or nothing of it is asked for.
    pub const NONE: Self = Self(Some(&NO_CLAIMS));

    /// The payload of a token that was verified.
    #[must_use]
    pub fn verified(payload: &'a TokenPayload) -> Self {
        Self(Some(payload))
    }

    /// The only payload that counts; `None`: the one that stands in the request.
    pub(super) fn payload(self) -> Option<&'a [u8]> {
        self.0.map(TokenPayload::as_bytes)
    }
}

impl<'a> RequestView<'a> {
    /// The first value of a cookie. Several `Cookie` lines count as one; quotes around a value belong to it.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        self.cookies(name).next()
    }

    /// The values of a cookie, in their order: a browser sends one for each path and domain that it was set for, the
    /// longest path first (RFC 6265, 5.4).
    pub fn cookies(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.headers.get_all(COOKIE);
        let pairs = lines.flat_map(|line| line.split(|b| *b == b';'));
        named_values(pairs.map(<[u8]>::trim_ascii), name)
    }

    /// The first value of a query parameter, as it stands.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<&'a [u8]> {
        named_values(self.query?.split(|b| *b == b'&'), name).next()
    }
}

/// The values of the `name=value` pairs; a bare `name` has an empty value.
fn named_values<'a>(pairs: impl Iterator<Item = &'a [u8]>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    pairs.filter_map(move |pair| match pair.strip_prefix(name.as_bytes())? {
        [] => Some(&[][..]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    })
}

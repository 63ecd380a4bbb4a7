//! Connections to endpoints that belong to one client connection.
//!
//! NTLM and Negotiate authenticate the connection, not the request: what comes on it afterwards is done in the name of
//! the client that went through the handshake. A pool would lend that name to other clients. So a client connection
//! that takes part in such a handshake gets a pool of its own: what its requests use from then on goes back there, is
//! tried first for the next one, so that the steps of a handshake meet on one connection, and is closed with it. There
//! is one at rest at the most, the one that was used last: over HTTP/2 a client could collect one for each of its
//! streams, which no other client may use.
//!
//! The handshake is seen by its headers: a response of 401 or 407 that offers one, or a request that brings its part
//! without having been asked.

use http::StatusCode;

use crate::message::known_headers::{AUTHORIZATION, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};
use crate::message::{HeaderSet, Headers, KnownHeader};
use crate::proxy::worker::Worker;
use crate::stats::EndpointStats;
use crate::table::Version;
use crate::upstream::{Opened, Pools, RequestSender};

use tokio::time::Instant;

/// The schemes that authenticate connections.
const SCHEMES: [&[u8]; 2] = [b"ntlm", b"negotiate"];

/// Whether a request brings its part of a handshake.
#[must_use]
pub(crate) fn is_brought(headers: &Headers) -> bool {
    headers.has(HeaderSet::AUTHORIZATION) && headers.get_all(AUTHORIZATION).any(is_of_connection)
}

/// Whether a response asks for a handshake, or goes on with one.
#[must_use]
#[inline]
pub(crate) fn is_asked_for(status: StatusCode, headers: &Headers) -> bool {
    match status.as_u16() {
        401 => challenges(headers, WWW_AUTHENTICATE),
        407 => challenges(headers, PROXY_AUTHENTICATE),
        _ => false,
    }
}

#[cold]
fn challenges(headers: &Headers, name: KnownHeader) -> bool {
    headers.get_all(name).any(|line| line.split(|byte| *byte == b',').any(is_of_connection))
}

/// Whether a challenge or credentials begin with one of the schemes.
fn is_of_connection(text: &[u8]) -> bool {
    let scheme = text.trim_ascii().split(|byte| *byte == b' ').next().unwrap_or_default();
    SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// A connection of the client's own.
#[derive(Debug)]
pub(crate) struct PrivateConnection {
    /// Index of its endpoint in the version.
    pub index: usize,
    /// What sends on it.
    pub sender: RequestSender,
    /// When it was opened.
    pub opened: Opened,
}

/// Where a connection of the client's own may lead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrivateSearch<'v> {
    /// To an endpoint of this version.
    pub version: &'v Version,
    /// Not to these, by their indices.
    pub left_out: &'v [usize],
    pub now: Instant,
}

/// A connection of the client's own to an endpoint that takes requests.
pub(crate) fn take(pools: &Pools, worker: &Worker, search: &PrivateSearch<'_>) -> Option<PrivateConnection> {
    let PrivateSearch { version, left_out, now } = *search;
    let now_ms = worker.clock_ms(now);
    let of = |stats: &EndpointStats| pools.take(stats, version.protocol, now);
    let usable = version.endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.usable(now_ms));
    let usable = usable.filter(|(index, _)| !left_out.contains(index));
    usable.map(|(index, endpoint)| (index, of(&endpoint.stats))).find_map(|(index, found)| {
        let (sender, opened) = found?;
        Some(PrivateConnection { index, sender, opened })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::KnownHeader;

    #[test]
    fn handshakes_are_told_by_their_scheme() {
        let headers = |name: KnownHeader, value: &str| {
            let mut headers = Headers::default();
            headers.append(name, value);
            headers
        };
        for (value, asked) in [
            ("NTLM", true),
            ("Negotiate", true),
            ("ntlm TlRMTVNTUAAC", true),
            ("Basic realm=\"a\", Negotiate", true),
            ("Basic realm=\"ntlm\"", false),
            ("NTLMish", false),
            ("Bearer", false),
        ] {
            let unauthorized = StatusCode::UNAUTHORIZED;
            assert_eq!(is_asked_for(unauthorized, &headers(WWW_AUTHENTICATE, value)), asked, "{value}");
            assert!(!is_asked_for(StatusCode::OK, &headers(WWW_AUTHENTICATE, value)), "{value}");
            assert_eq!(is_brought(&headers(AUTHORIZATION, value)), asked && !value.contains(','), "{value}");
        }
        let proxy = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        assert!(is_asked_for(proxy, &headers(PROXY_AUTHENTICATE, "NTLM")));
    }
}

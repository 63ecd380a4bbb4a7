//! What happens to the headers of a message on its way through. The order matters: first go the headers that end at this
//! hop, then come ours, so that a `Connection` header cannot take ours away.

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::admit::{Admitted, BodyFraming};
use super::client::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use super::connection_header;
use super::present::Present;
use crate::table::key::{OWN_COOKIE, OwnKey};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Names one request through all systems.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The revision of the table that routed a request, for origins that want to know.
pub const X_REVISION: HeaderName = HeaderName::from_static("x-pointsman-revision");

/// The longest request id that is taken over from a trusted proxy.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What a worker writes into every message.
#[derive(Clone, Debug)]
pub struct EditSettings {
    /// The `Via` element, such as `1.1 pointsman`.
    pub via: HeaderValue,
    /// The same for what came by HTTP/2.
    pub via_http2: HeaderValue,
    /// Whether requests carry the revision.
    pub revision: bool,
}

impl EditSettings {
    /// The element for a message that came in this version (RFC 9110, 7.6.3).
    fn via(&self, version: Version) -> HeaderValue {
        if version == Version::HTTP_2 { self.via_http2.clone() } else { self.via.clone() }
    }
}

/// Facts of one request that its headers tell the upstream.
#[derive(Debug)]
pub struct RequestFacts<'a> {
    /// What admission found.
    pub admitted: &'a Admitted,
    /// The connection's other end.
    pub peer: &'a PeerAddress,
    /// The method, as forwarded.
    pub method: &'a Method,
    /// What the client speaks.
    pub version: Version,
    /// The request's id.
    pub id: HeaderValue,
    /// The revision of the table, if the upstream is told.
    pub revision: Option<HeaderValue>,
}

/// The address of a connection's other end.
#[derive(Clone, Debug)]
pub struct PeerAddress {
    address: IpAddr,
    /// What `X-Forwarded-For` says of it: written once, not for each request.
    text: HeaderValue,
}

impl PeerAddress {
    /// An address.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        let text = HeaderValue::from_str(&address.to_canonical().to_string());
        // Cannot be: addresses are digits, letters, dots and colons.
        Self { address, text: text.unwrap_or(HeaderValue::from_static("unknown")) }
    }

    /// The address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address
    }
}

/// Turns a client's headers into those for the upstream.
pub fn request(headers: &mut HeaderMap, facts: RequestFacts<'_>, settings: &EditSettings) {
    let present = facts.admitted.present;
    connection_header::strip(headers, present);
    if present.has(Present::UNDERSCORE) {
        drop_underscores(headers);
    }
    if present.has(Present::EXPECT) {
        headers.remove(EXPECT);
    }
    if present.has(Present::TE) {
        keep_te_trailers(headers);
    }
    write_framing(headers, &facts);
    forwarded(headers, &facts);
    headers.append(VIA, settings.via(facts.version));
    headers.insert(X_REQUEST_ID, facts.id);
    match facts.revision {
        Some(revision) => drop(headers.insert(X_REVISION, revision)),
        None if present.has(Present::X_REVISION) => drop(headers.remove(X_REVISION)),
        None => {}
    }
}

/// Turns an upstream's headers into those for the client.
///
/// The length is written from what hyper made of the body, except where there is none by definition (`bodiless`) and the
/// header tells how long it would have been.
pub fn answer(head: &mut http::response::Parts, length: Option<u64>, bodiless: bool, settings: &EditSettings) {
    let (status, headers) = (head.status, &mut head.headers);
    let present = Present::among(headers);
    connection_header::strip(headers, present);
    if present.has(Present::TRANSFER_ENCODING | Present::TE) {
        headers.remove(TRANSFER_ENCODING);
        headers.remove(TE);
    }
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        headers.remove(CONTENT_LENGTH);
    } else if !bodiless {
        match length {
            Some(length) => write_length(headers, length),
            None => drop(headers.remove(CONTENT_LENGTH)),
        }
    } else if let Some(first) = headers.get(CONTENT_LENGTH).cloned() {
        headers.insert(CONTENT_LENGTH, first);
    }
    headers.append(VIA, settings.via(head.version));
}

/// HTTP/2 lets a client send its cookies as several lines; rules, keys and HTTP/1.1 want one (RFC 9113, 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    if lines.next().is_none() || lines.next().is_none() {
        return;
    }
    let lines: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Gives the client its own cookie: a name for the user, not for the version. A `secure` one never leaves TLS.
pub fn set_own_cookie(headers: &mut HeaderMap, key: &OwnKey, secure: bool) {
    /// One year; browsers cap at 400 days.
    const AGE_SECONDS: u32 = 31_536_000;
    let digits = String::from_utf8_lossy(key.as_bytes());
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{OWN_COOKIE}={digits}; Path=/; Max-Age={AGE_SECONDS}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        headers.append(SET_COOKIE, value);
    }
}

/// Removes trailers that frame, route, authenticate or end at a hop (rule 8).
pub fn trailers(trailers: &mut HeaderMap) {
    let present = Present::among(trailers);
    connection_header::strip(trailers, present);
    let forbidden = |name: &HeaderName| {
        matches!(
            name.as_str(),
            "content-length"
                | "transfer-encoding"
                | "host"
                | "te"
                | "trailer"
                | "authorization"
                | "cookie"
                | "set-cookie"
                | "content-encoding"
                | "content-type"
                | "content-range"
                | "expect"
                | "max-forwards"
                | "cache-control"
                | "range"
                | "via"
                | "forwarded"
                | "x-real-ip"
                | "x-request-id"
                | "www-authenticate"
        ) || name.as_str().starts_with("x-forwarded-")
            || name.as_str().starts_with("x-pointsman-")
            || name.as_str().contains('_')
    };
    let found: Vec<_> = trailers.keys().filter(|name| forbidden(name)).cloned().collect();
    for name in found {
        trailers.remove(name);
    }
}

/// `X_Forwarded_For` reaches CGI-like origins as `X-Forwarded-For` (rule 13).
fn drop_underscores(headers: &mut HeaderMap) {
    let found: Vec<_> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Keeps `TE: trailers`, which gRPC needs, and nothing else of `TE`.
fn keep_te_trailers(headers: &mut HeaderMap) {
    let mut words = headers.get_all(TE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let trailers = words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"trailers"));
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Rules 1 and 5: the framing is written from the body that is sent, never copied.
fn write_framing(headers: &mut HeaderMap, facts: &RequestFacts<'_>) {
    let Admitted { body, present, .. } = facts.admitted;
    if present.has(Present::TRANSFER_ENCODING) {
        headers.remove(TRANSFER_ENCODING);
    }
    if let BodyFraming::Length(length) = *body {
        return write_length(headers, length);
    }
    if present.has(Present::CONTENT_LENGTH) {
        headers.remove(CONTENT_LENGTH);
    }
    if *body == BodyFraming::Chunked {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        return;
    }
    if present.has(Present::TRAILER) {
        headers.remove(TRAILER);
    }
    if matches!(*facts.method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// Says how long a body is, once and in digits alone; what says so already stays.
fn write_length(headers: &mut HeaderMap, length: u64) {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let (first, more) = (lines.next(), lines.next());
    if more.is_some() || first.is_none_or(|line| !is_written(length, line.as_bytes())) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Whether `text` is what we would write for `number`.
fn is_written(number: u64, text: &[u8]) -> bool {
    let mut left = number;
    let digits = text.iter().rev().all(|byte| {
        let digit = left % 10;
        left /= 10;
        u64::from(byte.wrapping_sub(b'0')) == digit
    });
    digits && left == 0 && (text == b"0" || text.first().is_some_and(|first| *first != b'0'))
}

/// Rule 12: what an untrusted peer says about where it comes from is not passed on.
fn forwarded(headers: &mut HeaderMap, facts: &RequestFacts<'_>) {
    let (present, trusted) = (facts.admitted.present, facts.admitted.trusted);
    if !trusted && present.has(Present::X_FORWARDED | Present::FORWARDED | Present::X_REAL_IP) {
        let said: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("x-forwarded-")).cloned().collect();
        for name in said {
            headers.remove(name);
        }
        headers.remove(FORWARDED);
        headers.remove(X_REAL_IP);
    }
    let proto = if facts.admitted.https { "https" } else { "http" };
    if trusted && present.has(Present::X_FORWARDED | Present::FORWARDED) {
        add_to_forwarded(headers, facts, proto);
    } else {
        headers.insert(X_FORWARDED_FOR, facts.peer.text.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
        if let Some(host) = &facts.admitted.host {
            headers.insert(X_FORWARDED_HOST, host.clone());
        }
    }
    if !present.has(Present::HOST)
        && let Some(host) = &facts.admitted.host
    {
        headers.insert(HOST, host.clone());
    }
}

/// Adds the peer to what it says, as a proxy that is trusted, of those before it.
fn add_to_forwarded(headers: &mut HeaderMap, facts: &RequestFacts<'_>, proto: &'static str) {
    let peer = facts.peer.address.to_canonical();
    if let Ok(address) = HeaderValue::from_str(&joined(headers, &X_FORWARDED_FOR, &peer.to_string())) {
        headers.insert(X_FORWARDED_FOR, address);
    }
    if headers.contains_key(FORWARDED) {
        let peer = if peer.is_ipv6() { format!("\"[{peer}]\"") } else { peer.to_string() };
        let element = format!("for={peer};proto={proto}");
        if let Ok(value) = HeaderValue::from_str(&joined(headers, &FORWARDED, &element)) {
            headers.insert(FORWARDED, value);
        }
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(proto));
    if let Some(host) = &facts.admitted.host {
        headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
    }
}

/// All lines of a list header and one element more, as one line.
fn joined(headers: &HeaderMap, name: &HeaderName, element: &str) -> String {
    let mut list = String::new();
    for line in headers.get_all(name).iter().filter(|line| !line.as_bytes().trim_ascii().is_empty()) {
        list.push_str(&String::from_utf8_lossy(line.as_bytes()));
        list.push_str(", ");
    }
    list.push_str(element);
    list
}

/// The id that a trusted proxy gave, or a fresh one, made of `fresh`.
#[must_use]
pub fn request_id(headers: &HeaderMap, trusted: bool, fresh: impl FnOnce() -> u128) -> HeaderValue {
    let given = || {
        let mut given = headers.get_all(X_REQUEST_ID).iter();
        given.next().filter(|_| given.next().is_none())
    };
    let good = |id: &HeaderValue| {
        !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    let taken_over = if trusted { given().filter(|id| good(id)) } else { None };
    taken_over.cloned().unwrap_or_else(|| {
        let id = OwnKey::from_random(fresh());
        HeaderValue::from_bytes(id.as_bytes()).unwrap_or(HeaderValue::from_static("0"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(lines: &[(&'static str, &'static str)], trusted: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let host = Some(HeaderValue::from_static("shop.example:8080"));
        let client = IpAddr::from([192, 0, 2, 1]);
        let admitted = Admitted {
            present: Present::among(&headers),
            host,
            host_name_bytes: "shop.example".len(),
            trusted,
            https: false,
            secure: false,
            client,
            body: BodyFraming::None,
        };
        let (method, version) = (&Method::GET, Version::HTTP_11);
        let id = request_id(&headers, trusted, || 7);
        let (peer, revision) = (&PeerAddress::new(client), Some(HeaderValue::from(42)));
        let facts = RequestFacts { admitted: &admitted, peer, method, version, id, revision };
        let via = HeaderValue::from_static("1.1 pointsman");
        let settings = EditSettings { via_http2: via.clone(), via, revision: true };
        request(&mut headers, facts, &settings);
        headers
    }

    #[test]
    fn an_untrusted_peer_cannot_say_where_it_comes_from() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-prefix", "/x"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x-request-id", "mine"),
            ("x-pointsman-revision", "9"),
            ("x_forwarded_for", "6.6.6.6"),
        ];
        let headers = edited(&lines, false);
        assert_eq!(headers[X_FORWARDED_FOR], "192.0.2.1");
        assert_eq!(headers[X_FORWARDED_HOST], "shop.example:8080");
        assert_eq!(headers[X_FORWARDED_PROTO], "http");
        assert_eq!(headers[X_REVISION], "42");
        assert_eq!(headers[X_REQUEST_ID], "00000000000000000000000000000007");
        for gone in ["x-forwarded-prefix", "forwarded", "x-real-ip", "x_forwarded_for"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_trusted_peer_is_added_to_what_it_says() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=6.6.6.6"),
            ("x-request-id", "mine"),
            ("via", "1.1 cdn"),
        ];
        let headers = edited(&lines, true);
        assert_eq!(headers[X_FORWARDED_FOR], "6.6.6.6, 7.7.7.7, 192.0.2.1");
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
        assert_eq!(headers[FORWARDED], "for=6.6.6.6, for=192.0.2.1;proto=http");
        assert_eq!(headers[X_REQUEST_ID], "mine");
        assert_eq!(headers.get_all(VIA).iter().collect::<Vec<_>>(), ["1.1 cdn", "1.1 pointsman"]);
    }

    #[test]
    fn a_length_is_written_once_and_in_digits_alone() {
        for (lines, length) in [
            (&["12"][..], 12),
            (&["0012"], 12),
            (&["+12"], 12),
            (&["12", "12"], 12),
            (&["13"], 12),
            (&["2"], 12),
            (&["112"], 12),
            (&[], 12),
            (&["0"], 0),
            (&["00"], 0),
            (&[""], 0),
            (&["18446744073709551615"], u64::MAX),
            (&["018446744073709551615"], u64::MAX),
            (&["28446744073709551615"], u64::MAX),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(line));
            }
            write_length(&mut headers, length);
            let written: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(written, [length.to_string().as_str()], "{lines:?}");
        }
    }

    #[test]
    fn only_trailers_survive_of_te() {
        assert_eq!(edited(&[("te", "gzip, trailers;q=1, Trailers")], false)[TE], "trailers");
        assert!(!edited(&[("te", "gzip")], false).contains_key(TE));
    }
}

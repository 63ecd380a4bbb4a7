//! The edits of the headers of a message on its way through. The order matters: first go the headers that end at this
//! hop, then come ours, so that a `Connection` header cannot take ours away.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::admit::connection_header;
use super::admit::{Admitted, BodyFraming};
use super::local_reply::LocalReply;
use crate::message::known_headers::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, VIA,
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_MIRROR, X_NO_FAULT, X_REAL_IP, X_REQUEST_ID, X_REVISION,
    X_VERSION,
};
use crate::message::{HeaderSet, HeaderSpan, Headers, KnownHeader, Response};
use crate::stats::RejectReason;
use crate::table::compiled_flag::FLAG_HEADER_PREFIX;
use crate::table::key::OwnKey;
use crate::table::spec::own_cookie::OwnCookieSpec;

/// The longest request id that is taken over from a trusted proxy.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What a worker writes into every message.
#[derive(Clone, Debug)]
pub(crate) struct EditSettings {
    /// What responses are told of us.
    pub response_via: Via,
    /// What requests are told of us: the same, and who of our name we are.
    pub request_via: Via,
    /// What in a `Via` says that a request has been here already; empty if that is not asked.
    pub own: Box<[u8]>,
    /// Whether requests carry the revision.
    pub revision: bool,
}

/// An element of `Via` (RFC 9110, 7.6.3).
#[derive(Clone, Debug)]
pub(crate) struct Via {
    http1: HeaderValue,
    http2: HeaderValue,
}

impl Via {
    /// The element of a proxy by its name, and what is said of it.
    #[must_use]
    pub(crate) fn new(name: &str) -> Self {
        let element = |version: &str| HeaderValue::from_str(&format!("{version} {name}"));
        let nameless = |_unfit| HeaderValue::from_static("1.1 pointsman");
        Self { http1: element("1.1").unwrap_or_else(nameless), http2: element("2.0").unwrap_or_else(nameless) }
    }

    /// The element for a message that came in this version.
    fn of(&self, version: Version) -> &HeaderValue {
        if version == Version::HTTP_2 { &self.http2 } else { &self.http1 }
    }
}

impl EditSettings {
    /// The settings of a proxy named `name`, whose process is told from others of that name by `process`.
    #[must_use]
    pub(crate) fn new(name: &str, process: u64, refuse_loops: bool, revision: bool) -> Self {
        let own = format!("({process:016x})");
        let request_via = Via::new(&format!("{name} {own}"));
        let own = if refuse_loops { own } else { String::new() };
        Self { response_via: Via::new(name), request_via, own: own.into_bytes().into(), revision }
    }

    /// Whether a request has been through this process already.
    fn is_own(&self, via: &[u8]) -> bool {
        !self.own.is_empty() && via.windows(self.own.len()).any(|part| *part == *self.own)
    }
}

/// Refuses a request that comes here again: its endpoint, or one behind that, is a listener of ours. Another process of
/// our name is not us: it has another number.
///
/// # Errors
/// The local reply.
pub(crate) fn check_loop(headers: &Headers, settings: &EditSettings) -> Result<(), LocalReply> {
    if headers.has(HeaderSet::VIA) && headers.get_all(VIA).any(|line| settings.is_own(line)) {
        let detail = "this request has been through this proxy already: an endpoint leads back to one of its listeners";
        return Err(LocalReply::new(RejectReason::Loop, detail));
    }
    Ok(())
}

/// Facts of one request that its headers tell the upstream.
#[derive(Debug)]
pub(crate) struct RequestFacts<'a> {
    /// What admission found.
    pub admitted: &'a Admitted,
    /// The connection's other end.
    pub peer: &'a PeerAddress,
    /// The method, as forwarded.
    pub method: &'a Method,
    /// What the client speaks.
    pub version: Version,
    /// The request's id.
    pub id: RequestId,
    /// The revision of the table, if the upstream is told.
    pub revision: Option<HeaderValue>,
}

/// The address of a connection's other end.
#[derive(Clone, Debug)]
pub(crate) struct PeerAddress {
    address: IpAddr,
    /// What `X-Forwarded-For` says of it: written once, not for each request.
    text: HeaderValue,
}

impl PeerAddress {
    /// An address.
    #[must_use]
    pub(crate) fn new(address: IpAddr) -> Self {
        let text = HeaderValue::from_str(&address.to_canonical().to_string());
        // Cannot be: addresses are digits, letters, dots and colons.
        Self { address, text: text.unwrap_or(HeaderValue::from_static("unknown")) }
    }

    /// The address.
    #[must_use]
    pub(crate) fn ip(&self) -> IpAddr {
        self.address
    }
}

/// Turns a client's headers into those for the upstream.
pub(crate) fn request(headers: &mut Headers, facts: &RequestFacts<'_>, settings: &EditSettings) {
    connection_header::strip(headers);
    if headers.has(HeaderSet::UNDERSCORE | HeaderSet::OF_PROXY) {
        remove_foreign(headers, facts.admitted.trusted);
    }
    headers.remove(EXPECT);
    if headers.has(HeaderSet::TE) {
        keep_te_trailers(headers);
    }
    write_framing(headers, facts);
    forwarded(headers, facts);
    headers.append(VIA, settings.request_via.of(facts.version));
    headers.remove(X_REQUEST_ID);
    match &facts.id {
        RequestId::Fresh(id) => headers.append(X_REQUEST_ID, id.as_bytes()),
        RequestId::Given(place) => headers.append_copy(X_REQUEST_ID, *place),
    }
    headers.remove(X_REVISION);
    if let Some(revision) = &facts.revision {
        headers.append(X_REVISION, revision);
    }
}

/// Removes what must not reach an endpoint as it came. `X_Forwarded_For` reaches CGI-like origins as `X-Forwarded-For`
/// (docs/http-rules.md#rule-13), and only a proxy that is trusted may say what kind of request this is.
#[cold]
fn remove_foreign(headers: &mut Headers, trusted: bool) {
    headers.retain(|name| !name.contains(&b'_'));
    headers.remove(X_VERSION);
    if !trusted {
        headers.remove(X_MIRROR);
        headers.remove(X_NO_FAULT);
    }
}

/// Turns an upstream's headers into those for the client.
///
/// The length is written from what the codec made of the body, except where there is none by definition (`bodiless`)
/// and the header tells how long it would have been.
pub(crate) fn response<B>(response: &mut Response<B>, length: Option<u64>, bodiless: bool, settings: &EditSettings) {
    let (status, headers) = (response.status, &mut response.headers);
    connection_header::strip(headers);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(TE);
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        headers.remove(CONTENT_LENGTH);
    } else if !bodiless {
        match length {
            // A call of gRPC that ended in its head. Clients of some languages take a length for a head that data
            // follows.
            Some(0) if headers.has(HeaderSet::GRPC_STATUS) && !headers.has(HeaderSet::CONTENT_LENGTH) => {}
            Some(length) => write_length(headers, length),
            None => _ = headers.remove(CONTENT_LENGTH),
        }
    } else if headers.get_all(CONTENT_LENGTH).nth(1).is_some()
        && let Some(first) = headers.find(CONTENT_LENGTH)
    {
        headers.remove(CONTENT_LENGTH);
        headers.append_copy(CONTENT_LENGTH, first);
    }
    headers.append(VIA, settings.response_via.of(response.version));
}

/// HTTP/2 lets a client send its cookies as several lines; rules, keys and HTTP/1.1 want one (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(headers: &mut Headers) {
    if headers.get_all(COOKIE).nth(1).is_some() {
        let joined = headers.get_all(COOKIE).collect::<Vec<_>>().join(&b"; "[..]);
        headers.insert(COOKIE, joined);
    }
}

/// Gives the client its own cookie: a name for the user, not for the version. A `secure` one never leaves TLS.
pub(crate) fn set_own_cookie(headers: &mut Headers, key: &OwnKey, cookie: Option<&OwnCookieSpec>, secure: bool) {
    let usual = OwnCookieSpec::default;
    let OwnCookieSpec { name, attributes, secure: always } = &cookie.map_or_else(usual, OwnCookieSpec::clone);
    let digits = String::from_utf8_lossy(key.as_bytes());
    let secure = if secure || *always { "; Secure" } else { "" };
    let cookie = format!("{name}={digits}{attributes}{secure}");
    headers.append(SET_COOKIE, cookie);
}

/// Removes trailers that frame, route, authenticate or end at a hop (docs/http-rules.md#rule-8).
pub(crate) fn trailers(trailers: &mut HeaderMap) {
    connection_header::strip_trailers(trailers);
    let forbidden = |name: &str| {
        matches!(
            name,
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
        ) || name.starts_with("x-forwarded-")
            || name.starts_with("x-pointsman-")
            || name.starts_with(FLAG_HEADER_PREFIX)
            || name.contains('_')
    };
    let found: Vec<_> = trailers.keys().filter(|name| forbidden(name.as_str())).cloned().collect();
    for name in found {
        trailers.remove(name);
    }
}

/// Keeps `TE: trailers`, which gRPC needs, and nothing else of `TE`.
fn keep_te_trailers(headers: &mut Headers) {
    let mut words = headers.get_all(TE).flat_map(|line| line.split(|b| *b == b','));
    let trailers = words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"trailers"));
    headers.remove(TE);
    if trailers {
        headers.append(TE, "trailers");
        headers.insert(CONNECTION, "te");
    }
}

/// Rules 1 and 5: the framing is written from the body that is sent, never copied.
fn write_framing(headers: &mut Headers, facts: &RequestFacts<'_>) {
    headers.remove(TRANSFER_ENCODING);
    if let BodyFraming::Length(length) = facts.admitted.body {
        return write_length(headers, length);
    }
    headers.remove(CONTENT_LENGTH);
    if facts.admitted.body == BodyFraming::Chunked {
        headers.append(TRANSFER_ENCODING, "chunked");
        return;
    }
    headers.remove(TRAILER);
    if matches!(*facts.method, Method::POST | Method::PUT | Method::PATCH) {
        headers.append(CONTENT_LENGTH, "0");
    }
}

/// Says how long a body is, once and in digits alone; what says so already stays.
fn write_length(headers: &mut Headers, length: u64) {
    let mut lines = headers.get_all(CONTENT_LENGTH);
    let (first, more) = (lines.next(), lines.next());
    if more.is_some() || first.is_none_or(|line| !is_written(length, line)) {
        headers.insert(CONTENT_LENGTH, length.to_string());
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
fn forwarded(headers: &mut Headers, facts: &RequestFacts<'_>) {
    let said = headers.has(HeaderSet::X_FORWARDED | HeaderSet::FORWARDED | HeaderSet::X_REAL_IP);
    let proto = if facts.admitted.https { "https" } else { "http" };
    if said && facts.admitted.trusted {
        return add_to_forwarded(headers, facts, proto);
    }
    if said {
        let gone = [FORWARDED, X_REAL_IP].map(KnownHeader::as_str);
        headers.retain(|name| !name.starts_with(b"x-forwarded-") && gone.iter().all(|gone| gone.as_bytes() != name));
    }
    headers.append(X_FORWARDED_FOR, &facts.peer.text);
    headers.append(X_FORWARDED_PROTO, if facts.admitted.secure { "https" } else { "http" });
    if let Some(host) = facts.admitted.host {
        headers.append_copy(X_FORWARDED_HOST, host);
    }
}

/// Adds the peer to what it says, as a proxy that is trusted, of those before it.
fn add_to_forwarded(headers: &mut Headers, facts: &RequestFacts<'_>, proto: &'static str) {
    let peer = facts.peer.address.to_canonical();
    headers.insert(X_FORWARDED_FOR, joined(headers, X_FORWARDED_FOR, &peer.to_string()));
    if headers.contains(FORWARDED) {
        let peer = if peer.is_ipv6() { format!("\"[{peer}]\"") } else { peer.to_string() };
        headers.insert(FORWARDED, joined(headers, FORWARDED, &format!("for={peer};proto={proto}")));
    }
    if !headers.contains(X_FORWARDED_PROTO) {
        headers.append(X_FORWARDED_PROTO, if facts.admitted.secure { "https" } else { "http" });
    }
    if let Some(host) = facts.admitted.host
        && !headers.contains(X_FORWARDED_HOST)
    {
        headers.append_copy(X_FORWARDED_HOST, host);
    }
}

/// All lines of a list header and one element more, as one line.
fn joined(headers: &Headers, name: KnownHeader, element: &str) -> Vec<u8> {
    let lines = headers.get_all(name).filter(|line| !line.trim_ascii().is_empty());
    lines.chain([element.as_bytes()]).collect::<Vec<_>>().join(&b", "[..])
}

/// What names a request through all systems.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RequestId {
    /// Made here.
    Fresh(OwnKey),
    /// Taken over from a trusted proxy: a place among the headers.
    Given(HeaderSpan),
}

impl RequestId {
    /// The id that a trusted proxy gave, or a fresh one, made of `fresh`.
    #[must_use]
    pub(crate) fn of(headers: &Headers, trusted: bool, fresh: impl FnOnce() -> u128) -> Self {
        let good = |id: HeaderSpan| {
            let text = headers.text(id);
            !text.is_empty() && text.len() <= REQUEST_ID_BYTES_MAX && text.iter().all(u8::is_ascii_graphic)
        };
        let given = || headers.find(X_REQUEST_ID).filter(|_| headers.get_all(X_REQUEST_ID).nth(1).is_none());
        let taken_over = if trusted { given().filter(|id| good(*id)) } else { None };
        taken_over.map_or_else(|| Self::Fresh(OwnKey::from_random(fresh())), Self::Given)
    }

    /// The id; `headers` are those that it was taken from.
    #[must_use]
    pub(crate) fn text<'i>(&'i self, headers: &'i Headers) -> &'i [u8] {
        match self {
            Self::Fresh(id) => id.as_bytes(),
            Self::Given(place) => headers.text(*place),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::message::known_headers::HOST;

    fn edited(lines: &[(&'static str, &'static str)], trusted: bool) -> Headers {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers: Headers = lines.iter().map(line).collect();
        headers.append(HOST, "shop.example:8080");
        let client = IpAddr::from([192, 0, 2, 1]);
        let admitted = Admitted {
            host: headers.find(HOST),
            host_name_bytes: "shop.example".len(),
            trusted,
            https: false,
            secure: false,
            client,
            body: BodyFraming::None,
        };
        let (method, version) = (&Method::GET, Version::HTTP_11);
        let id = RequestId::of(&headers, trusted, || 7);
        let (peer, revision) = (&PeerAddress::new(client), Some(HeaderValue::from(42)));
        let facts = RequestFacts { admitted: &admitted, peer, method, version, id, revision };
        request(&mut headers, &facts, &EditSettings::new("pointsman", 7, true, true));
        headers
    }

    /// The one value of a name.
    fn only(headers: &Headers, name: KnownHeader) -> Option<String> {
        let mut values = headers.get_all(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let value = values.next();
        assert_eq!(values.next(), None, "{name:?}");
        value
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
            ("x-pointsman-mirror", "1"),
            ("x-pointsman-no-fault", "1"),
        ];
        let headers = edited(&lines, false);
        assert_eq!(only(&headers, X_FORWARDED_FOR).as_deref(), Some("192.0.2.1"));
        assert_eq!(only(&headers, X_FORWARDED_HOST).as_deref(), Some("shop.example:8080"));
        assert_eq!(only(&headers, X_FORWARDED_PROTO).as_deref(), Some("http"));
        assert_eq!(only(&headers, X_REVISION).as_deref(), Some("42"));
        assert_eq!(only(&headers, X_REQUEST_ID).as_deref(), Some("00000000000000000000000000000007"));
        let gone = [FORWARDED, X_REAL_IP, X_MIRROR, X_NO_FAULT].map(KnownHeader::as_str);
        let gone = gone.into_iter().chain(["x-forwarded-prefix", "x_forwarded_for"]).map(str::as_bytes);
        let gone: Vec<_> = gone.collect();
        assert!(headers.iter().all(|(name, _)| !gone.contains(&name)), "{headers:?}");
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
            ("x-pointsman-no-fault", "1"),
        ];
        let headers = edited(&lines, true);
        assert_eq!(only(&headers, X_FORWARDED_FOR).as_deref(), Some("6.6.6.6, 7.7.7.7, 192.0.2.1"));
        assert_eq!(only(&headers, X_FORWARDED_PROTO).as_deref(), Some("https"));
        assert_eq!(only(&headers, FORWARDED).as_deref(), Some("for=6.6.6.6, for=192.0.2.1;proto=http"));
        assert_eq!(only(&headers, X_REQUEST_ID).as_deref(), Some("mine"));
        assert_eq!(only(&headers, X_NO_FAULT).as_deref(), Some("1"));
        assert_eq!(headers.get_all(VIA).collect::<Vec<_>>(), [&b"1.1 cdn"[..], b"1.1 pointsman (0000000000000007)"]);
    }

    #[test]
    fn a_connection_header_cannot_take_ours_away() {
        let ours = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_REQUEST_ID, X_REVISION, VIA];
        for name in ours {
            let headers = edited(&[("connection", name.as_str()), ("x-request-id", "mine")], true);
            let missing: Vec<_> = ours.into_iter().filter(|ours| only(&headers, *ours).is_none()).collect();
            assert!(missing.is_empty(), "{missing:?} of {name:?}");
            assert_eq!(only(&headers, X_REQUEST_ID).as_deref(), Some("mine"));
        }
    }

    #[test]
    fn two_ids_are_none() {
        let headers = edited(&[("x-request-id", "mine"), ("x-request-id", "other")], true);
        assert_eq!(only(&headers, X_REQUEST_ID).as_deref(), Some("00000000000000000000000000000007"));
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
            let mut headers = Headers::default();
            for line in lines {
                headers.append(CONTENT_LENGTH, line);
            }
            write_length(&mut headers, length);
            assert_eq!(only(&headers, CONTENT_LENGTH), Some(length.to_string()), "{lines:?}");
        }
    }

    #[test]
    fn only_trailers_survive_of_te() {
        let headers = edited(&[("te", "gzip, trailers;q=1, Trailers")], false);
        assert_eq!(only(&headers, TE).as_deref(), Some("trailers"));
        assert!(!edited(&[("te", "gzip")], false).contains(TE));
    }
}

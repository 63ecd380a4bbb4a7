//! A request as an idea, whatever the protocol: what a client means, and what of it must arrive at an origin.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::Bytes;
use crate::support::Seen;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) method: String,
    /// `None` if the request does not say, as HTTP/1.0 may.
    pub(super) authority: Option<String>,
    /// Path and query.
    pub(super) target: Bytes,
    /// Everything but the host and the framing; names in lower case.
    pub(super) fields: Vec<(String, Bytes)>,
    pub(super) body: Payload,
}

/// What follows a head.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    None,
    /// Its length is told.
    Whole(Bytes),
    /// It comes in pieces, and fields behind it.
    Pieces(Vec<Bytes>, Vec<(String, Bytes)>),
}

/// What an origin gets.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Arrival {
    method: String,
    target: String,
    fields: BTreeMap<String, Vec<String>>,
    body: Bytes,
    trailers: Vec<(String, String)>,
}

/// What ends at the proxy, or is written anew by it.
const OWN: [&str; 15] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "upgrade",
    "http2-settings",
    "transfer-encoding",
    "content-length",
    "expect",
    "te",
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "x-pointsman-revision",
];

/// What HTTP/2 has no place for; clients leave it out, and a `TE` other than `trailers`.
const CONNECTION_SPECIFIC: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "upgrade"];

const NO_TRAILERS: [&str; 23] = [
    "content-length",
    "transfer-encoding",
    "host",
    "te",
    "trailer",
    "authorization",
    "cookie",
    "connection",
    "x-forwarded-for",
    "content-type",
    "via",
    "upgrade",
    "set-cookie",
    "content-encoding",
    "content-range",
    "expect",
    "max-forwards",
    "cache-control",
    "range",
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "www-authenticate",
];

fn is_own(name: &str) -> bool {
    OWN.contains(&name) || name.starts_with("x-forwarded-")
}

impl Message {
    /// The elements of a list header, in lower case.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let lines = self.fields.iter().filter(|(found, _)| found == name);
        let words = lines.flat_map(|(_, value)| text(&value.0).split(',').map(str::to_owned).collect::<Vec<_>>());
        words.map(|word| word.trim().to_ascii_lowercase()).filter(|word| !word.is_empty()).collect()
    }

    /// The trailers that the request says it has, as hyper reads them: of lines that are text.
    fn announced(&self) -> Vec<String> {
        let is_text = |value: &Bytes| value.0.iter().all(|byte| (b' '..0x7f).contains(byte) || *byte == b'\t');
        let fields = self.fields.iter().filter(|(_, value)| is_text(value)).cloned().collect();
        Self { fields, ..self.clone() }.list("trailer")
    }

    /// Whether the client wants the connection to end with this.
    pub(super) fn is_last(&self) -> bool {
        self.list("connection").iter().any(|token| token == "close")
    }

    /// The same as HTTP/2 can say it: without what belongs to a connection of HTTP/1.1, and a body of no bytes is none.
    pub(super) fn for_http2(mut self) -> Self {
        self.target = Bytes(held_by_http2(&self.target.0));
        self.fields.retain(|(name, value)| match name.as_str() {
            "te" => value.0 == b"trailers",
            name => !CONNECTION_SPECIFIC.contains(&name),
        });
        let empty = match &mut self.body {
            Payload::None => true,
            Payload::Whole(body) => body.0.is_empty(),
            Payload::Pieces(pieces, trailers) => {
                pieces.retain(|piece| !piece.0.is_empty());
                pieces.is_empty() && trailers.is_empty()
            }
        };
        if empty {
            self.body = Payload::None;
        }
        self
    }

    /// What an origin must get of it. In HTTP/1.1 (`!http2`) only trailers that were announced are sent.
    pub(super) fn arrives(&self, http2: bool) -> Arrival {
        let named = self.list("connection");
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let bodiless = match &self.body {
            Payload::None => true,
            Payload::Whole(body) => body.0.is_empty(),
            Payload::Pieces(..) => false,
        };
        for (name, value) in &self.fields {
            let own = is_own(name) || name.contains('_') || (name == "trailer" && bodiless);
            if !own && !named.contains(name) {
                fields.entry(name.clone()).or_default().push(text(&value.0));
            }
        }
        if self.list("te").iter().any(|coding| coding == "trailers") {
            fields.insert("te".to_owned(), vec!["trailers".to_owned()]);
        }
        if let Some(host) = &self.authority {
            fields.insert("host".to_owned(), vec![host.clone()]);
        }
        let announced = match named.contains(&"trailer".to_owned()) {
            true => Vec::new(),
            false => self.announced(),
        };
        let (body, trailers) = match &self.body {
            Payload::None => (Vec::new(), &[][..]),
            Payload::Whole(body) => (body.0.clone(), &[][..]),
            Payload::Pieces(pieces, trailers) => {
                (pieces.iter().flat_map(|piece| piece.0.clone()).collect(), trailers.as_slice())
            }
        };
        let passes = |name: &String| {
            (http2 || announced.contains(name))
                && !NO_TRAILERS.contains(&name.as_str())
                && !is_own(name)
                && !name.contains('_')
                && !name.starts_with("x-pointsman-")
        };
        let trailers =
            trailers.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), text(&value.0)));
        let mut trailers: Vec<_> = trailers.collect();
        trailers.sort();
        let target = if http2 { held_by_http2(&self.target.0) } else { self.target.0.clone() };
        let (method, target) = (self.method.clone(), String::from_utf8_lossy(&target).into_owned());
        Arrival { method, target, fields, body: Bytes(body), trailers }
    }
}

impl Arrival {
    /// The same with one line of cookies: HTTP/2 may send them apart, and to HTTP/1.1 they go in one (RFC 9113, 8.2.3).
    /// Of a last cookie that is empty, the space before it is not part of the line's value (RFC 9110, 5.5).
    pub(super) fn with_cookies_joined(mut self) -> Self {
        if let Some(cookies) = self.fields.get_mut("cookie") {
            *cookies = vec![cookies.join("; ").trim_matches([' ', '\t']).to_owned()];
        }
        self
    }

    /// The same as if there were none.
    pub(super) fn without_trailers(self) -> Self {
        Self { trailers: Vec::new(), ..self }
    }

    /// What an origin saw, without what the proxy added by itself.
    pub(super) fn of(seen: &Seen, host: bool) -> Self {
        let mut words = seen.line().splitn(2, ' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &seen.head.headers {
            if name == "te" || !is_own(name) && (host || name != "host") {
                fields.entry(name.clone()).or_default().push(value.clone());
            }
        }
        // The last element of `Via` is ours; that it is there is a law of the origin's.
        let via = fields.remove("via").map(|mut via| (via.pop(), via).1).filter(|via| !via.is_empty());
        fields.extend(via.map(|via| ("via".to_owned(), via)));
        let mut trailers = seen.body.trailers.clone();
        trailers.sort();
        Self { method, target, fields, body: Bytes(seen.body.bytes.clone()), trailers }
    }
}

/// As the origin of the harness reads values.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// A value that any header may have.
pub(super) fn value() -> impl Strategy<Value = Bytes> {
    let byte = prop_oneof![20 => 0x21..=0x7e_u8, 2 => Just(b' '), 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    vec(byte, 0..20).prop_map(|bytes| Bytes(bytes.trim_ascii().to_vec()))
}

fn field() -> impl Strategy<Value = (String, Bytes)> {
    let known = vec![
        "accept",
        "cookie",
        "authorization",
        "user-agent",
        "traceparent",
        "referer",
        "range",
        "origin",
        "content-type",
        "content-encoding",
        "if-none-match",
        "pragma",
        "max-forwards",
        "via",
        "date",
        "cache-control",
        "accept-encoding",
        "priority",
        "early-data",
        "x-a",
        "x-b",
    ];
    let name = prop_oneof![select(known).prop_map(str::to_owned), "x[a-z0-9!#$%&'*+.^`|~-]{0,8}"];
    prop_oneof![5 => (name, value()), 2 => select(special()).prop_map(|(name, value)| (name.to_owned(), Bytes(value.into())))]
}

/// Fields that end at the proxy, or do something there. No `Upgrade: websocket`: that would be a tunnel.
fn special() -> Vec<(&'static str, &'static str)> {
    vec![
        ("connection", "keep-alive"),
        ("connection", "x-a"),
        ("connection", "X-B, cookie, ,te"),
        ("connection", "upgrade, content-length"),
        ("connection", "close"),
        ("te", "trailers"),
        ("te", "gzip, Trailers;q=0.5"),
        ("te", "deflate, TRAILERS"),
        ("upgrade", "h2c"),
        ("upgrade", "foo/2"),
        ("http2-settings", "AAMAAABk"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x-request-id", "mine"),
        ("x-pointsman-revision", "7"),
        ("x_forwarded_for", "6.6.6.6"),
        ("content_length", "5"),
        ("transfer_encoding", "chunked"),
        ("expect", "100-continue"),
        ("trailer", "x-t, x-u, host"),
    ]
}

fn target() -> impl Strategy<Value = Bytes> {
    let plain = "/([a-z0-9._~!$&'()*+,;=:@/-]|%[0-9a-fA-F]{2}){0,20}(\\?[a-z0-9._~!$&'()*+,;=:@/?%-]{0,12})?";
    let odd = vec!["//", "/..", "/a/../b", "/%2f%00", "/a\\b", "/{x}|^", "/?", "/a?b?c", "//b/x", "/a;p=1?x[]=1"];
    // Everything that can stand in a request line but the fragment.
    let byte = (b'!'..=0xff).prop_filter("no byte of a target", |byte| !matches!(byte, b'#' | 0x7f));
    let raw = vec(byte, 0..12).prop_map(|bytes| [b"/", &bytes[..]].concat());
    let json = Just(b"/?q={\"a\":[1,\"<b>\"]}&`^|\\".to_vec());
    let text = prop_oneof![plain, select(odd).prop_map(str::to_owned)].prop_map(String::into_bytes);
    prop_oneof![3 => text, 1 => json, 1 => raw].prop_map(Bytes)
}

/// A target as the codec of HTTP/2 can hold it: as it is, or percent-encoded where RFC 3986 wants it to be.
fn held_by_http2(target: &[u8]) -> Vec<u8> {
    if http::uri::PathAndQuery::try_from(target).is_ok() {
        return target.to_vec();
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
    target
        .iter()
        .flat_map(|byte| if plain(*byte) { vec![*byte] } else { format!("%{byte:02X}").into_bytes() })
        .collect()
}

fn payload() -> impl Strategy<Value = Payload> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        (1..3000_usize).prop_map(|size| vec![b'x'; size]),
    ];
    let trailer = (select(vec!["x-t", "x-u", "host", "content-length", "x_t"]), value());
    let trailers = vec(trailer.prop_map(|(name, value)| (name.to_owned(), value)), 0..3);
    prop_oneof![
        3 => Just(Payload::None),
        3 => piece.clone().prop_map(|body| Payload::Whole(Bytes(body))),
        3 => (vec(piece.prop_map(Bytes), 0..4), trailers).prop_map(|(pieces, trailers)| Payload::Pieces(pieces, trailers)),
    ]
}

/// Good requests, of all kinds that the proxy must forward.
pub(super) fn message() -> impl Strategy<Value = Message> {
    let methods = vec![
        "GET",
        "GET",
        "HEAD",
        "POST",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "PROPFIND",
        "get",
        "M-SEARCH",
        "X!#$%&'*+.^_`|~9",
    ];
    let authority = select(vec!["a", "A.example:8080", "127.0.0.1", "[::1]:80", "a.b-c_d~e"]);
    (select(methods), authority, target(), vec(field(), 0..8), payload()).prop_map(
        |(method, authority, target, fields, body)| Message {
            method: method.to_owned(),
            authority: Some(authority.to_owned()),
            target,
            fields,
            body,
        },
    )
}

/// Where bytes are cut into packets.
pub(super) fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..4)
}

/// The parts of `bytes` between the cuts.
pub(super) fn parts(bytes: &[u8], cuts: &[Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    places.sort_unstable();
    let parts = places.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec());
    parts.filter(|part| !part.is_empty()).collect()
}

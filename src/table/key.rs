//! The key of a user: what makes a user the same user in the next request.

use std::fmt::Write;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::jwt_claim::JwtClaim;
use super::request::RequestView;
use super::spec::KeySource;
use crate::message::Headers;
use crate::message::known_headers::AUTHORIZATION;

/// The name of our own cookie.
pub const OWN_COOKIE: &str = "pointsman_id";

/// The largest payload of a bearer token that is searched for a claim. Larger ones count as having no key: identity
/// providers stay far below, and the buffer is on the stack of a request.
const JWT_PAYLOAD_BYTES_MAX: usize = 4096;

impl KeySource {
    /// Hands the request's key from this source to `then`; `None` if the request has none, or an empty one.
    ///
    /// A callback, because most keys are borrowed from the request and the others live on the stack.
    pub fn with_key<R>(&self, request: &RequestView<'_>, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let borrowed = match self {
            Self::Header(name) => request.headers.all_named(name).next(),
            Self::Cookie(name) => request.cookie(name),
            Self::Query(name) => request.query_value(name),
            // A cookie of the same name that another server set for a longer path comes first.
            Self::OwnCookie => request.cookies(OWN_COOKIE).find(|key| is_own_key(key)),
            Self::NamedOwnCookie(name) => request.cookies(name).find(|key| is_own_key(key)),
            Self::Jwt(name) => return with_claim(request, name, then),
            Self::Ip => return Some(with_address(request.client, then)),
        };
        borrowed.filter(|key| !key.is_empty()).map(then)
    }

    /// Whether it is a cookie of our own.
    #[must_use]
    pub fn is_own_cookie(&self) -> bool {
        matches!(self, Self::OwnCookie | Self::NamedOwnCookie(_))
    }
}

/// A random key as our own cookie carries it: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnKey([u8; 32]);

/// The two digits of each byte.
static HEX: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [b"0123456789abcdef"[byte >> 4], b"0123456789abcdef"[byte & 0xf]];
        byte += 1;
    }
    pairs
};

impl OwnKey {
    /// The key of a random number.
    #[must_use]
    pub fn from_random(random: u128) -> Self {
        let mut digits = [0; 32];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(random.to_be_bytes()) {
            *pair = HEX[usize::from(byte)];
        }
        Self(digits)
    }

    /// The digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether a cookie's value is one that we could have set; anything else is replaced, so that a client cannot make us
/// hash megabytes or share one short key with others by accident.
fn is_own_key(value: &[u8]) -> bool {
    value.len() == 32 && value.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The text of an address; an IPv4 address inside IPv6 counts as IPv4, so that a client is one user on both stacks.
fn with_address<R>(address: IpAddr, then: impl FnOnce(&[u8]) -> R) -> R {
    let mut text = StackText { bytes: [0; 64], len: 0 };
    write!(text, "{}", address.to_canonical()).expect("an address has at most 45 characters");
    then(&text.bytes[..text.len])
}

struct StackText {
    bytes: [u8; 64],
    len: usize,
}

impl std::fmt::Write for StackText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// The bearer token of a request (RFC 6750, 2.1).
#[must_use]
pub(crate) fn bearer_token(headers: &Headers) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii_start())
}

/// Finds the claim called `name` of the bearer token, as far as that is to be believed.
fn with_claim<R>(request: &RequestView<'_>, name: &str, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
    if let Some(payload) = request.claims.payload() {
        return JwtClaim::find(payload, name).map(|claim| then(claim.as_bytes()));
    }
    let payload = bearer_token(request.headers)?.split(|b| *b == b'.').nth(1)?;
    let mut buffer = [0; JWT_PAYLOAD_BYTES_MAX];
    let len = URL_SAFE_NO_PAD.decode_slice(payload, &mut buffer).ok()?;
    JwtClaim::find(&buffer[..len], name).map(|claim| then(claim.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Method};

    use super::*;
    use crate::shared::token_payload::TokenPayload;
    use crate::table::BearerClaims;
    use crate::table::jwt_claim::CLAIM_BYTES_MAX;

    fn key_of(source: &KeySource, header: (&'static str, &str)) -> Option<String> {
        let value = HeaderValue::from_str(header.1).expect("a value");
        let headers = Headers::from_iter([(HeaderName::from_static(header.0), value)]);
        let request = RequestView {
            method: &Method::GET,
            host: "h",
            path: b"/",
            query: Some(b"uid=q-1&empty="),
            headers: &headers,
            client: "::ffff:10.0.0.9".parse().expect("an address"),
            claims: BearerClaims::AS_THEY_STAND,
        };
        source.with_key(&request, |key| String::from_utf8_lossy(key).into_owned())
    }

    fn bearer(payload: &str) -> String {
        format!("Bearer e30.{}.sig", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn each_source_yields_its_key() {
        let none = ("x-none", "1");
        let header = KeySource::Header(http::HeaderName::from_static("x-user-id"));
        assert_eq!(key_of(&header, ("x-user-id", "u-1")).as_deref(), Some("u-1"));
        assert_eq!(key_of(&header, ("x-user-id", "")), None);
        assert_eq!(key_of(&KeySource::Cookie("uid".into()), ("cookie", "a=b; uid=7")).as_deref(), Some("7"));
        assert_eq!(key_of(&KeySource::Query("uid".into()), none).as_deref(), Some("q-1"));
        assert_eq!(key_of(&KeySource::Query("empty".into()), none), None);
        assert_eq!(key_of(&KeySource::Ip, none).as_deref(), Some("10.0.0.9"));
    }

    #[test]
    fn our_cookie_counts_only_in_the_shape_that_we_set() {
        let key = OwnKey::from_random(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        let text = std::str::from_utf8(key.as_bytes()).expect("digits");
        assert_eq!(text, "0123456789abcdef0011223344556677");
        let cookie = |value: &str| key_of(&KeySource::OwnCookie, ("cookie", &format!("{OWN_COOKIE}={value}")));
        assert_eq!(cookie(text).as_deref(), Some(text));
        assert_eq!(cookie("short"), None);
        assert_eq!(cookie(&text.to_uppercase()), None);
        for both in
            [format!("{OWN_COOKIE}=bad; {OWN_COOKIE}={text}"), format!("a=b; {OWN_COOKIE}; {OWN_COOKIE}={text}")]
        {
            assert_eq!(key_of(&KeySource::OwnCookie, ("cookie", &both)).as_deref(), Some(text), "{both}");
        }
    }

    #[test]
    fn claims_are_strings_or_whole_numbers() {
        let claim_of = |payload: &str| key_of(&KeySource::Jwt("sub".into()), ("authorization", &bearer(payload)));
        assert_eq!(claim_of(r#"{"iss":"x","sub":"user-1","more":[1,{"sub":"no"}]}"#).as_deref(), Some("user-1"));
        assert_eq!(claim_of(r#"{"sub":42}"#).as_deref(), Some("42"));
        assert_eq!(claim_of(r#"{"sub":"caf\u00e9"}"#).as_deref(), Some("café"));
        for none in ["", "{", "[]", r#"{"sub":""}"#, r#"{"sub":null}"#, r#"{"sub":1.5}"#, r#"{"nosub":"x"}"#] {
            assert_eq!(claim_of(none), None, "{none}");
        }
        let long = format!(r#"{{"sub":"{}"}}"#, "x".repeat(CLAIM_BYTES_MAX + 1));
        assert_eq!(claim_of(&long), None);
    }

    #[test]
    fn what_was_verified_counts_instead_of_what_stands_in_the_request() {
        let headers = Headers::from_iter([(
            http::header::AUTHORIZATION,
            bearer(r#"{"sub":"forged"}"#).parse().expect("a value"),
        )]);
        let good = TokenPayload::new(br#"{"sub":"good"}"#.to_vec());
        let sub = |claims| {
            let (method, client) = (&Method::GET, [192, 0, 2, 1].into());
            let request = RequestView { method, host: "h", path: b"/", query: None, headers: &headers, client, claims };
            KeySource::Jwt("sub".into()).with_key(&request, <[u8]>::to_vec)
        };
        assert_eq!(sub(BearerClaims::AS_THEY_STAND).as_deref(), Some(&b"forged"[..]));
        assert_eq!(sub(BearerClaims::verified(&good)).as_deref(), Some(&b"good"[..]));
        assert_eq!(sub(BearerClaims::NONE), None);
    }

    proptest::proptest! {
        #[test]
        fn no_header_can_panic(value in "[ -~]{0,200}") {
            key_of(&KeySource::Jwt("sub".into()), ("authorization", &value));
            key_of(&KeySource::Jwt("sub".into()), ("authorization", &format!("Bearer {value}")));
            key_of(&KeySource::Cookie("uid".into()), ("cookie", &value));
        }
    }
}

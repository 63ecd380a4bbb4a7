//! The target of a request, byte for byte as the client wrote it.
//!
//! Clients send more than RFC 3986 lets them: quotation marks and braces of JSON in a query, `<`, `|`, text in UTF-8 or
//! in an older coding. Origins read all of it, so all of it is passed on: every visible byte of ASCII but `#`, which
//! begins what is never sent, and every byte above ASCII. None of them ends a path, a query or a line, for us or for an
//! origin. [`http::Uri`] holds some of these bytes in paths and others in queries, and nothing that is not UTF-8; it is
//! kept where it comes from the codec of HTTP/2, and made only for that one.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

/// What a request asks for.
#[derive(Clone, Debug)]
pub struct RequestTarget(Form);

#[derive(Clone, Debug)]
enum Form {
    Text(Text),
    /// As the codec of HTTP/2 has put it together.
    Uri(Uri),
}

/// A target as it stands in a request line.
#[derive(Clone, Debug)]
struct Text {
    text: Bytes,
    /// Where the scheme ends; none, if 0.
    scheme: usize,
    /// Where the authority begins; it ends where the path begins.
    authority: usize,
    /// Where the path begins.
    path: usize,
    /// Where it ends: at the `?`, or the end of the text.
    path_end: usize,
}

impl RequestTarget {
    /// Reads a target of HTTP/1.1 (RFC 9112, 3.2), of bytes that may stand in a request line. `None` if it has none of
    /// its forms.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let TargetParts { scheme, authority, path } =
            if text.first() == Some(&b'/') { TargetParts::default() } else { other_forms(text)? };
        let path_end = text.iter().skip(path).position(|byte| *byte == b'?').map_or(text.len(), |at| path + at);
        Some(Self(Form::Text(Text { text: Bytes::copy_from_slice(text), scheme, authority, path, path_end })))
    }

    /// A target in origin form.
    #[must_use]
    pub fn of_path_and_query(text: Vec<u8>) -> Self {
        let path_end = text.iter().position(|byte| *byte == b'?').unwrap_or(text.len());
        Self(Form::Text(Text { text: Bytes::from(text), scheme: 0, authority: 0, path: 0, path_end }))
    }

    /// The scheme, if it has one.
    #[must_use]
    pub fn scheme(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Text(Text { text, scheme, .. }) => (*scheme > 0).then(|| &text[..*scheme]),
            Form::Uri(uri) => uri.scheme_str().map(str::as_bytes),
        }
    }

    /// The authority, if it has one.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Text(Text { text, authority, path, .. }) => (authority < path).then(|| &text[*authority..*path]),
            Form::Uri(uri) => uri.authority().map(|authority| authority.as_str().as_bytes()),
        }
    }

    /// The path: `*`, or what begins with a slash. Empty if there is an authority alone.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match &self.0 {
            Form::Text(Text { scheme: 1.., path, path_end, .. }) if path == path_end => b"/",
            Form::Text(Text { text, path, path_end, .. }) => &text[*path..*path_end],
            Form::Uri(uri) => uri.path().as_bytes(),
        }
    }

    /// What follows the first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Text(Text { text, path_end, .. }) => text.get(path_end + 1..),
            Form::Uri(uri) => uri.query().map(str::as_bytes),
        }
    }

    /// Path and query, as they stand there: the path of `http://host?query` has no bytes (RFC 9112, 3.2.1).
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        match &self.0 {
            Form::Text(Text { text, path, .. }) if *path < text.len() => &text[*path..],
            Form::Text(_) => b"/",
            Form::Uri(uri) => uri.path_and_query().map_or(b"/", |target| target.as_str().as_bytes()),
        }
    }

    /// The same for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(self.path_and_query()).into_owned()
    }

    /// Whether path and query are by the letter of RFC 3986, 3.3 and 3.4.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        let text = self.path_and_query();
        text.iter().enumerate().all(|(at, byte)| match byte {
            b'%' => text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(byte),
        })
    }

    /// The same as HTTP/2's codec takes it. What that does not hold is percent-encoded.
    #[must_use]
    pub fn to_http2(&self) -> PathAndQuery {
        let text = match &self.0 {
            Form::Text(_) => self.path_and_query(),
            Form::Uri(uri) => return uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")),
        };
        let rooted = if text.starts_with(b"?") { [b"/", text].concat() } else { text.to_vec() };
        let shared = Bytes::from(rooted);
        PathAndQuery::from_maybe_shared(shared.clone())
            .or_else(|_refused| PathAndQuery::from_maybe_shared(encoded(&shared)))
            .unwrap_or(PathAndQuery::from_static("/"))
    }
}

impl From<Uri> for RequestTarget {
    fn from(uri: Uri) -> Self {
        Self(Form::Uri(uri))
    }
}

/// Where the scheme ends, and authority and path begin.
#[derive(Default)]
struct TargetParts {
    scheme: usize,
    authority: usize,
    path: usize,
}

/// Where scheme, authority and path of a target stand that has no path alone: `*`, an absolute URI, or an authority.
fn other_forms(text: &[u8]) -> Option<TargetParts> {
    if text == b"*" {
        return Some(TargetParts::default());
    }
    let scheme = text.windows(3).position(|three| three == b"://").filter(|end| is_scheme(&text[..*end]));
    let authority = scheme.map_or(0, |end| end + 3);
    let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let path = text[authority..].iter().position(ends).map_or(text.len(), |at| authority + at);
    let whole = authority < path && (scheme.is_some() || path == text.len());
    whole.then_some(TargetParts { scheme: scheme.unwrap_or(0), authority, path })
}

/// RFC 3986, 3.1.
fn is_scheme(text: &[u8]) -> bool {
    let rest = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(rest)
}

/// With everything encoded that RFC 3986 does not let stand as it is.
fn encoded(text: &[u8]) -> Bytes {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_its_parts() {
        for (text, scheme, authority, path, query, forwarded) in [
            ("/a?b", None, None, "/a", Some("b"), "/a?b"),
            ("/", None, None, "/", None, "/"),
            ("/?", None, None, "/", Some(""), "/?"),
            ("//a/../b?c?d", None, None, "//a/../b", Some("c?d"), "//a/../b?c?d"),
            ("/x?y=http://b/", None, None, "/x", Some("y=http://b/"), "/x?y=http://b/"),
            ("*", None, None, "*", None, "*"),
            ("HTTP://a.example:8080/x?y=1", Some("HTTP"), Some("a.example:8080"), "/x", Some("y=1"), "/x?y=1"),
            ("http://a.example", Some("http"), Some("a.example"), "/", None, "/"),
            ("http://a.example?y", Some("http"), Some("a.example"), "/", Some("y"), "?y"),
            ("a.example:443", None, Some("a.example:443"), "", None, "/"),
        ] {
            let target = RequestTarget::parse(text.as_bytes()).expect(text);
            let shown = |part: Option<&[u8]>| part.map(|part| String::from_utf8_lossy(part).into_owned());
            assert_eq!(shown(target.scheme()).as_deref(), scheme, "{text}");
            assert_eq!(shown(target.authority()).as_deref(), authority, "{text}");
            assert_eq!(shown(Some(target.path())).as_deref(), Some(path), "{text}");
            assert_eq!(shown(target.query()).as_deref(), query, "{text}");
            assert_eq!(target.path_and_query(), forwarded.as_bytes(), "{text}");
        }
        for none in ["", "?q", "http:///x", "http:/x", "a/b", "://a/", "1x://a/"] {
            assert!(RequestTarget::parse(none.as_bytes()).is_none(), "{none:?}");
        }
    }

    #[test]
    fn every_byte_stays_as_it_is() {
        let odd: Vec<u8> = (b'!'..=0xff).filter(|byte| !matches!(byte, b'#' | b'?' | 0x7f)).collect();
        let text = [b"/", &odd[..], b"?", &odd[..]].concat();
        let target = RequestTarget::parse(&text).expect("a path");
        assert_eq!((target.path(), target.query()), (&[b"/", &odd[..]].concat()[..], Some(&odd[..])));
        assert_eq!(target.path_and_query(), text);
        assert!(!target.is_strict());
    }

    #[test]
    fn strict_is_what_the_standard_lets_stand() {
        for (text, strict) in [
            ("/a-._~!$&'()*+,;=:@/b?c/d?e=%2f", true),
            ("/%zz", false),
            ("/%2", false),
            ("/?q={\"a\":1}", false),
            ("/a|b", false),
            ("/a\\b", false),
            ("/[1]", false),
            ("/caf\u{e9}", false),
        ] {
            assert_eq!(RequestTarget::parse(text.as_bytes()).expect(text).is_strict(), strict, "{text}");
        }
    }

    #[test]
    fn http2_gets_what_its_codec_can_hold() {
        for (text, wanted) in [
            (&b"/a\"b?c={d}"[..], "/a\"b?c={d}"),
            (b"/?q={\"a\":1}", "/?q=%7B%22a%22:1%7D"),
            (b"/<a>?%3C", "/%3Ca%3E?%3C"),
            (b"/\xe9", "/%E9"),
            (b"http://a?b", "/?b"),
        ] {
            assert_eq!(RequestTarget::parse(text).expect("a target").to_http2(), wanted);
        }
        let given = Uri::from_static("http://a/x?y");
        assert_eq!(RequestTarget::from(given).to_http2(), "/x?y");
    }
}

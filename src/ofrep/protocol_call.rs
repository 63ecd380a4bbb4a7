//! What a request asks for.

use std::borrow::Cow;

use http::Method;

/// What the paths of all calls begin with.
const BASE: &[u8] = b"/ofrep/v1/";

/// The path of the bulk evaluation; a slash and a key after it is that of a single one.
const FLAGS: &[u8] = b"/ofrep/v1/evaluate/flags";

/// The path of the change events.
pub(crate) const EVENTS: &str = "/ofrep/v1/events";

/// A call of the protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ProtocolCall {
    /// The flag of this key.
    Single(String),
    /// All flags.
    Bulk,
    /// Word of each change.
    Events,
    /// What may be asked for there, or whether a page may: the methods.
    Options(&'static str),
    /// The method is none that the path has, which are these.
    WrongMethod(&'static str),
    /// Nothing of the protocol.
    Unknown,
}

impl ProtocolCall {
    /// Whether a path belongs to the protocol.
    #[must_use]
    pub(crate) fn has_path(path: &[u8]) -> bool {
        path.starts_with(BASE)
    }

    /// What a request with this method and path asks for.
    #[must_use]
    pub(crate) fn of(method: &Method, path: &[u8]) -> Self {
        let (call, methods) = match path.strip_prefix(FLAGS) {
            Some([]) => (Self::Bulk, "POST, OPTIONS"),
            Some([b'/', key @ ..]) if !key.is_empty() => (Self::Single(decoded(key).into_owned()), "POST, OPTIONS"),
            Some(_) => return Self::Unknown,
            None if path == EVENTS.as_bytes() => (Self::Events, "GET, OPTIONS"),
            None => return Self::Unknown,
        };
        let wanted = if call == Self::Events { Method::GET } else { Method::POST };
        match *method {
            ref found if *found == wanted => call,
            Method::OPTIONS => Self::Options(methods),
            _ => Self::WrongMethod(methods),
        }
    }
}

/// The text of a percent-encoded one. One client encodes keys, another one does not: what is no encoding stands for
/// itself.
fn decoded(text: &[u8]) -> Cow<'_, str> {
    if !text.contains(&b'%') {
        return String::from_utf8_lossy(text);
    }
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.get(at) {
        let coded = (*byte == b'%').then(|| digit(text.get(at + 1)).zip(digit(text.get(at + 2)))).flatten();
        let coded = coded.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(coded.unwrap_or(*byte));
        at += if coded.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_are_those_of_the_protocol() {
        let single = |key: &str| ProtocolCall::Single(key.to_owned());
        for (method, path, call) in [
            ("POST", "/ofrep/v1/evaluate/flags", ProtocolCall::Bulk),
            ("POST", "/ofrep/v1/evaluate/flags/new-checkout", single("new-checkout")),
            ("POST", "/ofrep/v1/evaluate/flags/a%20b%2Fc", single("a b/c")),
            ("POST", "/ofrep/v1/evaluate/flags/a/b", single("a/b")),
            ("POST", "/ofrep/v1/evaluate/flags/100%", single("100%")),
            ("POST", "/ofrep/v1/evaluate/flags/%zz%e4", single("%zz\u{fffd}")),
            ("GET", "/ofrep/v1/events", ProtocolCall::Events),
            ("GET", "/ofrep/v1/evaluate/flags", ProtocolCall::WrongMethod("POST, OPTIONS")),
            ("POST", "/ofrep/v1/events", ProtocolCall::WrongMethod("GET, OPTIONS")),
            ("OPTIONS", "/ofrep/v1/events", ProtocolCall::Options("GET, OPTIONS")),
            ("OPTIONS", "/ofrep/v1/evaluate/flags/x", ProtocolCall::Options("POST, OPTIONS")),
            ("POST", "/ofrep/v1/evaluate/flags/", ProtocolCall::Unknown),
            ("POST", "/ofrep/v1/evaluate/flagship", ProtocolCall::Unknown),
            ("GET", "/ofrep/v1/configuration", ProtocolCall::Unknown),
            ("GET", "/", ProtocolCall::Unknown),
        ] {
            assert_eq!(ProtocolCall::of(&method.parse().expect("a method"), path.as_bytes()), call, "{method} {path}");
        }
        assert!(ProtocolCall::has_path(b"/ofrep/v1/x") && !ProtocolCall::has_path(b"/ofrep/v10"));
    }
}

//! Resolving a path for services with `normalize_path`: what RFC 3986 calls remove-dot-segments (5.2.4), decoding of
//! percent-encoded unreserved characters (6.2.2.2), and one slash for several. Nothing else is decoded: `%2F` is data.

use std::borrow::Cow;

use super::compile::Table;

/// A path that climbs above the root or has a broken percent-encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path climbs above the root, or its encoding is broken")]
pub struct BadPath;

impl Table {
    /// The path of a request as it is routed and forwarded: normalised if the service at `path` wants that. What it
    /// then is may belong to another service.
    ///
    /// # Errors
    /// [`BadPath`] when it cannot be normalised.
    pub fn forwarded_path<'p>(&self, host: &str, path: &'p str) -> Result<Cow<'p, str>, BadPath> {
        self.place(host, path).map(|(path, _service)| path)
    }

    /// The same path, and the index of the service that answers there: both from one look-up, unless the path changes.
    ///
    /// # Errors
    /// [`BadPath`] when it cannot be normalised.
    pub fn place<'p>(&self, host: &str, path: &'p str) -> Result<(Cow<'p, str>, Option<u32>), BadPath> {
        let found = self.find(host, path);
        if !found.is_some_and(|index| self.hot(index).normalize_path) {
            return Ok((Cow::Borrowed(path), found));
        }
        match normalize(path).ok_or(BadPath)? {
            Cow::Borrowed(path) => Ok((Cow::Borrowed(path), found)),
            Cow::Owned(path) => {
                let found = self.find(host, &path);
                Ok((Cow::Owned(path), found))
            }
        }
    }
}

/// The path with its dot segments, double slashes and needless encodings resolved; `None` if it climbs above the root
/// or has a broken percent-encoding, both of which only attackers send.
#[must_use]
pub fn normalize(path: &str) -> Option<Cow<'_, str>> {
    let plain = !path.contains("//") && !path.contains("/.") && !path.contains('%');
    if plain {
        return Some(Cow::Borrowed(path));
    }
    let decoded = decode_unreserved(path)?;
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_open = false;
    for segment in decoded.split('/').skip(1) {
        ends_open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop()?;
            }
            segment => kept.push(segment),
        }
    }
    let mut resolved = String::with_capacity(decoded.len());
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if ends_open || kept.is_empty() {
        resolved.push('/');
    }
    Some(Cow::Owned(resolved))
}

/// Decodes `%41` to `A` and `%2e` to `.`; other encodings stay, in upper case.
fn decode_unreserved(path: &str) -> Option<String> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            decoded.push(char::from(byte));
        } else {
            decoded.push('%');
            decoded.push_str(&digits.to_ascii_uppercase());
        }
        rest = &rest[at + 3..];
    }
    decoded.push_str(rest);
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_once_and_for_all() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("//a", "/a"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a/%2e%2E/b", "/b"),
            ("/%41%2f%2F", "/A%2F%2F"),
            ("/a/...", "/a/..."),
            ("/a/.well-known", "/a/.well-known"),
        ] {
            assert_eq!(normalize(path).as_deref(), Some(expected), "{path}");
        }
        for bad in ["/..", "/a/../..", "/%", "/%4", "/%zz", "/%2e%2e/"] {
            assert_eq!(normalize(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn twice_is_once(path in "/[a-c./%2eEfF]{0,30}") {
            if let Some(once) = normalize(&path) {
                let twice = normalize(&once);
                proptest::prop_assert_eq!(twice.as_deref(), Some(&*once));
                proptest::prop_assert!(!once.contains("//") && !once.split('/').any(|s| s == ".." || s == "."));
            }
        }
    }
}

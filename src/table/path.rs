//! Resolving a path for services with `normalize_path`: what RFC 3986 calls remove-dot-segments (5.2.4), decoding of
//! percent-encoded unreserved characters (6.2.2.2), and one slash for several. Nothing else is decoded: `%2F` is data.

use std::borrow::Cow;

use super::table::Table;

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
    pub fn forwarded_path<'p>(&self, host: &str, path: &'p [u8]) -> Result<Cow<'p, [u8]>, BadPath> {
        self.place(host, path).map(|(path, _service)| path)
    }

    /// The same path, and the index of the service that serves there: both from one look-up, unless the path changes.
    ///
    /// # Errors
    /// [`BadPath`] when it cannot be normalised.
    pub fn place<'p>(&self, host: &str, path: &'p [u8]) -> Result<(Cow<'p, [u8]>, Option<u32>), BadPath> {
        let found = self.find(host, path);
        if !found.is_some_and(|index| self.entry(index).normalize_path) {
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

/// The path with its dot segments, double slashes and needless encodings resolved, and slashes for backslashes, which
/// some origins take for them (as the URL standard of browsers does); `None` if it climbs above the root or has a
/// broken percent-encoding, both of which only attackers send.
#[must_use]
pub(crate) fn normalize(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    let odd = |byte: &u8| matches!(byte, b'%' | b'\\');
    let plain = !path.iter().any(odd) && path.windows(2).all(|pair| pair != b"//" && pair != b"/.");
    if plain {
        return Some(Cow::Borrowed(path));
    }
    let decoded = decode_unreserved(path)?;
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_open = false;
    for segment in decoded.split(|byte| *byte == b'/').skip(1) {
        ends_open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop()?;
            }
            segment => kept.push(segment),
        }
    }
    let mut resolved = Vec::with_capacity(decoded.len());
    for segment in &kept {
        resolved.push(b'/');
        resolved.extend_from_slice(segment);
    }
    if ends_open || kept.is_empty() {
        resolved.push(b'/');
    }
    Some(Cow::Owned(resolved))
}

/// Decodes `%41` to `A` and `%2e` to `.`; other encodings stay, in upper case. Backslashes become slashes.
fn decode_unreserved(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'%' | b'\\')) {
        decoded.extend_from_slice(&rest[..at]);
        if rest[at] == b'\\' {
            decoded.push(b'/');
            rest = &rest[at + 1..];
            continue;
        }
        let digits = rest.get(at + 1..at + 3)?;
        let [high, low] = [digits[0], digits[1]].map(|digit| char::from(digit).to_digit(16));
        #[expect(clippy::cast_possible_truncation, reason = "two hexadecimal digits are a byte")]
        let byte = (high? * 16 + low?) as u8;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            decoded.push(byte);
        } else {
            decoded.push(b'%');
            decoded.extend(digits.iter().map(u8::to_ascii_uppercase));
        }
        rest = &rest[at + 3..];
    }
    decoded.extend_from_slice(rest);
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
            ("/a\"<b>/../c|d", "/c|d"),
            ("/a\\..\\c", "/c"),
            ("/a/..\\\\c\\", "/c/"),
            ("/a/%2e.\\c%5c", "/c%5C"),
        ] {
            assert_eq!(normalize(path.as_bytes()).as_deref(), Some(expected.as_bytes()), "{path}");
        }
        for bad in ["/..", "/a/../..", "/%", "/%4", "/%zz", "/%2e%2e/", "/\\..", "/..\\"] {
            assert_eq!(normalize(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn twice_is_once(path in "/[a-c./%2eEfF\\\\]{0,30}") {
            if let Some(once) = normalize(path.as_bytes()) {
                let twice = normalize(&once);
                proptest::prop_assert_eq!(twice.as_deref(), Some(&*once));
                proptest::prop_assert!(!once.windows(2).any(|pair| pair == b"//")
                    && !once.split(|byte| *byte == b'/').any(|s| s == b".." || s == b"."));
            }
        }
    }
}

//! The names of routes: the first segments of a path.

/// A longer beginning of a path is no route.
pub(crate) const ROUTE_BYTES_MAX: usize = 48;

/// Segments that are looked at: enough for `/api/v1/carts/items`.
pub(crate) const ROUTE_SEGMENTS_MAX: usize = 4;

/// Whole segments at the beginning of a path, `/checkout` or `/api/v1`. In place and not on the heap: findings are
/// copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RouteName {
    bytes: [u8; ROUTE_BYTES_MAX],
    length: u8,
}

impl RouteName {
    /// `None` if it is too long.
    #[must_use]
    pub(crate) fn new(prefix: &[u8]) -> Option<Self> {
        let mut bytes = [0; ROUTE_BYTES_MAX];
        bytes.get_mut(..prefix.len())?.copy_from_slice(prefix);
        Some(Self { bytes, length: u8::try_from(prefix.len()).ok()? })
    }

    /// It as it is in paths.
    #[must_use]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// It for people: what is not printable ASCII is escaped.
    #[must_use]
    pub fn text(&self) -> String {
        self.as_bytes().escape_ascii().to_string()
    }
}

impl std::fmt::Debug for RouteName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

/// The beginnings of a path that end with a segment, the shortest first.
pub(crate) fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut ends = 0;
    std::iter::from_fn(move || {
        // The slash of the next segment is part of it.
        let rest = path.get(ends..)?.strip_prefix(b"/")?;
        // A slash at the end begins no segment, unless it is all there is.
        if rest.is_empty() && ends > 0 {
            return None;
        }
        let segment = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        ends += 1 + segment;
        path.get(..ends)
    })
    .take(ROUTE_SEGMENTS_MAX)
    .take_while(|prefix| prefix.len() <= ROUTE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_beginnings_that_end_with_a_segment() {
        let of = |path: &str| -> Vec<String> {
            prefixes(path.as_bytes()).map(|prefix| String::from_utf8_lossy(prefix).into_owned()).collect()
        };
        assert_eq!(of("/checkout"), ["/checkout"]);
        assert_eq!(of("/checkout/"), ["/checkout"]);
        assert_eq!(of("/a/b/c/d/e"), ["/a", "/a/b", "/a/b/c", "/a/b/c/d"]);
        assert_eq!(of("/"), ["/"]);
        assert_eq!(of("//x"), ["/", "//x"]);
        assert_eq!(of("*"), [""; 0]);
        assert_eq!(of(&format!("/a/{}", "x".repeat(60))), ["/a"]);
    }

    #[test]
    fn a_name_is_its_text() {
        let name = RouteName::new(b"/caf\xc3\xa9").unwrap();
        assert_eq!((name.as_bytes(), name.text()), (&b"/caf\xc3\xa9"[..], "/caf\\xc3\\xa9".to_owned()));
        assert!(RouteName::new(&[b'/'; ROUTE_BYTES_MAX + 1]).is_none());
    }
}

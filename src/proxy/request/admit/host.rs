//! The host of a request. `http::uri::Authority` lets through what no origin should route by (`user@host`, `a,b`,
//! `a:99999`), so the grammar of RFC 9110, 7.2 (`uri-host [ ":" port ]`) is checked here, in its strict reading.

/// A host and its port as they stand in a `Host` header or an authority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host<'a> {
    /// Name or address, in any case, an IPv6 address in its brackets.
    pub name: &'a str,
    /// The port, if one was given.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `host`, `host:port`, `1.2.3.4` or `[::1]:port`; `None` if it is anything else, or empty.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let name_bytes = match text.strip_prefix('[') {
            Some(inside) => {
                let end = inside.find(']')?;
                inside[..end].parse::<std::net::Ipv6Addr>().ok()?;
                end + 2
            }
            None => text.bytes().position(|byte| !is_name_byte(byte)).unwrap_or(text.len()),
        };
        // The bytes before are ASCII, so this is the boundary of a character.
        let (name, rest) = text.split_at_checked(name_bytes)?;
        let port = match rest.strip_prefix(':') {
            // RFC 3986, 3.2.3 lets a port be empty.
            Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None if rest.is_empty() => None,
            None => return None,
        };
        (!name.is_empty()).then_some(Self { name, port })
    }

    /// Whether both mean the same place: names in any case, no port is port 80, or 443 with `https`.
    #[must_use]
    pub fn same_as(&self, other: &Host<'_>, https: bool) -> bool {
        let port = |host: &Host<'_>| host.port.unwrap_or(if https { 443 } else { 80 });
        self.name.eq_ignore_ascii_case(other.name) && port(self) == port(other)
    }
}

/// Unreserved characters of RFC 3986 only: percent-encoding and sub-delims are allowed there, not used in practice, and
/// read differently by every server behind us.
fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)]
}

/// A table, because a host is looked at byte by byte in every request.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_are_hosts() {
        for (text, name, port) in [
            ("a.example", "a.example", None),
            ("A.example:8080", "A.example", Some(8080)),
            ("a:", "a", None),
            ("127.0.0.1:65535", "127.0.0.1", Some(65_535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(443)),
        ] {
            assert_eq!(Host::parse(text), Some(Host { name, port }), "{text}");
        }
        for bad in [
            "", ":80", "a,b", "user@a", "a:99999", "a:b", "a:8 0", "a/b", "a b", "[::1", "[::1]x", "[nope]", "::1",
            "a:+80", "ä", "a?b", "a#b", "a%2e", "a:80:80",
        ] {
            assert_eq!(Host::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_default_port_is_no_difference() {
        let same = |a, b| Host::parse(a).expect("a host").same_as(&Host::parse(b).expect("a host"), false);
        let same_https = |a, b| Host::parse(a).expect("a host").same_as(&Host::parse(b).expect("a host"), true);
        assert!(same("A.example", "a.EXAMPLE:80"));
        assert!(same_https("a.example", "a.example:443") && !same_https("a.example", "a.example:80"));
        assert!(!same("a.example", "a.example:81"));
        assert!(!same("a.example", "b.example"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_never_lets_a_delimiter_through(text in "[ -~]{0,40}") {
            if let Some(host) = Host::parse(&text) {
                proptest::prop_assert!(!host.name.contains(['@', ',', '/', '?', '#', ' ', '%']));
            }
        }
    }
}

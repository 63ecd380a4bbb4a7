//! The address of the client, when the peer is a proxy that we trust.
//!
//! A forwarding header is a list that grows at its right end, and whatever is left of the last address that a trusted
//! proxy added may be invented. So the walk goes from the right, past trusted addresses, and stops at the first that is
//! not trusted: that is the client. An element that is not an address stops the walk at the last good one.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::message::known_headers::{FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::message::{Headers, KnownHeader};

/// Whether a trusted peer says that the user came by https.
#[must_use]
pub(crate) fn came_by_https(headers: &Headers) -> bool {
    let mut lines = headers.get_all(X_FORWARDED_PROTO);
    let said = lines.next().is_some_and(|said| said.eq_ignore_ascii_case(b"https"));
    said && lines.next().is_none()
}

/// The client behind the trusted `peer`: by `X-Forwarded-For`, or by `Forwarded` (RFC 7239) if that is all there is.
#[must_use]
pub fn behind(peer: IpAddr, headers: &Headers, trusted: &[IpNet]) -> IpAddr {
    if headers.contains(X_FORWARDED_FOR) {
        walk(peer, elements(headers, X_FORWARDED_FOR, last_comma).map(parse_address), trusted)
    } else {
        walk(peer, elements(headers, FORWARDED, last_unquoted_comma).map(parse_forwarded), trusted)
    }
}

fn walk(peer: IpAddr, from_the_right: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer;
    for address in from_the_right {
        let Some(address) = address else { break };
        client = address.to_canonical();
        if !trusted.iter().any(|block| block.contains(&client)) {
            break;
        }
    }
    client
}

/// The elements of a list header from the right; several lines are one list.
///
/// Bytes, not text, and read from the right all the way: what a client wrote to the left, of whatever bytes and however
/// it is quoted, must not change how the words of the trusted proxies to the right of it are read.
fn elements(
    headers: &Headers,
    name: KnownHeader,
    last_comma: fn(&[u8]) -> Option<usize>,
) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).rev().flat_map(move |line| {
        let mut rest = Some(line);
        std::iter::from_fn(move || {
            let line = rest?;
            let comma = last_comma(line);
            rest = comma.map(|comma| &line[..comma]);
            Some(line[comma.map_or(0, |comma| comma + 1)..].trim_ascii())
        })
    })
}

fn last_comma(line: &[u8]) -> Option<usize> {
    line.iter().rposition(|b| *b == b',')
}

/// As [`last_comma`], but a comma inside a quoted string is text: proxies put there what clients say.
fn last_unquoted_comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    (0..line.len()).rev().find(|at| {
        quoted ^= line[*at] == b'"' && !is_escaped(line, *at);
        line[*at] == b',' && !quoted
    })
}

/// Whether an odd number of backslashes stands before a byte.
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// An address, perhaps with a port, an IPv6 address perhaps in brackets, all of it perhaps in quotes.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = match text.strip_prefix(b"\"") {
        Some(open) => open.strip_suffix(b"\"")?,
        None => text,
    };
    // A zone means something only on the machine that wrote it.
    let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('%'))?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(with_port) = text.parse::<std::net::SocketAddr>() {
        return Some(with_port.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// The address of `for=192.0.2.60;proto=http`; `None` unless there is exactly one.
fn parse_forwarded(element: &[u8]) -> Option<IpAddr> {
    let mut rest = element;
    let mut address = None;
    while !rest.is_empty() {
        let (pair, after) = first_pair(rest);
        rest = after;
        let equals = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if name.trim_ascii().eq_ignore_ascii_case(b"for") && address.replace(value).is_some() {
            return None;
        }
    }
    parse_address(address?.trim_ascii())
}

/// What stands before the first semicolon that is not quoted, and after it.
fn first_pair(element: &[u8]) -> (&[u8], &[u8]) {
    let mut quoted = false;
    let end = (0..element.len()).find(|at| {
        quoted ^= element[*at] == b'"' && !is_escaped(element, *at);
        element[*at] == b';' && !quoted
    });
    end.map_or((element, &[]), |at| (&element[..at], &element[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(lines: &[(KnownHeader, &str)]) -> String {
        let mut headers = Headers::default();
        for (name, value) in lines {
            headers.append(*name, value);
        }
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|block| block.parse().expect("a block")).into();
        behind([10, 0, 0, 1].into(), &headers, &trusted).to_string()
    }

    #[test]
    fn the_walk_goes_from_the_right_past_trusted_addresses() {
        for (lines, expected) in [
            (&[(X_FORWARDED_FOR, "192.0.2.7")][..], "192.0.2.7"),
            (&[(X_FORWARDED_FOR, "6.6.6.6, 192.0.2.7, 10.9.9.9")], "192.0.2.7"),
            (
                &[(X_FORWARDED_FOR, "6.6.6.6"), (X_FORWARDED_FOR, "192.0.2.7"), (X_FORWARDED_FOR, "10.1.1.1")],
                "192.0.2.7",
            ),
            (&[(X_FORWARDED_FOR, "192.0.2.7, bogus, 10.1.1.1")], "10.1.1.1"),
            (&[(X_FORWARDED_FOR, "10.2.2.2")], "10.2.2.2"),
            (&[(X_FORWARDED_FOR, "192.0.2.7:4711")], "192.0.2.7"),
            (&[(X_FORWARDED_FOR, "[2001:db8::7]:4711, ::1")], "2001:db8::7"),
            (&[(X_FORWARDED_FOR, "::ffff:192.0.2.7")], "192.0.2.7"),
            (&[(X_FORWARDED_FOR, "")], "10.0.0.1"),
            (&[], "10.0.0.1"),
            (&[(FORWARDED, "for=6.6.6.6, for=\"[2001:db8::7]:99\";proto=http, for=10.0.0.2")], "2001:db8::7"),
            (&[(FORWARDED, "for=192.0.2.7, by=10.0.0.2")], "10.0.0.1"),
            (&[(FORWARDED, "for=unknown")], "10.0.0.1"),
            (&[(FORWARDED, "for=192.0.2.7;host=\"a,for=6.6.6.6\"")], "192.0.2.7"),
            (&[(FORWARDED, "for=192.0.2.7;host=\"a\\\",for=6.6.6.6\"")], "192.0.2.7"),
            (&[(FORWARDED, "host=\"a;for=6.6.6.6\";for=192.0.2.7")], "192.0.2.7"),
            (&[(FORWARDED, "for=\", for=192.0.2.7;host=\"a\"")], "192.0.2.7"),
            (&[(FORWARDED, "for=192.0.2.7;for=6.6.6.6")], "10.0.0.1"),
            (&[(X_FORWARDED_FOR, "\"192.0.2.7")], "10.0.0.1"),
            (&[(X_FORWARDED_FOR, "[fe80::1%3]:80")], "10.0.0.1"),
        ] {
            assert_eq!(client(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_spoil_their_own_element_only() {
        let mut headers = Headers::default();
        headers.append(X_FORWARDED_FOR, b"\xff, 192.0.2.7");
        assert_eq!(behind([10, 0, 0, 1].into(), &headers, &[]), IpAddr::from([192, 0, 2, 7]));
    }

    proptest::proptest! {
        #[test]
        fn no_list_can_panic(text in "[ -~]{0,60}") {
            let mut headers = Headers::default();
            headers.append(FORWARDED, &text);
            let _ = behind([10, 0, 0, 1].into(), &headers, &[]);
            headers.append(X_FORWARDED_FOR, &text);
            let _ = behind([10, 0, 0, 1].into(), &headers, &[]);
        }
    }
}

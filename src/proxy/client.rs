//! Who the client is, when the peer is a proxy that we trust.
//!
//! A forwarding header is a list that grows at its right end, and whatever is left of the last address that a trusted
//! proxy added may be invented. So the walk goes from the right, past trusted addresses, and stops at the first that is
//! not trusted: that is the client. An element that is not an address stops the walk at the last good one.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The de-facto list of addresses.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client behind the trusted `peer`: by `X-Forwarded-For`, or by `Forwarded` (RFC 7239) if that is all there is.
#[must_use]
pub fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    if headers.contains_key(X_FORWARDED_FOR) {
        walk(peer, elements(headers, &X_FORWARDED_FOR).map(parse_address), trusted)
    } else {
        walk(peer, elements(headers, &FORWARDED).map(parse_forwarded), trusted)
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
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    // A line that is not text is one invalid element.
    let lines = headers.get_all(name).iter().rev().map(|line| line.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.rsplit(',')).map(str::trim)
}

/// An address, perhaps with a port, an IPv6 address perhaps in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(with_port) = text.parse::<std::net::SocketAddr>() {
        return Some(with_port.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The address of `for=192.0.2.60;proto=http`.
fn parse_forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, address) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    parse_address(address)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(lines: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|block| block.parse().expect("a block")).into();
        behind([10, 0, 0, 1].into(), &headers, &trusted).to_string()
    }

    #[test]
    fn the_walk_goes_from_the_right_past_trusted_addresses() {
        for (lines, expected) in [
            (&[("x-forwarded-for", "192.0.2.7")][..], "192.0.2.7"),
            (&[("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.9.9.9")], "192.0.2.7"),
            (
                &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7"), ("x-forwarded-for", "10.1.1.1")],
                "192.0.2.7",
            ),
            (&[("x-forwarded-for", "192.0.2.7, bogus, 10.1.1.1")], "10.1.1.1"),
            (&[("x-forwarded-for", "10.2.2.2")], "10.2.2.2"),
            (&[("x-forwarded-for", "192.0.2.7:4711")], "192.0.2.7"),
            (&[("x-forwarded-for", "[2001:db8::7]:4711, ::1")], "2001:db8::7"),
            (&[("x-forwarded-for", "::ffff:192.0.2.7")], "192.0.2.7"),
            (&[("x-forwarded-for", "")], "10.0.0.1"),
            (&[], "10.0.0.1"),
            (&[("forwarded", "for=6.6.6.6, for=\"[2001:db8::7]:99\";proto=http, for=10.0.0.2")], "2001:db8::7"),
            (&[("forwarded", "for=192.0.2.7, by=10.0.0.2")], "10.0.0.1"),
            (&[("forwarded", "for=unknown")], "10.0.0.1"),
        ] {
            assert_eq!(client(lines), expected, "{lines:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_list_can_panic(text in "[ -~]{0,60}") {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&text).expect("visible ASCII");
            headers.append(FORWARDED, value.clone());
            let _ = behind([10, 0, 0, 1].into(), &headers, &[]);
            headers.append(X_FORWARDED_FOR, value);
            let _ = behind([10, 0, 0, 1].into(), &headers, &[]);
        }
    }
}

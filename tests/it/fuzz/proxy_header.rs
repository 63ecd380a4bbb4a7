//! The header of the PROXY protocol against a reading of its specification, section by section.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pointsman::testing::proxy::accept::proxy_protocol::{Parsed, V1_BYTES_MAX, V2_BYTES_MAX, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::mutate::mutated;
use super::{Bytes, Verdict, run};

const SIGNATURE: &str = "\r\n\r\n\0\r\nQUIT\n";

const SEEDS: [&str; 7] = [
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    "PROXY TCP6 ::ffff:10.0.0.1 2001:db8::1 0 1\r\n\x16\x03\x01",
    "PROXY UNKNOWN\r\nPRI * HTTP/2.0\r\n\r\n",
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x0a\0\0\x02\x1f\x40\0\x50GET / HTTP/1.1\r\n",
    "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\n",
    "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2700000000000000000000000000000000\x1f\x40\0\x50\x04\0\0PROXY TCP4",
];

const TOKENS: &[&str] = &[
    "PROXY ", "TCP4", "TCP6", "UNKNOWN", " ", "\r", "\n", "\r\n", "\0", SIGNATURE, ".", ":", "::", "0", "255", "256",
    "65535", "65536", "1.2.3.4", "::1", "%eth0", "+", "-", "\t", "é", "\x21", "\x11", "\x20", "\x31", "\x12",
];

/// What the specification says of the bytes so far.
fn read(bytes: &[u8]) -> Parsed {
    let signature = SIGNATURE.as_bytes();
    if signature.starts_with(&bytes[..bytes.len().min(12)]) {
        return if bytes.len() < 12 { Parsed::Incomplete } else { read_v2(bytes) };
    }
    if b"PROXY ".starts_with(&bytes[..bytes.len().min(6)]) {
        return read_v1(bytes);
    }
    Parsed::Invalid
}

/// 2.1: "PROXY", a space, and so on, with a carriage return and a line feed within the first 107 characters. The first
/// one of either must be a part of that pair.
fn read_v1(bytes: &[u8]) -> Parsed {
    let end = bytes.iter().position(|b| matches!(b, b'\r' | b'\n'));
    let Some(end) = end.filter(|end| *end < V1_BYTES_MAX - 1) else {
        return if bytes.len() < V1_BYTES_MAX && end.is_none() { Parsed::Incomplete } else { Parsed::Invalid };
    };
    match &bytes[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] => return Parsed::Incomplete,
        _ => return Parsed::Invalid,
    }
    let Ok(line) = String::from_utf8(bytes[..end].to_vec()) else { return Parsed::Invalid };
    let words: Vec<_> = line.split(' ').collect();
    let source = match words[..] {
        [_, "UNKNOWN", ..] => Some(None),
        [_, "TCP4", source, destination, from, to] if port(from) && port(to) => {
            ipv4(source).filter(|_| ipv4(destination).is_some()).map(|source| Some(IpAddr::V4(source)))
        }
        [_, "TCP6", source, destination, from, to] if port(from) && port(to) => {
            ipv6(source).filter(|_| ipv6(destination).is_some()).map(|source| Some(IpAddr::V6(source)))
        }
        _ => None,
    };
    match source {
        Some(source) => Parsed::Header { source: source.map(|source| source.to_canonical()), consumed: end + 2 },
        None => Parsed::Invalid,
    }
}

fn number(text: &str, most: u32) -> Option<u32> {
    let found = text.parse::<u32>().ok().filter(|number| *number <= most)?;
    (found.to_string() == text).then_some(found)
}

fn port(text: &str) -> bool {
    number(text, 65_535).is_some()
}

fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Option<Vec<u8>> = text.split('.').map(|part| u8::try_from(number(part, 255)?).ok()).collect();
    parts.and_then(|parts| <[u8; 4]>::try_from(parts).ok()).map(Ipv4Addr::from)
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let (before, behind) = match text.split_once("::") {
        Some((before, behind)) => (groups(before, false)?, Some(groups(behind, true)?)),
        None => (groups(text, true)?, None),
    };
    let mut all = before;
    if let Some(behind) = behind {
        // It stands for one group at least.
        let missing = 8_usize.checked_sub(all.len() + behind.len()).filter(|missing| *missing > 0)?;
        all.extend(vec![0; missing]);
        all.extend(behind);
    }
    <[u16; 8]>::try_from(all).ok().map(Ipv6Addr::from)
}

/// Groups with colons between them; the last one may be written as an address of version 4.
fn groups(text: &str, ends: bool) -> Option<Vec<u16>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let parts: Vec<_> = text.split(':').collect();
    let mut groups = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if ends && index + 1 == parts.len() && part.contains('.') {
            let [a, b, c, d] = ipv4(part)?.octets();
            groups.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
        } else {
            let hex = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
            groups.push(hex.then(|| u16::from_str_radix(part, 16).ok())??);
        }
    }
    Some(groups)
}

/// 2.2: version and command, family and protocol, the length of the rest, the rest. What cannot become a header any
/// more is none, also before all of it is there.
fn read_v2(bytes: &[u8]) -> Parsed {
    let local = match bytes.get(12) {
        None => return Parsed::Incomplete,
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Parsed::Invalid,
    };
    if bytes.len() < 16 {
        return Parsed::Incomplete;
    }
    let rest = usize::from(bytes[14]) * 256 + usize::from(bytes[15]);
    // Unspecified; TCP over version 4 and 6; a stream of a UNIX socket.
    let least = match bytes[13] {
        _ if local => 0,
        0x00 => 0,
        0x11 => 4 + 4 + 2 + 2,
        0x21 => 16 + 16 + 2 + 2,
        0x31 => 108 + 108,
        _ => return Parsed::Invalid,
    };
    if rest < least || 16 + rest > V2_BYTES_MAX {
        return Parsed::Invalid;
    }
    if bytes.len() < 16 + rest {
        return Parsed::Incomplete;
    }
    let source = match bytes[13] {
        0x11 if !local => Some(IpAddr::from([bytes[16], bytes[17], bytes[18], bytes[19]])),
        0x21 if !local => Some(IpAddr::from(<[u8; 16]>::try_from(&bytes[16..32]).unwrap()).to_canonical()),
        _ => None,
    };
    Parsed::Header { source, consumed: 16 + rest }
}

fn v1() -> impl Strategy<Value = Bytes> {
    let family = select(vec!["TCP4", "TCP6", "UNKNOWN", "TCP5", "tcp4", "UNKNOWNS", ""]);
    let address = || {
        let odd = select(vec!["::1", "::", "1:2:3:4:5:6:7::", "::1.2.3.4", "fe80::1%lo", "1.2.3", "01.2.3.4", "a", ""]);
        let v4 = any::<Ipv4Addr>().prop_map(|address| address.to_string());
        let v6 = any::<Ipv6Addr>().prop_map(|address| address.to_string());
        prop_oneof![3 => v4, 3 => v6, 1 => odd.prop_map(str::to_owned), 1 => "[0-9a-f:.]{0,39}"]
    };
    let port = || prop_oneof![4 => any::<u16>().prop_map(|port| port.to_string()), 1 => "[+0-9]{0,6}"];
    let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just(" x\r\n"), 1 => Just("\r\r\n"), 1 => Just("")];
    let all = (family, address(), address(), port(), port(), end, vec(any::<u8>(), 0..8));
    all.prop_map(|(family, source, destination, from, to, end, behind)| {
        let line = format!("PROXY {family} {source} {destination} {from} {to}{end}");
        Bytes([line.as_bytes(), &behind].concat())
    })
}

fn v2() -> impl Strategy<Value = Bytes> {
    let command = prop_oneof![5 => Just(0x21), 2 => Just(0x20), 1 => any::<u8>()];
    let family = prop_oneof![6 => select(vec![0x11, 0x21, 0x31, 0x00]), 1 => any::<u8>()];
    let rest = prop_oneof![3 => vec(any::<u8>(), 0..60), 1 => vec(any::<u8>(), 200..260)];
    let length = prop_oneof![6 => Just(None), 1 => any::<u16>().prop_map(Some), 1 => (0..300_u16).prop_map(Some)];
    (command, family, rest, length, vec(any::<u8>(), 0..8)).prop_map(|(command, family, rest, length, behind)| {
        let length = length.unwrap_or_else(|| u16::try_from(rest.len()).unwrap()).to_be_bytes();
        Bytes([SIGNATURE.as_bytes(), &[command, family], &length, &rest, &behind].concat())
    })
}

/// Bytes arrive in pieces: what is certain stays so with more of them, and nothing behind the header matters.
fn check(bytes: &[u8]) -> Verdict {
    let whole = parse(bytes);
    let decided = (0..=bytes.len()).find(|count| parse(&bytes[..*count]) != Parsed::Incomplete);
    let decided = decided.unwrap_or(bytes.len() + 1);
    for count in 0..=bytes.len() {
        let found = parse(&bytes[..count]);
        prop_assert_eq!(found, read(&bytes[..count]), "the first {} bytes", count);
        prop_assert_eq!(found, if count < decided { Parsed::Incomplete } else { whole }, "the first {} bytes", count);
    }
    if let Parsed::Header { consumed, .. } = whole {
        prop_assert_eq!(consumed, decided, "decided with the last byte of the header, and no byte later");
    }
    Ok(())
}

#[test]
fn a_header_is_what_the_specification_says_and_ends_where_it_ends() {
    let inputs = prop_oneof![v1(), v2(), mutated(SEEDS, TOKENS, 5)];
    run("PROXY protocol", 2000, &inputs, |bytes| check(&bytes.0));
}

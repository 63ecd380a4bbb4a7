//! Headers of both versions: whole, in pieces, and broken.

use proptest::prelude::*;

use super::*;

fn header(source: Option<&str>, consumed: usize) -> Parsed {
    Parsed::Header { source: source.map(|text| text.parse().expect("an address")), consumed }
}

/// Version 2: version and command, family, and what follows.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&V2_SIGNATURE[..], &[command, family], &length, rest].concat()
}

/// The longest line that the specification knows, and the other examples of its section 2.1.
#[test]
fn lines_of_the_specification() {
    let longest =
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let unknown =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    for (line, source) in [
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255")),
        ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", Some("192.168.0.1")),
        (longest, Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
        ("PROXY TCP6 ::ffff:10.0.0.1 ::1 0 1\r\n", Some("10.0.0.1")),
        ("PROXY UNKNOWN\r\n", None),
        (unknown, None),
    ] {
        let mut bytes = line.as_bytes().to_vec();
        assert_eq!(parse(&bytes), header(source, line.len()), "{line}");
        bytes.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(parse(&bytes), header(source, line.len()), "{line} and a request");
    }
    assert_eq!(unknown.len(), V1_BYTES_MAX);
}

#[test]
fn lines_that_break_the_rules() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "PROXY\r\n",
        "PROXY TCP4\r\n",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 -1\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n",
        "PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP6 [::1] ::1 1 1\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN a\rb\r\n",
        "PROXY UNKNOWN \u{ff}\rb",
    ] {
        assert_eq!(parse(line.as_bytes()), Parsed::Invalid, "{line:?}");
    }
    // Nothing is waited for that cannot be a header any more.
    assert_eq!(parse(format!("PROXY UNKNOWN {}", "x".repeat(92)).as_bytes()), Parsed::Incomplete);
    assert_eq!(parse(format!("PROXY UNKNOWN {}", "x".repeat(93)).as_bytes()), Parsed::Invalid);
    assert_eq!(parse(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes()), Parsed::Invalid);
    assert_eq!(parse(b"\x16\x03\x01"), Parsed::Invalid);
    assert_eq!(parse(b"\r\n\r\nGET"), Parsed::Invalid);
}

/// Bytes as HAProxy sends them, by hand from section 2.2 of the specification.
#[test]
fn headers_of_version_2() {
    let ipv4 = [192, 168, 0, 1, 192, 168, 0, 11, 0xdc, 0x04, 0x01, 0xbb];
    let golden = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb";
    assert_eq!(v2(0x21, 0x11, &ipv4), golden);
    assert_eq!(parse(golden), header(Some("192.168.0.1"), 28));
    let mut ipv6 = [0; 36];
    (ipv6[0], ipv6[1], ipv6[15]) = (0x20, 0x01, 7);
    assert_eq!(parse(&v2(0x21, 0x21, &ipv6)), header(Some("2001::7"), 52));
    let mut mapped = [0; 36];
    mapped[10..16].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
    assert_eq!(parse(&v2(0x21, 0x21, &mapped)), header(Some("10.0.0.1"), 52));
    // An extension (the authority that the client asked for) behind the addresses.
    let with_extension = [&ipv4[..], b"\x02\x00\x09localhost"].concat();
    assert_eq!(parse(&v2(0x21, 0x11, &with_extension)), header(Some("192.168.0.1"), 40));
    // The sender's own connection, with and without addresses; an unknown and a unix socket's client.
    assert_eq!(parse(&v2(0x20, 0x00, b"")), header(None, 16));
    assert_eq!(parse(&v2(0x20, 0x11, &ipv4)), header(None, 28));
    assert_eq!(parse(&v2(0x21, 0x00, b"\x04\x00\x01x")), header(None, 20));
    assert_eq!(parse(&v2(0x21, 0x31, &[b'/'; 216])), header(None, 232));
    let largest = vec![0; V2_BYTES_MAX - V2_FIXED_BYTES];
    assert_eq!(parse(&v2(0x21, 0x21, &largest)), header(Some("::"), V2_BYTES_MAX));
}

#[test]
fn headers_of_version_2_that_break_the_rules() {
    let ipv4 = [0; 12];
    for (what, bytes) in [
        ("version 1", v2(0x11, 0x11, &ipv4)),
        ("command 2", v2(0x22, 0x11, &ipv4)),
        ("datagrams", v2(0x21, 0x12, &ipv4)),
        ("an unknown family", v2(0x21, 0x41, &ipv4)),
        ("short addresses", v2(0x21, 0x11, &ipv4[1..])),
        ("short addresses of version 6", v2(0x21, 0x21, &[0; 35])),
        ("too long", v2(0x21, 0x11, &vec![0; V2_BYTES_MAX - V2_FIXED_BYTES + 1])),
        ("a version and no more", v2(0x31, 0, &[])[..13].to_vec()),
    ] {
        assert_eq!(parse(&bytes), Parsed::Invalid, "{what}");
    }
    assert_eq!(parse(&v2(0x21, 0x11, &[0; V2_BYTES_MAX])[..16]), Parsed::Invalid, "a length beyond the bound");
}

/// A good header of either version.
fn any_header() -> impl Strategy<Value = (Vec<u8>, Option<IpAddr>)> {
    let v1 = (any::<IpAddr>(), any::<u16>(), any::<u16>()).prop_map(|(address, from, to)| {
        let family = if address.is_ipv4() { "TCP4" } else { "TCP6" };
        (format!("PROXY {family} {address} {address} {from} {to}\r\n").into_bytes(), Some(address.to_canonical()))
    });
    let extension = prop::collection::vec(any::<u8>(), 0..300);
    let version_2 = (any::<IpAddr>(), any::<bool>(), extension).prop_map(|(address, local, extension)| {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let family = if address.is_ipv4() { 0x11 } else { 0x21 };
        let rest = [&octets[..], &octets, &[1, 2, 3, 4], &extension].concat();
        (v2(if local { 0x20 } else { 0x21 }, family, &rest), (!local).then(|| address.to_canonical()))
    });
    let unknown = "[ -~]{0,91}".prop_map(|rest| (format!("PROXY UNKNOWN {rest}\r\n").into_bytes(), None));
    prop_oneof![v1, version_2, unknown]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A header is read to its own end whatever follows, and no part of it is taken for the whole or for garbage.
    #[test]
    fn a_header_ends_where_it_ends((bytes, source) in any_header(), rest in prop::collection::vec(any::<u8>(), 0..40)) {
        let whole = [&bytes[..], &rest].concat();
        prop_assert_eq!(parse(&whole), Parsed::Header { source, consumed: bytes.len() });
        for cut in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete, "cut at {}", cut);
        }
    }

    /// A verdict on the first bytes stays when more come; bytes that may become a header are bounded.
    #[test]
    fn verdicts_stay(
        start in prop_oneof![Just(&b"PROXY TCP4 1"[..]), Just(&b"PROXY UNKNOWN "[..]), Just(&V2_SIGNATURE[..]), Just(&b""[..])],
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [start, &rest].concat();
        let mut last = Parsed::Incomplete;
        for end in 0..=bytes.len() {
            let now = parse(&bytes[..end]);
            prop_assert!(last == Parsed::Incomplete || last == now, "{:?} became {:?}", last, now);
            if let Parsed::Header { consumed, .. } = now {
                prop_assert!(consumed <= end && consumed <= V2_BYTES_MAX);
            }
            last = now;
        }
    }
}

//! The walk through forwarding headers against a naive one, and its purpose: what a client writes to the left of what
//! trusted proxies wrote changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use pointsman::testing::message::known_headers::{FORWARDED, X_FORWARDED_FOR};
use pointsman::testing::message::{Headers, KnownHeader};
use pointsman::testing::proxy::request::admit::client_address::behind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::mutate::mutated;
use super::{Bytes, run};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn trusted() -> Vec<IpNet> {
    ["10.0.0.0/8", "2001:db8:a::/48"].map(|block| block.parse().unwrap()).into()
}

fn client(name: KnownHeader, lines: &[Bytes]) -> IpAddr {
    let mut headers = Headers::default();
    for line in lines {
        headers.append(name, &line.0);
    }
    assert_eq!(headers.len(), lines.len(), "what is drawn is a value");
    behind(PEER, &headers, &trusted())
}

fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![Just([10, 9, 9, 9]), Just([192, 0, 2, 7]), any::<[u8; 4]>()];
    let v6 = prop_oneof![Just("2001:db8:a::5"), Just("2001:db8::7"), Just("::ffff:192.0.2.7"), Just("::1")];
    prop_oneof![v4.prop_map(IpAddr::from), v6.prop_map(|text| text.parse::<Ipv6Addr>().unwrap().into())]
}

/// As proxies write addresses.
fn written() -> impl Strategy<Value = String> {
    (address(), 0..3_u8, any::<u16>()).prop_map(|(address, form, port)| match (address, form) {
        (IpAddr::V4(v4), 0) => format!("{v4}:{port}"),
        (IpAddr::V6(v6), 0) => format!("[{v6}]:{port}"),
        (IpAddr::V6(v6), 1) => format!("[{v6}]"),
        (address, _) => address.to_string(),
    })
}

/// Bytes that a header's value may have.
fn legal(bytes: &Bytes) -> Bytes {
    Bytes(bytes.0.iter().copied().filter(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f)).collect())
}

const XFF_SEEDS: [&str; 6] = [
    "192.0.2.7",
    "6.6.6.6, 192.0.2.7, 10.9.9.9",
    "192.0.2.7:4711,\t[2001:db8::7]:4711, 10.0.0.2",
    "unknown, 2001:db8::7, \"10.0.0.3\"",
    ", ,10.0.0.2,",
    "[2001:db8:a::5], ::ffff:10.0.0.1",
];

const TOKENS: &[&str] = &[
    ",",
    ";",
    "=",
    "\"",
    "\\",
    "[",
    "]",
    ":",
    " ",
    "\t",
    "for=",
    "for=6.6.6.6",
    "10.0.0.2",
    "6.6.6.6",
    "%1",
    "é",
    "::",
    "for=\"",
];

fn xff_lines() -> impl Strategy<Value = Vec<Bytes>> {
    let element =
        prop_oneof![6 => written(), 1 => "[ -~]{0,10}", 1 => written().prop_map(|text| format!("\"{text}\""))];
    let line =
        (vec(element, 0..5), select(vec![",", ", ", " ,\t"])).prop_map(|(list, comma)| Bytes(list.join(comma).into()));
    let changed = mutated(XFF_SEEDS, TOKENS, 4).prop_map(|bytes| legal(&bytes));
    vec(prop_oneof![line, changed], 1..4)
}

/// All lines are one list; from its right end past trusted addresses to the first that is not.
fn naive_walk(lines: &[Bytes], read: impl Fn(&str) -> Option<IpAddr>) -> IpAddr {
    let list = lines.iter().map(|line| line.0.as_slice()).collect::<Vec<_>>().join(&b","[..]);
    let mut client = PEER;
    for element in list.split(|b| *b == b',').rev() {
        let Some(address) = std::str::from_utf8(element).ok().and_then(|text| read(text.trim_matches([' ', '\t'])))
        else {
            break;
        };
        client = address.to_canonical();
        if !trusted().iter().any(|block| block.contains(&client)) {
            break;
        }
    }
    client
}

/// An address as a proxy may write it, read by its shape.
fn naive_address(text: &str) -> Option<IpAddr> {
    let text = match text.strip_prefix('"') {
        Some(open) => open.strip_suffix('"')?,
        None => text,
    };
    let (host, port) = if let Some(inside) = text.strip_prefix('[') {
        let (host, rest) = inside.split_once(']')?;
        (IpAddr::V6(host.parse().ok()?), rest.strip_prefix(':').or(rest.is_empty().then_some("0"))?)
    } else if text.matches(':').count() == 1 {
        let (host, port) = text.split_once(':')?;
        (IpAddr::V4(host.parse().ok()?), port)
    } else {
        (text.parse().ok()?, "0")
    };
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_port.then_some(host)
}

#[test]
fn the_walk_is_the_naive_one() {
    run("X-Forwarded-For", 3000, &xff_lines(), |lines| {
        prop_assert_eq!(client(X_FORWARDED_FOR, &lines), naive_walk(&lines, naive_address));
        Ok(())
    });
}

/// One element of `Forwarded`, and whom it names.
fn element() -> impl Strategy<Value = (String, Option<IpAddr>)> {
    let node = (address(), prop::option::of(any::<u16>()), any::<bool>()).prop_map(|(address, port, quoted)| {
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let text = match address {
            IpAddr::V4(v4) if port.is_empty() && !quoted => return (v4.to_string(), Some(address)),
            IpAddr::V4(v4) => format!("\"{v4}{port}\""),
            IpAddr::V6(v6) => format!("\"[{v6}]{port}\""),
        };
        (text, Some(address))
    });
    let hidden = select(vec!["unknown", "_hidden", "\"_x:_y\""]).prop_map(|text| (text.to_owned(), None));
    let name = select(vec!["for", "For", "FOR"]);
    let named = (name, prop_oneof![8 => node, 1 => hidden])
        .prop_map(|(name, (text, address))| (format!("{name}={text}"), address));
    // What clients can put into the words of honest proxies: a host, a path.
    let said = "([ -~&&[^\"\\\\]]|\\\\\"|\\\\\\\\){0,12}|a,for=6\\.6\\.6\\.6|x;for=6\\.6\\.6\\.6";
    let word = prop_oneof!["[a-z0-9.]{1,6}", said.prop_map(|text| format!("\"{text}\""))];
    let other = (select(vec!["by", "host", "proto", "x"]), word).prop_map(|(name, word)| format!("{name}={word}"));
    (vec(other.clone(), 0..2), named, vec(other, 0..2), select(vec![";", " ; "])).prop_map(
        |(before, (named, address), after, semicolon)| {
            let pairs: Vec<_> = before.into_iter().chain([named]).chain(after).collect();
            (pairs.join(semicolon), address)
        },
    )
}

#[test]
fn forwarded_elements_name_their_clients() {
    let lists = vec(vec(element(), 1..4), 1..3);
    run("Forwarded", 3000, &lists, |lines| {
        let text = |line: &Vec<(String, _)>| line.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(", ");
        let written: Vec<_> = lines.iter().map(|line| Bytes(text(line).into())).collect();
        let mut expected = PEER;
        for (_, address) in lines.iter().flatten().rev() {
            let Some(address) = address else { break };
            expected = address.to_canonical();
            if !trusted().iter().any(|block| block.contains(&expected)) {
                break;
            }
        }
        prop_assert_eq!(client(FORWARDED, &written), expected, "{:?}", written);
        Ok(())
    });
}

#[test]
fn what_clients_write_to_the_left_changes_nothing() {
    let seeds: Vec<&str> =
        XFF_SEEDS.into_iter().chain(["for=6.6.6.6", "for=\"[2001:db8::7]\";host=\"a,b\"", "for=\""]).collect();
    let prefix = mutated(seeds, TOKENS, 5).prop_map(|bytes| legal(&bytes));
    let inputs = (prefix, vec(element(), 0..3), element(), any::<bool>());
    let stranger = IpAddr::from([192, 0, 2, 7]);
    run("forwarding prefix", 3000, &inputs, |(prefix, more, (last, _), one_line)| {
        // The first trusted proxy names the stranger, those after it name trusted ones.
        let more: Vec<_> = more
            .iter()
            .map(|(text, _)| text.replace("for=", "x=").replace("For=", "x=").replace("FOR=", "x="))
            .collect();
        let last = last.replace("for=", "x=").replace("For=", "x=").replace("FOR=", "x=");
        let forwarded = std::iter::once(format!("for=192.0.2.7;{last}"))
            .chain(more.into_iter().map(|text| format!("{text};for=10.0.0.2")))
            .collect::<Vec<_>>()
            .join(", ");
        for (name, honest) in [(FORWARDED, forwarded.as_str()), (X_FORWARDED_FOR, "192.0.2.7, 10.0.0.2")] {
            let lines = match one_line {
                true => vec![Bytes([&prefix.0, &b", "[..], honest.as_bytes()].concat())],
                false => vec![prefix.clone(), Bytes(honest.into())],
            };
            prop_assert_eq!(client(name, &lines), stranger, "{:?}: {:?}", name, lines);
        }
        Ok(())
    });
}

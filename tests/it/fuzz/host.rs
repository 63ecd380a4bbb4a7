//! The host of a request against its grammar, written a second time as a regular expression.

use std::sync::LazyLock;

use pointsman::testing::proxy::request::admit::host::Host;
use proptest::prelude::*;
use regex::Regex;

use super::mutate::mutated;
use super::run;

const SEEDS: [&str; 10] = [
    "a.example",
    "A.example:8080",
    "a:",
    "127.0.0.1:65535",
    "[::1]",
    "[2001:db8::1]:443",
    "[::ffff:192.0.2.1]:80",
    "[1:2:3:4:5:6:7:8]",
    "user@host",
    "xn--bcher-kva.example.",
];

const TOKENS: &[&str] = &[
    "[", "]", ":", "::", "%", "@", ",", "/", "?", "#", ".", "65536", "00080", "+", "-", " ", "é", "255.", "ffff:", "[[",
];

fn hosts() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[a-zA-Z0-9._~-]{0,12}", "\\[[0-9a-f:.]{0,20}\\]", "[!-~]{0,8}"];
    let port = prop_oneof![Just(String::new()), ":[0-9]{0,6}", "[:+ -][0-9a-f]{0,3}"];
    let built = (name, port).prop_map(|(name, port)| name + &port);
    let changed = mutated(SEEDS, TOKENS, 4).prop_map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
    prop_oneof![built, changed]
}

/// What the grammar makes of it, in lower case.
fn model(text: &str) -> Option<(String, Option<u16>)> {
    static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\A(?<name>\[(?<v6>[0-9A-Fa-f:.]*)\]|[A-Za-z0-9._~-]+)(?::(?<port>[0-9]*))?\z").unwrap()
    });
    let found = GRAMMAR.captures(text)?;
    if found.name("v6").is_some_and(|v6| !is_v6(v6.as_str())) {
        return None;
    }
    let port = match found.name("port").map(|port| port.as_str()) {
        None | Some("") => None,
        Some(digits) => match digits.trim_start_matches('0') {
            "" => Some(0),
            short if short.len() <= 5 => Some(u16::try_from(short.parse::<u32>().unwrap()).ok()?),
            _ => return None,
        },
    };
    Some((found["name"].to_owned(), port))
}

/// RFC 3986, 3.2.2: eight groups, or fewer and one `::`, the last two perhaps an IPv4 address.
fn is_v6(text: &str) -> bool {
    let halves: Vec<_> = text.split("::").collect();
    if halves.len() > 2 {
        return false;
    }
    let mut count = 0;
    for (place, half) in halves.iter().enumerate() {
        let groups: Vec<_> = if half.is_empty() { Vec::new() } else { half.split(':').collect() };
        for (index, group) in groups.iter().enumerate() {
            let last = place + 1 == halves.len() && index + 1 == groups.len();
            let hex = (1..=4).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_hexdigit());
            match (hex, last && is_v4(group)) {
                (true, _) => count += 1,
                (false, true) => count += 2,
                (false, false) => return false,
            }
        }
    }
    if halves.len() == 2 { count <= 7 } else { count == 8 }
}

fn is_v4(text: &str) -> bool {
    let octets: Vec<_> = text.split('.').collect();
    let plain = |octet: &&str| octet.parse::<u8>().is_ok_and(|number| number.to_string() == **octet);
    octets.len() == 4 && octets.iter().all(plain)
}

#[test]
fn a_host_is_what_the_grammar_says() {
    run("host", 4000, &hosts(), |text| {
        let found = Host::parse(&text).map(|host| (host.name.to_owned(), host.port));
        prop_assert_eq!(&found, &model(&text));
        if let Some((name, port)) = found {
            // What was read can be written and is read as the same.
            let written = port.map_or(name.clone(), |port| format!("{name}:{port}"));
            prop_assert_eq!(Host::parse(&written).map(|host| (host.name.to_owned(), host.port)), Some((name, port)));
        }
        Ok(())
    });
}

#[test]
fn hosts_are_the_same_when_their_lower_case_and_their_port_are() {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let pair = (hosts(), hosts(), flags).prop_map(|(one, other, (twin, default_port, https))| {
        let other = if twin { one.to_uppercase() } else { other };
        let port = if https { ":443" } else { ":80" };
        let other = if default_port && !other.contains(':') { other + port } else { other };
        (one, other, https)
    });
    run("same host", 1000, &pair, |(one, other, https)| {
        let (Some(a), Some(b)) = (Host::parse(&one), Host::parse(&other)) else { return Ok(()) };
        let default_port = if https { 443 } else { 80 };
        let plain = |host: &Host<'_>| (host.name.to_ascii_lowercase(), host.port.unwrap_or(default_port));
        prop_assert_eq!(a.same_as(&b, https), plain(&a) == plain(&b));
        prop_assert_eq!(a.same_as(&b, https), b.same_as(&a, https));
        prop_assert!(a.same_as(&a, https));
        Ok(())
    });
}

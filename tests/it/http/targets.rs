//! The bytes of targets: what clients send beyond RFC 3986 is passed on as it is, over HTTP/1.1 and as far as its codec
//! lets it over HTTP/2, and rules and origins see the same.

use crate::support::h2::{H2Client, H2Origin, request};
use crate::support::{Client, Origin, Proxy, Setup, get};

/// Every byte that may stand in a target besides `#` and `?`.
fn bytes() -> impl Iterator<Item = u8> {
    (b'!'..=0xff).filter(|byte| !matches!(byte, b'#' | b'?' | 0x7f))
}

/// The request line that an origin saw, byte for byte.
fn lines(origin: &Origin) -> Vec<String> {
    origin.seen().iter().map(|seen| seen.line().to_owned()).collect()
}

#[test]
fn every_visible_byte_passes_in_paths_and_queries() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    let mut wanted = Vec::new();
    for byte in bytes() {
        for target in [[b"/a", &[byte][..], b"b"].concat(), [b"/a?q=", &[byte][..], b"b"].concat()] {
            let answer = client.ask([b"GET ", &target[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
            assert_eq!(answer.status, 200, "{}: {answer:?}", target.escape_ascii());
            wanted.push(format!("GET {} HTTP/1.1", String::from_utf8_lossy(&target)));
        }
    }
    assert_eq!(lines(&origin), wanted);
}

#[test]
fn what_would_end_a_target_or_a_line_is_refused() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    for byte in (0..=b' ').chain([b'#', 0x7f]) {
        for target in [[b"/a", &[byte][..], b"b"].concat(), [b"/a?q=", &[byte][..], b"b"].concat()] {
            let mut client = Client::to(proxy.address);
            client.write([b"GET ", &target[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
            assert_eq!(client.finish().answer().status, 400, "{}", target.escape_ascii());
        }
    }
    assert!(lines(&origin).is_empty());
}

#[test]
fn a_strict_listener_wants_the_letter_of_the_standard() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener("strict_targets = true").start();
    for byte in bytes() {
        let fits = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
        for target in [[b"/a", &[byte][..], b"b"].concat(), [b"/a?q=", &[byte][..], b"b"].concat()] {
            let mut client = proxy.client();
            let answer = client.ask([b"GET ", &target[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
            if fits {
                assert_eq!(answer.status, 200, "{}", target.escape_ascii());
            } else {
                answer.assert_refused(400, "bad_target");
            }
        }
    }
    proxy.client().ask(get("/%7B%zz")).assert_refused(400, "bad_target");
    assert_eq!(proxy.client().ask(get("/%7B%7d?")).status, 200);
}

#[test]
fn rules_see_what_the_origin_sees() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let rule = "rules = [\n{ name = \"json\", when = { query = { q = \"{\\\"a\\\":<1>}\" } }, use = \"v2\" },\n\
                { name = \"tag\", when = { path = { prefix = \"/<b>\" } }, use = \"v2\" },\n]";
    let proxy = Setup::to(&[&v1, &v2]).service(rule).start();
    for (target, version) in [
        ("/?q={\"a\":<1>}", "v2"),
        ("/?q={\"a\":<2>}", "v1"),
        ("/<b>/x", "v2"),
        ("/%3Cb%3E/x", "v1"),
        ("/?q=|^`\\", "v1"),
    ] {
        assert_eq!(proxy.client().ask(get(target)).text(), version, "{target}");
        assert_eq!(proxy.explain(target)["rule"].is_null(), version == "v1", "{target}");
        let origin = if version == "v1" { &v1 } else { &v2 };
        assert_eq!(origin.last().target(), target);
    }
    for none in ["/a b", "/a\tb", "/\u{7f}"] {
        assert_eq!(proxy.explain(none)["problems"][0]["where"], "path", "nobody is told of a target that cannot be");
    }
}

#[test]
fn http2_passes_what_its_codec_can_hold() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
    for target in ["/a\"b{c}|d", "/?q={a:[1]}|`^\\", "/caf\u{e9}?\u{65e5}"] {
        let answer = H2Client::to(proxy.address).ask(request("GET", &format!("http://a{target}"), &[]));
        assert_eq!((answer.status, origin.last().target()), (200, target));
    }
    let origin = H2Origin::saying("ok");
    let proxy = Setup::endpoints(&[&[origin.address()]]).version("protocol = \"h2\"").start();
    for (target, seen) in
        [("/a\"b{c}?{d}", "/a\"b{c}?{d}"), ("/?q={\"a\":1}", "/?q=%7B%22a%22:1%7D"), ("/<a>?x=%3C", "/%3Ca%3E?x=%3C")]
    {
        assert_eq!(proxy.client().ask(get(target)).status, 200, "{target}");
        let uri = origin.seen().pop().unwrap().uri;
        assert!(uri.ends_with(seen), "{uri}, want {seen}");
    }
}

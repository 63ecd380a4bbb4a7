//! Rules 9 and 10: who is asked, and for what.

use crate::support::{After, Case, Origin, Proxy, Table, client, get, with};

fn hosted(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn targeted(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn a_request_has_exactly_one_host() {
    let none = "GET / HTTP/1.1\r\n\r\n";
    let lines = [
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: \r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:   \r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    ];
    let refused = lines.iter().chain([&none]).map(|bytes| Case::refused(9, bytes, &[400], "bad_host"));
    Table::new().run(refused.chain([Case::either(9, "GET / HTTP/1.0\r\n\r\n")]));
}

#[test]
fn a_host_that_is_no_host_is_refused() {
    let hosts = [
        "a,b",
        "a, b",
        "user@host",
        "user:pw@host",
        "@a",
        "a:99999",
        "a:65536",
        "a:-1",
        "a:+80",
        "a:0x50",
        "a:8 0",
        "a:80:80",
        "a:http",
        "a/b",
        "a/",
        "/",
        "a?b",
        "a#b",
        "a\\b",
        "a b",
        "[::1",
        "::1",
        "[::1]x",
        "[]",
        "[zz]",
        "[::1%eth0]x",
        "[1.2.3.4]",
        "a]",
        "[a",
        "a%zz",
        "a%",
        "a\"b",
        "a<b>",
        "a|b",
        "a^b",
        "a`b",
        "{a}",
        "http://a",
        "a:80/",
        ":80",
        ":",
        "é",
        "a\tb",
    ];
    let named = ["a,b", "user@host", "a:99999", "a/b"];
    let word = |host| if named.contains(&host) { "bad_host" } else { "" };
    Table::new().run(hosts.map(|host| Case::refused(9, hosted(host), &[400], word(host))));
}

#[test]
fn a_good_host_passes_as_it_is() {
    let hosts = [
        "a",
        "A.Example.COM",
        "a.",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8080",
        "[::ffff:1.2.3.4]",
        "a:65535",
        "a:80",
        "a:0080",
        "xn--bcher-kva.example",
        "a-b.c_d",
        "1",
        "a~b",
    ];
    let good = hosts.map(|host| Case::forwarded(9, hosted(host)).sees(&format!("x-forwarded-host: {host}")));
    // Legal in a reg-name, and in no name that anybody has.
    let odd = [Case::either(9, hosted("a!$&'()*+;=b")), Case::either(9, hosted("a:"))];
    Table::new().run(good.into_iter().chain(odd));
}

#[test]
fn an_absolute_target_agrees_with_the_host() {
    let same = [
        ("http://a/x", "a"),
        ("http://A/x", "a"),
        ("http://a/x", "A"),
        ("http://a:80/x", "a"),
        ("http://a/x", "a:80"),
        ("http://a:8080/x", "a:8080"),
        ("http://[::1]:8080/x", "[::1]:8080"),
        ("HTTP://a/x", "a"),
    ];
    let differ = [
        ("http://a/x", "b"),
        ("http://a:81/x", "a"),
        ("http://a/x", "a:81"),
        ("http://a:80/x", "a:81"),
        ("http://user@a/x", "a"),
        ("http://user@a/x", "user@a"),
        ("http://a,b/x", "a,b"),
        ("http://a:99999/x", "a:99999"),
        ("http://a.example/x", "a"),
        ("http://a/x", "a,b"),
    ];
    let same = same.iter().map(|(target, host)| Case::forwarded(9, targeted(target, host)).sees("GET /x HTTP/1.1"));
    let differ = differ.iter().map(|(target, host)| Case::refused(9, targeted(target, host), &[400], ""));
    Table::new().run(same.chain(differ));
}

#[test]
fn the_origin_gets_origin_form() {
    Table::new().run([
        Case::forwarded(9, targeted("http://a", "a")).sees("GET / HTTP/1.1"),
        Case::forwarded(9, targeted("http://a/", "a")).sees("GET / HTTP/1.1"),
        Case::forwarded(9, targeted("http://a?q=1", "a")).sees("GET /?q=1 HTTP/1.1"),
        Case::forwarded(9, targeted("http://a/x?y=http://b/", "a")).sees("GET /x?y=http://b/ HTTP/1.1"),
        Case::forwarded(9, targeted("/x?", "a")).sees("GET /x? HTTP/1.1"),
        Case::forwarded(9, targeted("//b/x", "a")).sees("GET //b/x HTTP/1.1").sees("host: a"),
    ]);
}

#[test]
fn targets_that_no_upstream_should_see_are_refused() {
    let bad = [
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST * HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ?q HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let fragments = ["/a#b", "/#", "/a?q#f", "http://a/x#y", "http://a#y"];
    let fragments = fragments.iter().map(|target| Case::refused(9, targeted(target, "a"), &[400], ""));
    let bad = bad.iter().map(|bytes| Case::refused(9, bytes, &[400], ""));
    Table::new().run(bad.chain(fragments).chain([Case::either(9, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")]));
}

#[test]
fn connect_and_trace_are_not_allowed() {
    let refused = |bytes: &str| Case::refused(9, bytes, &[405], "method_not_allowed");
    Table::new().run([
        refused("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
        refused("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"),
        refused("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").then(After::Kept),
    ]);
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    let answer = client::send(proxy.address, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
    let allow = answer.header("allow").expect("a 405 says what is allowed");
    assert!(allow.contains("GET") && !allow.contains("TRACE"), "{allow}");
}

#[test]
fn unknown_methods_pass_and_malformed_ones_do_not() {
    Table::new().run([
        Case::forwarded(9, "PROPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n").sees("PROPFIND /x HTTP/1.1"),
        Case::forwarded(9, "get /x HTTP/1.1\r\nHost: a\r\n\r\n").sees("get /x HTTP/1.1"),
        Case::refused(9, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", &[400], ""),
        Case::refused(9, " GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[400], ""),
        Case::refused(9, "GET / HTTP/1.2\r\nHost: a\r\n\r\n", &[400, 505], ""),
        Case::refused(9, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[400, 505], ""),
        Case::refused(9, "GET / http/1.1\r\nHost: a\r\n\r\n", &[400, 505], ""),
    ]);
}

#[test]
fn a_path_passes_as_it_is() {
    let paths = [
        "//",
        "//a//b",
        "/a/../b",
        "/a/./b",
        "/..",
        "/%2f",
        "/%2F..%2f",
        "/%61",
        "/a%00",
        "/a;p=1",
        "/a:b@c",
        "/a?b=../c",
        "/a%zz",
        "/a'b",
        "/a?b=c|d",
        "/a?x[]=1",
        "/~u",
        "/a,b",
        "/a%5c..",
        "/a\\b",
        "/{x}",
        "/a\"b",
        "/a?b={\"c\":[1]}",
        "/<a>?<b>",
        "/`^|?`^|",
        "/caf\u{e9}?\u{e9}",
    ];
    Table::new().run(paths.map(|path| {
        let case = Case::forwarded(10, get(path)).sees(&format!("GET {path} HTTP/1.1"));
        // To HTTP/2 they go percent-encoded: see `targets::http2_passes_what_its_codec_can_hold`.
        if http::uri::PathAndQuery::try_from(path).is_ok() { case } else { case.http1_only() }
    }));
}

/// Two services by path, both of which want their paths resolved; each says its name.
fn normalizing() -> (Origin, Origin, Proxy) {
    let (site, admin) = (Origin::saying("site"), Origin::saying("admin"));
    let service = |name: &str, path: &str, origin: &Origin| {
        let (normalize, address) = (crate::support::proxy::NORMALIZE, origin.address());
        format!(
            "[services.{name}]\npaths = [\"{path}\"]\nsplit = {{ v1 = 100 }}\n{normalize}\n[services.{name}.versions.v1]\n\
             endpoints = [\"{address}\"]\n"
        )
    };
    let services = [service("site", "/", &site), service("admin", "/admin", &admin)].concat();
    let proxy = Proxy::start(&format!("[listeners.public]\naddress = \"127.0.0.1:0\"\n{services}"));
    (site, admin, proxy)
}

#[test]
fn a_normalised_path_is_what_routing_and_the_origin_see() {
    let (site, admin, proxy) = normalizing();
    let cases = [
        ("/x/../admin/s", "admin", "/admin/s"),
        ("/admin/../x", "site", "/x"),
        ("//admin//s", "admin", "/admin/s"),
        ("/./admin/./s", "admin", "/admin/s"),
        ("/%61dmin/s", "admin", "/admin/s"),
        ("/x/%2e%2e/admin/s", "admin", "/admin/s"),
        ("/x/.%2E/admin/s?q=/../x//y", "admin", "/admin/s?q=/../x//y"),
        ("/a%2fb", "site", "/a%2fb"),
        ("/admin%2f..%2fx", "site", "/admin%2f..%2fx"),
        ("/a/", "site", "/a/"),
        ("/a/..", "site", "/"),
        ("/a/.", "site", "/a/"),
        ("/%7eu", "site", "/~u"),
        ("/a%20b", "site", "/a%20b"),
        ("/%252e%252e/admin", "site", "/%252e%252e/admin"),
        ("/", "site", "/"),
    ];
    let mut wrong = Vec::new();
    for (path, service, wanted) in cases {
        let answer = client::send(proxy.address, get(path));
        let origin = if answer.text() == "admin" { &admin } else { &site };
        let seen: Vec<_> = origin.forget().0.iter().map(|seen| seen.target().to_lowercase()).collect();
        if answer.text() != service || seen != [wanted] {
            wrong.push(format!("{path}: want {service} {wanted}, got {} {seen:?}", answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Above the root is nothing: a proxy may stop there or refuse.
    let above = client::send(proxy.address, get("/../../admin/s"));
    assert!(above.status == 400 || above.text() == "admin", "{above:?}");
}

#[test]
fn routing_does_not_normalise_what_it_forwards_as_it_is() {
    Table::new().run([
        Case::forwarded(10, get("/x/../admin")).sees("GET /x/../admin HTTP/1.1"),
        Case::forwarded(10, with(&["X-Original-Url: /admin", "X-Rewrite-Url: /admin"])).sees("GET / HTTP/1.1"),
    ]);
}

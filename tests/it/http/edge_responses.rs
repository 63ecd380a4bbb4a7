//! What a rule responds by itself: pages and redirects, to clients of HTTP/1.1, HTTP/2 and gRPC; the URL that a service
//! wants to be asked by; and the pages of errors.

use crate::support::h2::{H2Client, request};
use crate::support::{Origin, Setup, client, get, with};

/// A maintenance page for all but the staff.
const SORRY: &str = r#"
rules = [{ name = "sorry", when = { path = { prefix = "/" }, not = { header = { "x-staff" = "yes" } } }, respond = { status = 503, text = "back soon\n", retry_after = "2m" }, response_headers = { set = { "x-page" = "sorry" } } }]
response_headers = { set = { "strict-transport-security" = "max-age=60", "cache-control" = "public, max-age=31536000", "cdn-cache-control" = "max-age=9" } }
"#;

#[test]
fn a_page_is_the_response_to_every_kind_of_request_and_no_endpoint_is_asked() {
    let origin = Origin::saying("hello");
    let proxy = Setup::to(&[&origin]).listener("h2c = true").service(SORRY).start();
    let mut client = proxy.client();
    let answer = client.ask(get("/x"));
    let line = |name: &str| answer.header(name).map(str::to_owned).unwrap_or_default();
    assert_eq!((answer.status, answer.text().as_str()), (503, "back soon\n"));
    assert_eq!((line("content-type"), line("content-length")), ("text/plain; charset=utf-8".into(), "10".into()));
    assert_eq!((line("retry-after"), line("cache-control")), ("120".into(), "no-store".into()));
    assert_eq!(answer.header("cdn-cache-control"), None, "what is said of assets is not said of this page");
    assert_eq!((line("x-page"), line("strict-transport-security")), ("sorry".into(), "max-age=60".into()));
    // A cache that keeps it all the same must not give it to the staff.
    assert_eq!(line("vary"), "x-staff");
    // The connection goes on, and a HEAD has the same head.
    client.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Staff: yes\r\n\r\n");
    let head = client.read(true).unwrap();
    assert_eq!((head.status, head.header("content-length"), head.text().as_str()), (503, Some("10"), ""));
    assert_eq!(client.answer().text(), "hello");
    // A client is not told to send a body that is not read.
    let answer = client::send(
        proxy.address,
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n",
    );
    assert_eq!((answer.status, answer.interim.as_slice(), answer.text().as_str()), (503, &[][..], "back soon\n"));
    let body = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n{}", "x".repeat(300_000));
    assert_eq!(client::send(proxy.address, body).status, 503);
    let mut http2 = H2Client::to(proxy.address);
    let answer = http2.ask(request("GET", "http://a/x", &[]));
    assert_eq!((answer.status, answer.text().as_str()), (503, "back soon\n"));
    assert!(!answer.headers.contains_key("connection"));
    let answer = http2.ask(request("HEAD", "http://a/x", &[]));
    assert_eq!((answer.status, answer.headers["content-length"].to_str().unwrap(), answer.body.len()), (503, "10", 0));
    let answer =
        http2.ask(request("POST", "http://a/s/m", &[("content-type", "application/grpc"), ("te", "trailers")]));
    assert_eq!((answer.status, answer.headers["grpc-status"].to_str().unwrap()), (200, "14"));
    assert_eq!((answer.headers["content-type"].to_str().unwrap(), answer.body.len()), ("application/grpc", 0));
    assert_eq!(origin.seen().len(), 1, "only the request of the staff");
    proxy.await_metric("pointsman_refusals_total", &["fixed_response"], 7.0);
    let explained = proxy.explain("/x");
    assert_eq!((&explained["rule"], &explained["version"]), (&"sorry".into(), &serde_json::Value::Null));
    let responds = explained["responds"].as_str().unwrap_or_default();
    assert_eq!(responds, "503 with 10 bytes of text/plain; charset=utf-8");
}

#[test]
fn redirects_lead_where_the_file_says_and_nowhere_else() {
    let origin = Origin::saying("hello");
    let rules = r#"
rules = [
  { name = "old", when = { path = { prefix = "/old" } }, redirect = { to = "/new{rest}{query}", status = 308 } },
  { name = "all", when = { path = { prefix = "/all/" } }, redirect = { to = "https://shop.example{path}{query}" } },
  { name = "either", when = { any = [{ path = "/a" }, { header = { "x-a" = "1" } }], path = { regex = "^/[a-c]$" } }, redirect = { to = "https://a.example/", status = 302 } },
]"#;
    let proxy = Setup::to(&[&origin]).listener("h2c = true").service(rules).start();
    for (path, status, location) in [
        ("/old", 308, Some("/new")),
        ("/old/x?q=1&r", 308, Some("/new/x?q=1&r")),
        ("/old//evil.example/x", 308, Some("/new//evil.example/x")),
        ("/older", 200, None),
        ("/all//evil.example", 307, Some("https://shop.example/all//evil.example")),
        ("/all/%0d%0aset-cookie:x", 307, Some("https://shop.example/all/%0d%0aset-cookie:x")),
        ("/a", 302, Some("https://a.example/")),
        ("/b", 200, None),
    ] {
        let answer = client::send(proxy.address, get(path));
        assert_eq!((answer.status, answer.header("location")), (status, location), "{path}");
        let answer = H2Client::to(proxy.address).ask(request("GET", &format!("http://a{path}"), &[]));
        let found = answer.headers.get("location").map(|location| location.to_str().unwrap());
        assert_eq!((answer.status, found), (status, location), "{path} over HTTP/2");
    }
    // By its URL alone a cache must not send everybody there.
    let answer = client::send(proxy.address, "GET /b HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n");
    assert_eq!(
        (answer.status, answer.header("cache-control"), answer.header("vary")),
        (302, Some("no-store"), Some("x-a"))
    );
    assert_eq!(proxy.explain("/old/x")["responds"], "308 to /new/x");
    assert_eq!(origin.seen().len(), 4);
}

#[test]
fn a_service_is_asked_by_its_host_and_by_https_in_one_step_and_no_circle() {
    let origin = Origin::saying("hello");
    let lines =
        "hosts = [\"shop.example\", \"*.shop.example\"]\ncanonical_host = \"shop.example\"\nredirect_https = true";
    let setup = |listener: &str, lines: &str| Setup::to(&[&origin]).listener(listener).service(lines).start();
    let trusting = setup("trusted_proxies = [\"127.0.0.0/8\"]\nh2c = true", lines);
    let ask = |host: &str, proto: &str| {
        let answer = client::send(
            trusting.address,
            format!("GET //x?y HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Proto: {proto}\r\n\r\n"),
        );
        (answer.status, answer.header("location").map(str::to_owned), answer.header("vary").map(str::to_owned))
    };
    let to = |location: &str| (308, Some(location.to_owned()), Some("x-forwarded-proto".to_owned()));
    assert_eq!(ask("shop.example", "http"), to("https://shop.example//x?y"));
    assert_eq!(ask("www.shop.example:8080", "http"), to("https://shop.example//x?y"));
    assert_eq!(ask("www.shop.example", "https"), to("https://shop.example//x?y"));
    assert_eq!(ask("Shop.Example", "https"), (200, None, None));
    let answer = H2Client::to(trusting.address).ask(request("GET", "http://www.shop.example/x", &[]));
    assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (308, "https://shop.example/x"));
    // What a stranger says of the scheme is not believed.
    let strict = setup("", lines);
    let answer =
        client::send(strict.address, "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://shop.example/")));
    strict.await_metric("pointsman_refusals_total", &["redirected_to_https"], 1.0);
    // The port of the same server stays, and other services are left alone.
    let plain = setup("", "canonical_host = \"shop.example\"");
    let answer =
        client::send(plain.address, "POST /x HTTP/1.1\r\nHost: www.shop.example:8080\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((answer.status, answer.header("location")), (308, Some("http://shop.example:8080/x")));
    plain.await_metric("pointsman_refusals_total", &["\"redirected\""], 1.0);
    let answer = client::send(plain.address, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200, "a client that names no host would not name the other one either");
    let asked = r#"{ "host": "shop.example", "path": "/x?y", "https": false }"#;
    let explained = strict.call("POST", "/v1/explain", asked);
    assert_eq!(explained["responds"], "308 to https://shop.example/x?y", "{explained:#}");
    let explained = strict.call("POST", "/v1/explain", &asked.replace("false", "true"));
    assert_eq!(explained["chances"]["v1"], 100.0, "{explained:#}");
}

#[test]
fn a_prefix_is_taken_away_or_replaced_where_the_path_is_what_it_seems() {
    let origin = Origin::saying("hello");
    let setup = |lines: &str| Setup::to(&[&origin]).listener("h2c = true").service(lines).start();
    let strip = setup("strip_prefix = \"/api\"");
    for (path, seen) in [
        ("/api/x?q=/api/y", "/x?q=/api/y"),
        ("/api", "/"),
        ("/api?q", "/?q"),
        ("/apix", "/apix"),
        ("/api//evil.example/x", "/evil.example/x"),
        ("/api/a%2Fb", "/a%2Fb"),
        ("/api%2Fb", "/api%2Fb"),
    ] {
        assert_eq!(client::send(strip.address, get(path)).status, 200, "{path}");
        assert_eq!(origin.last().target(), seen, "{path}");
        let stripped = path.starts_with("/api/") || path == "/api" || path.starts_with("/api?");
        assert_eq!(origin.last().header("x-forwarded-prefix"), stripped.then_some("/api"), "{path}");
        H2Client::to(strip.address).ask(request("GET", &format!("http://a{path}"), &[]));
        assert_eq!(origin.last().target(), seen, "{path} over HTTP/2");
    }
    for path in ["/api/../admin", "/api/%2e%2e/admin", "/api/..\\admin", "/api/x/.%2E/y"] {
        client::send(strip.address, get(path)).assert_refused(400, "bad_target");
    }
    let normal = setup("strip_prefix = \"/api\"\nnormalize_path = true");
    assert_eq!(client::send(normal.address, get("/api/x/../y")).status, 200);
    assert_eq!(origin.last().target(), "/y");
    client::send(normal.address, with(&["X-Forwarded-Prefix: /evil"]));
    assert!(!origin.last().has("x-forwarded-prefix"));
    let replace = setup("replace_prefix = { from = \"/api\", to = \"/v2\" }");
    assert_eq!(client::send(replace.address, get("/api/x")).status, 200);
    assert_eq!((origin.last().target(), origin.last().header("x-forwarded-prefix")), ("/v2/x", None));
    assert_eq!(replace.explain("/api/x")["edits"]["path"], "/v2/x");
}

#[test]
fn the_cookie_of_a_service_has_the_name_and_the_attributes_that_are_written() {
    let origin = Origin::saying("hello");
    let cookie = "cookie = { name = \"shop_user\", domain = \"shop.example\", path = \"/x\", same_site = \"none\", max_age = \"48h\" }";
    let proxy =
        Setup::to(&[&origin, &origin]).split(&[50, 50]).service(&format!("sticky = [\"cookie\"]\n{cookie}")).start();
    let answer = client::send(proxy.address, get("/"));
    let set = answer.header("set-cookie").unwrap_or_default().to_owned();
    let (pair, attributes) = set.split_once(';').unwrap();
    let wanted = " Path=/x; Domain=shop.example; Max-Age=172800; HttpOnly; SameSite=None; Secure";
    assert!(pair.starts_with("shop_user=") && pair.len() == "shop_user=".len() + 32, "{set}");
    assert_eq!(attributes, wanted);
    let known = client::send(proxy.address, with(&[&format!("Cookie: {pair}")]));
    assert_eq!(known.header("set-cookie"), None, "it is known again");
    let other = pair.replace("shop_user", "pointsman_id");
    assert!(client::send(proxy.address, with(&[&format!("Cookie: {other}")])).header("set-cookie").is_some());
}

//! Which requests are copied, what a copy is, and that users and the counters of versions see nothing of it.

use serde_json::Value;

use crate::support::{Origin, Proxy, Setup, eventually, get, post, with};

/// What the mirror of the site has found.
pub(super) fn found(proxy: &Proxy) -> Value {
    proxy.call("GET", "/v1/services/site/mirror", "")
}

/// Waits until the mirror has compared this many pairs.
#[track_caller]
pub(super) fn await_pairs(proxy: &Proxy, pairs: u64) -> Value {
    eventually(&format!("{pairs} pairs"), || found(proxy)["pairs"] == pairs);
    found(proxy)
}

fn origins() -> [Origin; 2] {
    [Origin::saying("old"), Origin::saying("new")]
}

/// A proxy that copies all requests to `v2`; with more lines for the mirror.
fn mirrored(origins: &[Origin; 2], more: &str) -> Setup {
    let [old, new] = origins;
    Setup::to(&[old, new]).service(&format!("mirror = {{ to = \"v2\", share = 100, {more} }}"))
}

#[test]
fn a_copy_is_the_same_request_with_a_mark_and_counts_for_no_version() {
    let origins = origins();
    let proxy = mirrored(&origins, "compare = { body = \"exact\" }").start();
    let answer = proxy.client().ask("GET /a?x=1 HTTP/1.1\r\nHost: a\r\nCookie: user=ada\r\nAccept: text/html\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "old"));
    let pairs = await_pairs(&proxy, 1);
    assert_eq!(pairs["differences"]["body"], 1, "{pairs:#}");
    let [user, copy] = origins.each_ref().map(Origin::only);
    assert_eq!((copy.line(), copy.header("x-pointsman-mirror")), (user.line(), Some("1")));
    assert!(!user.has("x-pointsman-mirror"));
    for name in ["host", "cookie", "accept", "x-request-id", "x-forwarded-for", "via"] {
        assert_eq!(copy.header(name), user.header(name), "{name}");
    }
    let of_v2 = ["version=\"v2\""];
    for name in ["pointsman_requests_total", "pointsman_first_attempts_total", "pointsman_upstream_failures_total"] {
        assert_eq!(proxy.metric(name, &of_v2), 0.0, "{name}");
    }
    proxy.await_metric("pointsman_requests_total", &["version=\"v1\""], 1.0);
}

#[test]
fn only_named_methods_are_copied_and_bodies_up_to_a_size() {
    let origins = origins();
    let proxy = mirrored(&origins, "methods = [\"POST\"], body_bytes_max = \"1KiB\"").start();
    let mut client = proxy.client();
    assert_eq!(client.ask(get("/")).text(), "old");
    assert_eq!(client.ask(post("/small", "a small body")).text(), "old");
    assert_eq!(client.ask(post("/large", &"x".repeat(2_000))).text(), "old");
    let chunked = "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(client.ask(chunked).text(), "old");
    let long: String = "400\r\n".to_owned() + &"y".repeat(1024) + "\r\n1\r\nz\r\n0\r\n\r\n";
    let chunked = format!("POST /long HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{long}");
    assert_eq!(client.ask(chunked).text(), "old");
    let pairs = await_pairs(&proxy, 2);
    eventually("drops are counted", || found(&proxy)["dropped"]["bytes"] == 2);
    assert_eq!((&pairs["dropped"]["method"], &pairs["dropped"]["in_flight"]), (&1.into(), &0.into()));
    let mut copies: Vec<_> = origins[1].seen().iter().map(|seen| (seen.target().to_owned(), seen.text())).collect();
    copies.sort();
    assert_eq!(copies, [("/chunked".to_owned(), "abc".to_owned()), ("/small".to_owned(), "a small body".to_owned())]);
    assert_eq!(origins[0].seen()[2].text().len(), 2_000, "users' requests are whole");
}

#[test]
fn a_copy_is_not_copied_again_and_only_a_trusted_proxy_may_say_that_it_is_one() {
    for (listener, marked) in [("trusted_proxies = [\"127.0.0.1\"]", true), ("", false)] {
        let origins = origins();
        let proxy = mirrored(&origins, "").listener(listener).start();
        let mut client = proxy.client();
        client.ask(with(&["X-Pointsman-Mirror: 1"]));
        client.ask(get("/last"));
        await_pairs(&proxy, if marked { 1 } else { 2 });
        assert_eq!(origins[1].seen().len(), if marked { 1 } else { 2 });
        assert_eq!(origins[0].seen()[0].has("x-pointsman-mirror"), marked);
    }
}

#[test]
fn upgrades_and_requests_of_the_same_version_are_not_copied() {
    let origins = origins();
    let proxy = mirrored(&origins, "").split(&[50, 50]).start();
    let mut client = proxy.client();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    client.ask(with(&["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key]));
    (0..200).for_each(|_| _ = client.ask(get("/")));
    let by_user = origins[0].seen().iter().filter(|seen| !seen.has("upgrade")).count();
    let pairs = await_pairs(&proxy, by_user as u64);
    assert_eq!(origins[1].seen().iter().filter(|seen| seen.has("x-pointsman-mirror")).count(), by_user, "{pairs:#}");
    assert!((50..150).contains(&by_user), "{by_user}");
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let origins = origins();
    let [old, new] = &origins;
    let proxy = Setup::to(&[old, new]).service("mirror = { to = \"v2\", share = 10 }").start();
    let mut client = proxy.client();
    (0..2_000).for_each(|_| _ = client.ask(get("/")));
    eventually("no copy is under way", || found(&proxy)["in_flight"] == 0);
    let copies = new.seen().len();
    // Six standard deviations.
    assert!((120..=280).contains(&copies), "{copies}");
}

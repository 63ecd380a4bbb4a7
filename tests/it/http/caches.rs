//! Rule 30: what responses tell the caches between the proxy and its users, shown by a cache that keeps to it.

use std::collections::HashMap;

use crate::support::h2::{H2Client, request};
use crate::support::{Answer, Origin, Proxy, Reply, Setup, client, get, with};

/// An origin whose every response any cache may keep.
fn public(body: &'static str) -> Origin {
    Origin::with(move |_| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nVary: Accept-Encoding";
        Reply::raw(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    })
}

/// A shared cache of one URL: it stores what it may, and takes a stored response for a request whose headers are those
/// that `Vary` names (RFC 9111, 3 and 4.1).
#[derive(Default)]
struct SharedCache {
    stored: Vec<(HashMap<String, Option<String>>, Answer)>,
    hits: usize,
}

impl SharedCache {
    fn ask(&mut self, proxy: &Proxy, lines: &[&str]) -> &Answer {
        let sent = |name: &str| {
            let lines = lines.iter().filter_map(|line| line.split_once(": "));
            lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
        };
        let fits = |(names, _): &(HashMap<String, Option<String>>, Answer)| {
            names.iter().all(|(name, value)| sent(name) == *value)
        };
        if let Some(index) = self.stored.iter().position(fits) {
            self.hits += 1;
            return &self.stored[index].1;
        }
        let answer = client::send(proxy.address, with(lines));
        let control = answer.header("cache-control").unwrap_or_default().to_owned();
        let names = answer.header("vary").unwrap_or_default().split(", ").map(str::to_owned);
        let key = names.map(|name| (name.clone(), sent(&name))).collect();
        if control.contains("private") || control.contains("no-store") {
            // Where the next request does not find it.
            self.stored.push((HashMap::from([("no such header".to_owned(), Some(String::new()))]), answer));
        } else {
            self.stored.push((key, answer));
        }
        &self.stored.last().unwrap().1
    }
}

/// How many of 40 users a cache hands another version than they have, or a cookie that another user has, and its hits.
fn mixed_up(proxy: &Proxy, user: impl Fn(usize) -> String) -> (usize, usize) {
    let (mut cache, mut cookies, mut wrong) = (SharedCache::default(), Vec::new(), 0);
    for number in 0..40 {
        let line = user(number);
        let own = client::send(proxy.address, with(&[&line])).text();
        let through = cache.ask(proxy, &[&line]);
        let cookie = through.header("set-cookie").map(str::to_owned);
        let is_known = cookie.as_ref().is_some_and(|cookie| cookies.contains(cookie));
        // Users without a key are drawn anew each time: only their cookies tell.
        let is_other = cookie.is_none() && through.text() != own;
        wrong += usize::from(is_known || is_other);
        cookies.extend(cookie);
    }
    (wrong, cache.hits)
}

#[test]
fn a_cache_hands_nobody_the_version_or_the_cookie_of_another_user() {
    let origins = [public("v1"), public("v2")];
    let setup = || Setup::to(&[&origins[0], &origins[1]]);
    let header = |number: usize| format!("X-User: {}", number % 20);
    let cookie = |number: usize| format!("Cookie: uid={}", number % 20);
    let nothing = |_: usize| "X-Nothing: 1".to_owned();
    for (service, user) in [
        ("sticky = [\"header:x-user\"]", &header as &dyn Fn(usize) -> String),
        ("sticky = [\"cookie:uid\"]", &cookie),
        ("sticky = [\"cookie\"]", &nothing),
    ] {
        let (wrong, hits) = mixed_up(&setup().split(&[50, 50]).service(service).start(), user);
        // A user who comes again is found, but for one with a new cookie each time.
        assert_eq!((wrong, hits), (0, if service.contains("\"cookie\"") { 0 } else { 20 }), "{service}");
        let off = format!("{service}\ncache_headers = false");
        let (wrong, hits) = mixed_up(&setup().split(&[50, 50]).service(&off).start(), user);
        assert!(wrong > 0 && hits == 39, "{service}: without it {wrong} users get what is not theirs in {hits} hits");
    }
    let rule = "sticky = [\"query:u\"]\n[[services.site.rules]]\nuse = \"v2\"\nwhen.header.x-user = { regex = \"^1\" }";
    let (wrong, hits) = mixed_up(&setup().service(rule).start(), header);
    assert_eq!((wrong, hits), (0, 20));
}

#[test]
fn a_response_says_no_more_than_what_decides_at_the_moment() {
    let origins = [public("v1"), public("v2")];
    let proxy = Setup::to(&[&origins[0], &origins[1]]).service("sticky = [\"header:x-user\", \"cookie\"]").start();
    let heads = |lines: &[&str]| {
        let answer = client::send(proxy.address, with(lines));
        let header = |name| answer.header(name).unwrap_or_default().to_owned();
        (header("vary"), header("cache-control"))
    };
    let pair = |vary: &str, control: &str| (vary.to_owned(), control.to_owned());
    let (known, public) = (["X-User: 7"], "public, max-age=600");
    assert_eq!(heads(&known), pair("Accept-Encoding", public));
    // There is nothing to split, but the cookie is one user's.
    assert_eq!(heads(&[]), pair("Accept-Encoding", "max-age=600, private"));
    proxy.put("/v1/services/site/split", "{\"v1\": 90, \"v2\": 10}");
    assert_eq!(heads(&known), pair("Accept-Encoding, x-user, cookie", public));
    assert_eq!(heads(&[]), pair("Accept-Encoding, x-user, cookie", "max-age=600, private"));
    proxy.put("/v1/services/site/split", "{\"v1\": 0, \"v2\": 100}");
    assert_eq!(heads(&known), pair("Accept-Encoding", public));
}

#[test]
fn every_status_is_told_and_local_replies_are_not() {
    for status in ["304 Not Modified", "404 Not Found", "500 Internal Server Error"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let origin = Origin::with(move |_| Reply::raw(&head));
        let proxy = Setup::to(&[&origin, &origin]).split(&[50, 50]).service("sticky = [\"cookie\"]").start();
        let answer = proxy.client().ask(get("/"));
        assert_eq!(
            (answer.header("vary"), answer.header("cache-control")),
            (Some("cookie"), Some("private")),
            "{status}"
        );
    }
    let origin = Origin::with(|_| Reply::raw("garbage\r\n\r\n"));
    let proxy = Setup::to(&[&origin, &origin]).split(&[50, 50]).service("sticky = [\"cookie\"]").start();
    let answer = proxy.client().ask(get("/"));
    assert_eq!((answer.status, answer.header("vary"), answer.header("set-cookie")), (502, None, None));
}

#[test]
fn streams_are_told_as_well() {
    let origin = public("v1");
    let proxy =
        Setup::to(&[&origin, &origin]).split(&[50, 50]).listener("h2c = true").service("sticky = [\"cookie\"]").start();
    let answer = H2Client::to(proxy.address).ask(request("GET", "http://a/", &[]));
    let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("cache-control").as_deref(), Some("max-age=600, private"));
    assert_eq!(header("vary").as_deref(), Some("Accept-Encoding, cookie"));
}

//! Flags over HTTP, on a listener of their own and on that of a site: calls, errors, tokens, pages of other origins.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::client::{Answer, send};
use crate::support::h2::{H2Client, request};
use crate::support::{Client, Origin, Proxy, Setup, eventually, get};

/// A listener of its own on any port.
const OWN: &str = "[ofrep]\naddress = \"127.0.0.1:0\"";

/// A flag of each kind.
const FLAGS: &str = r#"
[attributes]
plan = "header:x-plan"
[flags.a-constant]
variants = { small = 1.0, large = 2.5 }
default = "small"
[flags.b-always]
rules = [{ name = "everybody", serve = "on" }]
[flags.c-disabled]
enabled = false
rules = [{ serve = "on" }]
[flags.d-pros]
variants = { none = "", some = "a \"quoted\" text" }
default = "none"
rules = [{ name = "pros", when = { attribute = { plan = "pro" } }, serve = "some" }]
[flags.e-drawn]
variants = { off = { limit = 1 }, on = { limit = 2 } }
default = "off"
salt = "service:site"
rules = [{ name = "launch", serve = { on = 40, off = 60 } }]
[flags.f-version]
follows = { service = "site", v2 = "on" }
"#;

fn start(v1: &Origin, v2: &Origin, listener: &str, more: &str) -> Proxy {
    let setup = Setup::to(&[v1, v2]).split(&[60, 40]).listener(listener).bottom(&format!("{FLAGS}\n{OWN}\n{more}"));
    setup.service("sticky = [\"header:x-user-id\"]").start()
}

fn call(path: &str, headers: &[&str], body: &str) -> String {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!("POST /ofrep/v1/{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{lines}\r\n{body}")
}

fn context(key: &str, plan: &str) -> String {
    json!({ "context": { "targetingKey": key, "plan": plan } }).to_string()
}

fn parsed(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// Asks for all flags; the values by key.
fn values(address: SocketAddr, headers: &[&str], body: &str) -> Vec<(String, Value)> {
    let answer = send(address, call("evaluate/flags", headers, body));
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = parsed(&answer);
    let flags = body["flags"].as_array().expect("a list").iter();
    flags.map(|flag| (flag["key"].as_str().expect("a text").to_owned(), flag["value"].clone())).collect()
}

#[test]
fn one_flag_and_all_of_them_are_answered() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "", "");
    let mut client = Client::to(proxy.ofrep());
    for (flag, plan, wanted) in [
        ("a-constant", "", json!(["STATIC", "small", 1.0])),
        ("b-always", "", json!(["STATIC", "on", true])),
        ("c-disabled", "", json!(["DISABLED", "off", false])),
        ("d-pros", "pro", json!(["TARGETING_MATCH", "some", "a \"quoted\" text"])),
        ("d-pros", "free", json!(["UNKNOWN", "none", ""])),
    ] {
        let answer = client.ask(call(&format!("evaluate/flags/{flag}"), &[], &context("ann", plan)));
        let found = parsed(&answer);
        assert_eq!(json!([found["reason"], found["variant"], found["value"]]), wanted, "{flag} {plan}: {found}");
        assert_eq!((answer.status, &found["key"]), (200, &json!(flag)));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert!(client.ask(call("evaluate/flags/a-constant", &[], &context("ann", ""))).text().contains("\"value\":1.0,"));
    let all = values(proxy.ofrep(), &[], &context("ann", "pro"));
    let keys: Vec<_> = all.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a-constant", "b-always", "c-disabled", "d-pros", "e-drawn", "f-version"]);
    assert!(v1.seen().is_empty() && v2.seen().is_empty(), "no endpoint is asked");
    proxy.await_metric("pointsman_ofrep_calls_total", &["evaluated"], 7.0);
}

#[test]
fn a_program_gets_the_flags_of_the_version_that_its_user_gets() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "ofrep = true", "");
    let mut on = 0;
    for user in (0..100).map(|number| format!("user-{number}")) {
        let header = format!("X-User-Id: {user}");
        let version = send(proxy.address, format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n")).text();
        let by_key = values(proxy.ofrep(), &[], &context(&user, "pro"));
        let by_request = values(proxy.address, &[&header, "X-Plan: pro"], &context("someone-else", "free"));
        assert_eq!(by_key, by_request, "{user}: both doors say the same");
        let on_v2 = version == "v2";
        assert_eq!(by_key[4].1, json!({ "limit": if on_v2 { 2 } else { 1 } }), "{user} is drawn as the split draws");
        assert_eq!(by_key[5].1, json!(on_v2), "{user} follows");
        on += usize::from(on_v2);
    }
    assert!((20..60).contains(&on), "{on} of 100");
}

#[test]
fn on_a_site_the_word_of_the_client_counts_for_nothing() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "ofrep = true", "");
    let claims = context("user-1", "pro");
    let nobody = send(proxy.address, call("evaluate/flags", &[], &claims));
    let flags = parsed(&nobody)["flags"].clone();
    let of = |key: &str| flags.as_array().expect("a list").iter().find(|flag| flag["key"] == key).expect(key).clone();
    assert_eq!(of("d-pros")["value"], "", "an attribute of the context is no attribute");
    for unknown in ["e-drawn", "f-version"] {
        assert_eq!((&of(unknown)["reason"], &of(unknown)["variant"]), (&json!("UNKNOWN"), &json!("off")), "{unknown}");
    }
    assert_eq!(values(proxy.address, &["X-Plan: pro"], &claims)[3].1, "a \"quoted\" text");
    // Other paths are the site's.
    assert!(send(proxy.address, get("/ofrep/v2/x")).text().starts_with('v'));
    let without = start(&v1, &v2, "", "");
    assert!(send(without.address, call("evaluate/flags", &[], &claims)).text().starts_with('v'), "not asked for");
}

#[test]
fn a_site_gives_a_new_user_a_key_and_knows_it_again() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let setup = Setup::to(&[&v1, &v2]).split(&[50, 50]).listener("ofrep = true").bottom(FLAGS);
    let proxy = setup.service("sticky = [\"cookie\"]").start();
    let mut both = [0, 0];
    for _ in 0..20 {
        let first = send(proxy.address, call("evaluate/flags", &[], &context("", "")));
        let cookie = first.header("set-cookie").expect("a key").split(';').next().expect("a pair").to_owned();
        let cookie = format!("Cookie: {cookie}");
        let again = send(proxy.address, call("evaluate/flags", &[&cookie], &context("", "")));
        assert_eq!((again.header("set-cookie"), again.text()), (None, first.text()), "the same user");
        let version = send(proxy.address, format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n\r\n")).text();
        assert_eq!(parsed(&first)["flags"][5]["value"], json!(version == "v2"));
        both[usize::from(version == "v2")] += 1;
    }
    assert!(both[0] > 0 && both[1] > 0, "{both:?}");
}

#[test]
fn what_is_wrong_with_a_call_is_said_in_the_protocols_words() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "", "");
    let megabytes = json!({ "context": { "targetingKey": "a", "x": "y".repeat(3 << 20) } }).to_string();
    let chunked = format!(
        "POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n{}\r\n",
        "x".repeat(0x20000)
    );
    for (path, body, status, code, key) in [
        ("evaluate/flags/b-always", "", 400, "PARSE_ERROR", "b-always"),
        ("evaluate/flags/b-always", "[1]", 400, "PARSE_ERROR", "b-always"),
        ("evaluate/flags", "{", 400, "PARSE_ERROR", ""),
        ("evaluate/flags", "{}", 400, "INVALID_CONTEXT", ""),
        ("evaluate/flags", "{\"context\":7}", 400, "INVALID_CONTEXT", ""),
        ("evaluate/flags/b-always", "{\"context\":{\"targetingKey\":7}}", 400, "INVALID_CONTEXT", "b-always"),
        ("evaluate/flags", &megabytes, 400, "INVALID_CONTEXT", ""),
        ("evaluate/flags/e-drawn", "{\"context\":{}}", 400, "TARGETING_KEY_MISSING", "e-drawn"),
        ("evaluate/flags/f-version", "{\"context\":{}}", 400, "TARGETING_KEY_MISSING", "f-version"),
        ("evaluate/flags/nothing", "{\"context\":{}}", 404, "FLAG_NOT_FOUND", "nothing"),
        ("evaluate/flags/a%20b", "{\"context\":{}}", 404, "FLAG_NOT_FOUND", "a b"),
        ("configuration", "{}", 404, "GENERAL", ""),
    ] {
        let answer = send(proxy.ofrep(), call(path, &[], body));
        let said = parsed(&answer);
        assert_eq!((answer.status, said["errorCode"].as_str()), (status, Some(code)), "{path}: {said}");
        assert!(said["errorDetails"].as_str().is_some_and(|details| !details.is_empty()), "{path}: {said}");
        assert_eq!(said["key"].as_str().unwrap_or(""), key, "{path}: {said}");
    }
    let endless = send(proxy.ofrep(), chunked);
    assert_eq!((endless.status, &parsed(&endless)["errorCode"]), (400, &json!("INVALID_CONTEXT")));
    let no_key = "{\"context\":{}}";
    assert_eq!(send(proxy.ofrep(), call("evaluate/flags/b-always", &[], no_key)).status, 200, "nothing is drawn");
    let bulk = parsed(&send(proxy.ofrep(), call("evaluate/flags", &[], no_key)));
    let codes: Vec<_> =
        bulk["flags"].as_array().expect("a list").iter().map(|flag| flag["errorCode"].clone()).collect();
    let missing = json!("TARGETING_KEY_MISSING");
    assert_eq!(codes, [json!(null), json!(null), json!(null), json!(null), missing.clone(), missing]);
    let wrong = send(proxy.ofrep(), get("/ofrep/v1/evaluate/flags"));
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(send(proxy.ofrep(), get("/")).status, 404, "this listener has no site");
    proxy.await_metric("pointsman_ofrep_calls_total", &["flag_not_found"], 2.0);
}

#[test]
fn a_result_that_the_client_has_is_not_sent_again() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "", "");
    let bulk = |headers: &[&str], body: &str| send(proxy.ofrep(), call("evaluate/flags", headers, body));
    let first = bulk(&[], &context("ann", "pro"));
    let tag = first.header("etag").expect("a tag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = bulk(&[&format!("If-None-Match: {known}")], &context("ann", "pro"));
        assert_eq!((again.status, again.text().as_str(), again.header("etag")), (304, "", Some(&*tag)), "{known}");
    }
    let known = format!("If-None-Match: {tag}");
    let changed = bulk(&[&known], &context("ann", "free"));
    assert_eq!(changed.status, 200, "the attribute has changed, and the key has not");
    assert_ne!(changed.header("etag"), Some(&*tag));
    // Another revision that changes nothing for this user.
    proxy.put("/v1/services/site/split", "{\"v1\":59.999,\"v2\":40.001}");
    let later = bulk(&[&known], &context("ann", "pro"));
    assert_eq!(later.status, 304);
    let order = |tag: &str| tag.trim_matches('"').split('-').next().and_then(|text| text.parse::<u64>().ok());
    assert!(order(later.header("etag").expect("a tag")) > order(&tag), "{later:?}");
    proxy.put("/v1/services/site/split", "{\"v1\":0,\"v2\":100}");
    proxy.put("/v1/services/site/split", "{\"v1\":100,\"v2\":0}");
    let (before, after) = (values(proxy.ofrep(), &[], &context("ann", "pro")), bulk(&[&known], &context("ann", "pro")));
    let moved = before[5].1 != parsed(&first)["flags"][5]["value"];
    assert_eq!(after.status, if moved { 200 } else { 304 });
}

#[test]
fn callers_need_a_token_where_there_are_some() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    let tokens = format!("[ofrep.tokens.backend]\nfile = \"{}\"", file.display());
    let proxy = start(&v1, &v2, "ofrep = true", &tokens);
    let ask = |headers: &[&str]| send(proxy.ofrep(), call("evaluate/flags/b-always", headers, &context("ann", "")));
    for (headers, status) in [
        (&["Authorization: Bearer 0123456789abcdef0123456789abcdef"][..], 200),
        (&["authorization: bearer  0123456789abcdef0123456789abcdef "], 200),
        (&["X-API-Key: 0123456789abcdef0123456789abcdef"], 200),
        (&[], 401),
        (&["Authorization: Bearer 0123456789abcdef0123456789abcdee"], 401),
        (&["Authorization: Basic 0123456789abcdef0123456789abcdef"], 401),
        (&["X-API-Key: "], 401),
        (&["Authorization: Bearer no", "X-API-Key: 0123456789abcdef0123456789abcdef"], 401),
    ] {
        let answer = ask(headers);
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{headers:?}");
    }
    assert_eq!(send(proxy.address, call("evaluate/flags", &[], &context("ann", ""))).status, 200, "a site has none");
    std::fs::write(&file, "fedcba9876543210fedcba9876543210\n").unwrap();
    eventually("the new token is in use", || ask(&["X-API-Key: fedcba9876543210fedcba9876543210"]).status == 200);
    assert_eq!(ask(&["X-API-Key: 0123456789abcdef0123456789abcdef"]).status, 401, "and the old one is not");
}

#[test]
fn pages_of_listed_origins_may_ask_and_read_the_tag() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
    let more = format!("origins = [\"https://shop.example.com\"]\n[ofrep.tokens.page]\nfile = \"{}\"", file.display());
    let proxy = start(&v1, &v2, "ofrep = true", &more);
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /ofrep/v1/evaluate/flags HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,if-none-match\r\n\r\n"
        )
    };
    let allowed = send(proxy.ofrep(), preflight("https://shop.example.com"));
    assert_eq!(
        (allowed.status, allowed.header("access-control-allow-origin")),
        (204, Some("https://shop.example.com"))
    );
    assert_eq!(allowed.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    let headers = allowed.header("access-control-allow-headers").expect("headers").to_ascii_lowercase();
    for needed in ["authorization", "content-type", "if-none-match", "x-api-key"] {
        assert!(headers.contains(needed), "{headers}");
    }
    let foreign = send(proxy.ofrep(), preflight("https://evil.example"));
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (403, None));
    let from = |origin: &str, token: &str| {
        let headers = [format!("Origin: {origin}"), format!("X-API-Key: {token}")];
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        send(proxy.ofrep(), call("evaluate/flags", &headers, &context("ann", "")))
    };
    let good = from("https://shop.example.com", "0123456789abcdef0123456789abcdef");
    assert_eq!((good.status, good.header("access-control-allow-origin")), (200, Some("https://shop.example.com")));
    assert!(good.header("access-control-expose-headers").is_some_and(|names| names.contains("ETag")), "{good:?}");
    let no_token = from("https://shop.example.com", "no");
    assert_eq!(no_token.status, 401);
    assert!(no_token.header("access-control-allow-origin").is_some(), "the page may read why");
    assert_eq!(from("https://evil.example", "0123456789abcdef0123456789abcdef").status, 403);
    assert_eq!(from("http://a", "0123456789abcdef0123456789abcdef").status, 200, "its own origin");
    let site = send(proxy.address, call("evaluate/flags", &["Origin: https://evil.example"], &context("ann", "")));
    assert_eq!((site.status, site.header("access-control-allow-origin")), (200, None), "and a page cannot read it");
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_ask_again() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "", "rate = { requests = 1, per = \"1h\", burst = 3 }");
    let mut client = Client::to(proxy.ofrep());
    let answers: Vec<_> = (0..5).map(|_| client.ask(call("evaluate/flags", &[], &context("ann", "")))).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
    let seconds = answers[4].header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| (3000..=3600).contains(&seconds)), "{seconds:?}");
}

#[test]
fn http2_gets_the_same() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "ofrep = true\nh2c = true", "");
    let mut client = H2Client::to(proxy.address);
    let wrong = client.ask(request("GET", "http://a/ofrep/v1/evaluate/flags", &[]));
    assert_eq!(
        (wrong.status, wrong.headers.get("allow").map(|allow| allow.as_bytes())),
        (405, Some(&b"POST, OPTIONS"[..]))
    );
    let empty = client.ask(request("POST", "http://a/ofrep/v1/evaluate/flags/b-always", &[]));
    assert_eq!(empty.status, 400);
    assert!(empty.text().contains("PARSE_ERROR") && empty.text().contains("b-always"), "{}", empty.text());
}

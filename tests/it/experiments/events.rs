//! Events of users at both doors: what is refused and how, ids that come again, tokens, rates, pages of other origins.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, send};
use crate::support::process::{Process, config};
use crate::support::{Client, Origin, Proxy, Setup, eventually, get};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const EXPERIMENT: &str = r#"
[experiments.button]
service = "site"
arms = { control = "v1", treatment = "v2" }
[[experiments.button.metrics]]
name = "revenue"
kind = "mean"
event = "order_value"
covariate = true
"#;

struct Site {
    proxy: Proxy,
    folder: tempfile::TempDir,
    origins: [Origin; 2],
}

/// A site whose public listener takes events.
fn site(events: &str) -> Site {
    let origins = ["v1", "v2"].map(Origin::saying);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.token");
    std::fs::write(&file, TOKEN).unwrap();
    let setup = Setup::to(&[&origins[0], &origins[1]]).listener("events = true");
    let setup = setup.service("sticky = [\"header:x-user-id\"]");
    let tokens = format!("[events]\n{events}\n[events.tokens.shop]\nfile = \"{}\"\n{EXPERIMENT}", file.display());
    Site { proxy: setup.bottom(&tokens).start(), folder, origins }
}

fn call(headers: &[&str], body: &str) -> String {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!("POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{lines}\r\n{body}")
}

const JSON: &str = "Content-Type: application/json";

fn key() -> String {
    format!("Authorization: Bearer {TOKEN}")
}

fn post(proxy: &Proxy, body: &str) -> Answer {
    send(proxy.address, call(&[&key(), JSON], body))
}

fn post_as_operator(proxy: &Proxy, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{JSON}\r\nContent-Length: {length}\r\n\r\n{body}",
        proxy.admin
    );
    send(proxy.admin, request)
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn event(id: &str, user: &str, value: &str) -> String {
    format!(r#"{{"id": "{id}", "event": "order_value", "targetingKey": "{user}", "value": {value}}}"#)
}

#[test]
fn both_doors_refuse_the_same_batches_in_the_same_words() {
    let Site { proxy, origins, .. } = site("");
    let future = r#"[{"id": "1", "event": "order_value", "targetingKey": "a", "at": "2126-01-01T00:00:00Z"}]"#;
    let unknown = r#"[{"id": "1", "event": "order_valeu", "targetingKey": "a"}]"#;
    let large = format!("[{}]", vec![event("1", &"u".repeat(1000), "1"); 300].join(","));
    let huge = format!("[{}]", vec![event("1", &"u".repeat(1000), "1"); 4000].join(","));
    for (body, status, word, wanted) in [
        (format!("[{}]", event("1", "a", "NaN")), 422, "invalid", r#"[1].value: found \"NaN\", want a number"#),
        (format!("[{}]", event("1", "a", "1e999")), 400, "bad_json", "the body is not good JSON: "),
        (future.to_owned(), 422, "invalid", "want a time that is not in the future"),
        (unknown.to_owned(), 422, "invalid", r#"did you mean \"order_value\"?"#),
        ("{}".to_owned(), 422, "invalid", "body: found an object, want a list of events"),
        ("[7]".to_owned(), 422, "invalid", "[1]: found the number 7, want an object"),
        ("[]".to_owned(), 422, "invalid", "body: found 0 events, want 1 to 1000"),
        ("[".to_owned(), 400, "bad_json", "cut off"),
        (String::new(), 400, "bad_json", "the body is empty"),
        (large, 413, "body_too_large", "want at most 262144 bytes"),
    ] {
        for answer in [post(&proxy, &body), post_as_operator(&proxy, &body)] {
            let shown = &body[..body.len().min(100)];
            assert_eq!(answer.status, status, "{shown}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{shown}");
            assert_eq!(parsed(&answer)["type"], format!("urn:pointsman:problem:{word}"), "{shown}");
            assert!(answer.text().contains(wanted), "{shown}: want {wanted}: {}", answer.text());
        }
    }
    assert_eq!(post(&proxy, &huge).status, 413, "megabytes");
    let both = parsed(&post(&proxy, &format!("[{}, {}]", event("1", "a", "null"), event("2", "", "1"))));
    let places: Vec<_> = both["problems"].as_array().unwrap().iter().map(|problem| problem["where"].clone()).collect();
    assert_eq!(places, ["[1].value", "[2].targetingKey"], "all at once: {both}");
    assert!(origins.iter().all(|origin| origin.seen().is_empty()), "no endpoint is asked");
    proxy.await_metric("pointsman_event_calls_total", &["\"invalid\""], 13.0);
}

#[test]
fn the_events_of_a_metric_are_known_as_soon_as_a_reload_brings_it_and_no_longer_than_it_stays() {
    let (folder, nowhere) = (tempfile::tempdir().unwrap(), ([127, 0, 0, 1], 9).into());
    let file = folder.path().join("pointsman.toml");
    let write = |metrics: &str| std::fs::write(&file, config(nowhere, nowhere, metrics)).unwrap();
    let metric = |event: &str| format!("[metrics.money]\nkind = \"mean\"\nevent = \"{event}\"\n");
    write(&metric("refund_value"));
    let process = Process::start(&file);
    let post = |name: &str| {
        let body = json!([{ "id": name, "event": name, "targetingKey": "ann" }]);
        process.send(Method::POST, "/v1/events", body).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(post("refund_value"), Ok(()));
    let refused = post("order_value").expect_err("no metric asks for it");
    assert!(refused.contains("order_value"), "{refused}");
    write(&metric("order_value"));
    eventually("the new event is known", || post("order_value").is_ok());
    let refused = post("refund_value").expect_err("no metric asks for it any more");
    assert!(refused.contains("refund_value"), "{refused}");
}

#[test]
fn an_event_counts_once_and_the_answer_says_what_became_of_it() {
    let Site { proxy, origins: _origins, .. } = site("");
    let early = parsed(&post(&proxy, &format!("[{}]", event("early", "ann", "1"))));
    assert_eq!(
        (&early["events"], &early["outcomes"]["for_no_metric"]),
        (&json!(1), &json!(1)),
        "nothing runs: {early}"
    );
    let started = proxy.call("POST", "/v1/experiments/button/start", "{}");
    assert!(started["revision"].as_u64().is_some(), "{started}");
    let visit = "GET / HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\n\r\n";
    let arm = send(proxy.address, visit).text();
    let batch = format!("[{}, {}]", event("o-1", "ann", "12.5"), event("o-2", "ghost", "1"));
    let mut first = Value::Null;
    eventually("ann is exposed", || {
        first = parsed(&post(&proxy, &batch));
        first["outcomes"]["counted"] == 1
    });
    assert_eq!(first["outcomes"]["of_users_who_were_not_exposed"], 1, "{first}");
    assert_eq!(first["trials"][0]["experiment"], "button", "{first}");
    let again = parsed(&post_as_operator(&proxy, &batch));
    let outcomes = &again["outcomes"];
    assert_eq!((&outcomes["sent_again"], &outcomes["counted"]), (&json!(1), &json!(0)), "by the other door: {again}");
    let twice = format!("[{0}, {0}]", event("o-3", "ann", "2"));
    let twice = parsed(&post(&proxy, &twice));
    assert_eq!((&twice["outcomes"]["counted"], &twice["outcomes"]["sent_again"]), (&json!(1), &json!(1)), "{twice}");
    let before = r#"[{"id": "c-1", "covariate": "revenue", "targetingKey": "ann", "value": 40}]"#;
    assert_eq!(parsed(&post(&proxy, before))["outcomes"]["counted"], 1);
    let line =
        send(proxy.admin, format!("GET /v1/experiments/button/export HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.admin));
    let line = parsed(&line);
    assert_eq!(line["feature_flag.result.variant"], arm, "{line}");
    assert_eq!(line["values"], json!({ "revenue": 14.5, "revenue.covariate": 40.0 }), "{line}");
}

#[test]
fn only_callers_with_a_token_get_in() {
    let Site { proxy, folder, origins: _origins } = site("");
    let body = format!("[{}]", event("1", "ann", "1"));
    for (headers, status) in [
        (vec![key()], 200),
        (vec![format!("X-API-Key: {TOKEN}")], 200),
        (vec![], 401),
        (vec!["Authorization: Bearer 0123456789abcdef0123456789abcdee".to_owned()], 401),
        (vec![format!("Authorization: Basic {TOKEN}")], 401),
    ] {
        let headers: Vec<_> = headers.iter().map(String::as_str).chain([JSON]).collect();
        let answer = send(proxy.address, call(&headers, &body));
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
    assert_eq!(send(proxy.address, call(&[&key()], &body)).status, 415, "no content type");
    let asked = send(proxy.address, get("/v1/events"));
    assert_eq!((asked.status, asked.header("allow")), (405, Some("POST, OPTIONS")));
    let other = send(proxy.address, get("/v1/events/more"));
    assert_eq!(other.text(), "v1", "other paths are the site's: {other:?}");
    std::fs::write(folder.path().join("events.token"), "fedcba9876543210fedcba9876543210").unwrap();
    let new = || send(proxy.address, call(&["X-API-Key: fedcba9876543210fedcba9876543210", JSON], &body));
    eventually("the new token is in use", || new().status == 200);
    assert_eq!(post(&proxy, &body).status, 401, "and the old one is not");
}

#[test]
fn a_token_that_sends_too_often_is_told_when_to_come_again() {
    let Site { proxy, .. } = site("rate = { requests = 1, per = \"1h\", burst = 3 }");
    let body = format!("[{}]", event("1", "ann", "1"));
    let mut client = Client::to(proxy.address);
    let answers: Vec<_> = (0..5).map(|_| client.ask(call(&[&key(), JSON], &body))).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
    let wait: u64 = answers[3].header("retry-after").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
    assert_eq!(post_as_operator(&proxy, &body).status, 200, "operators have no such limit");
    proxy.await_metric("pointsman_event_calls_total", &["\"rate_limited\""], 2.0);
}

#[test]
fn pages_of_listed_origins_may_send_events() {
    let Site { proxy, .. } = site("origins = [\"https://shop.example.com\"]");
    let body = format!("[{}]", event("1", "ann", "1"));
    let from = |origin: &str| send(proxy.address, call(&[&key(), JSON, &format!("Origin: {origin}")], &body));
    let good = from("https://shop.example.com");
    assert_eq!((good.status, good.header("access-control-allow-origin")), (200, Some("https://shop.example.com")));
    assert_eq!((from("https://evil.example").status, from("http://a").status), (403, 200));
    let preflight = "OPTIONS /v1/events HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example.com\r\n\
                     Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n";
    let allowed = send(proxy.address, preflight);
    assert_eq!((allowed.status, allowed.header("access-control-allow-methods")), (204, Some("POST, OPTIONS")));
}

#[test]
fn a_listener_without_the_key_leaves_the_path_to_the_site() {
    let origins = ["v1", "v2"].map(Origin::saying);
    let proxy = Setup::to(&[&origins[0], &origins[1]]).start();
    assert_eq!(send(proxy.address, call(&[JSON], "[]")).text(), "v1");
}

#[test]
fn what_is_asked_of_experiments_is_refused_in_words() {
    let Site { proxy, .. } = site("");
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.admin);
        send(proxy.admin, request)
    };
    let list = parsed(&ask("/v1/experiments"));
    assert_eq!(list["experiments"][0]["state"], "never_started", "{list}");
    assert_eq!(list["experiments"][0]["metrics"][0]["event"], "order_value", "{list}");
    let one = parsed(&ask("/v1/experiments/button"));
    assert_eq!((&one["result"], &one["runs"]), (&Value::Null, &json!([])), "{one}");
    for (path, status, wanted) in [
        ("/v1/experiments/buton", 404, "button"),
        ("/v1/experiments/button/export", 409, "never started"),
        ("/v1/experiments/button/export?format=xml&limit=0&after=zz", 422, "16 hexadecimal digits"),
        ("/v1/experiments/button?dry_run", 422, "an unknown parameter"),
    ] {
        let answer = ask(path);
        assert!(answer.status == status && answer.text().contains(wanted), "{path}: {answer:?}");
    }
    assert_eq!(parsed(&ask("/v1/status"))["experiments"][0]["name"], "button");
    // A ledger that has not answered within a second, as on a busy machine, is told to be late.
    eventually("nothing is wrong with the ledger", || {
        let status = parsed(&ask("/v1/status"));
        status["ledger"].is_object() && status["ledger"]["problem"].is_null()
    });
}

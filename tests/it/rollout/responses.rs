//! Ways of being wrong without a 5xx, on real sockets: which are turned back, held, promoted; and changes that are
//! right.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::release::{Operator, id, last_words, visitors};
use crate::support::{Origin, Reply, Setup};

/// Requests a second.
const BUSY: u32 = 600;

/// Thirty pages, so that one of them is a small part.
fn pages() -> Vec<String> {
    (0..30).map(|number| format!("/page/{number}")).collect()
}

/// A page as v1 has it: its length depends on the path.
fn page(path: &str, longer: f64) -> String {
    let number: usize = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    let length = ((1_000 + 50 * number) as f64 * longer) as usize;
    let body = " ".repeat(length);
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A version that answers so, beside one that answers with its pages; the first of each thousand as the part says.
fn version(of_thousand: u64, wrong: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Origin {
    let calls = Arc::new(AtomicU64::new(0));
    Origin::forgetful(move |seen| {
        let call = calls.fetch_add(1, SeqCst);
        if call * 389 % 1_000 < of_thousand { wrong(seen.target()) } else { Reply::raw(page(seen.target(), 1.0)) }
    })
}

/// What is judged: not latency, which is another matter; from the first request on.
fn plan() -> Value {
    plan_of(&json!([50, 100]))
}

fn plan_of(steps: &Value) -> Value {
    let judge = json!({ "warm_up": "0s", "slower": false, "requests_min": 1_000, "tolerate_burst": "250ms" });
    json!({ "steps": steps, "bake": "4s", "judge": judge })
}

/// How a rollout of `v2` goes: its last words, and the view.
fn rolled_out(v2: &Origin, service: &str) -> (&'static str, Value) {
    let v1 = version(0, |_| unreachable!("v1 is well"));
    let proxy = Setup::to(&[&v1, v2]).service(service).start();
    let operator = Operator::at(proxy.admin);
    let paths = pages();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let load = Load::start(visitors(proxy.address, &paths, BUSY, false));
    load.await_more(50);
    let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan()})));
    let end = |view: &Value| match (view["phase"].as_str(), view["ending"].as_str()) {
        (Some("finished"), Some("rolled_back")) => Some("turned back"),
        (Some("finished"), Some("completed")) => Some("promoted"),
        // The bake is over, and only the finding holds it.
        _ if view["evidence"][0]["why"] == "responses" && view["bake_left_seconds"] == 0.0 => Some("held"),
        _ => None,
    };
    let view = operator.until(rollout, "at an end", |view| end(view).is_some());
    let end = end(&view).unwrap_or("at no end");
    drop(load);
    (end, view)
}

fn words(view: &Value) -> String {
    let sentence = view["evidence"][0]["sentence"].as_str().unwrap_or_default();
    format!("{sentence} | {}", last_words(view))
}

type Wrong = fn(&str) -> Reply;

fn bare(head: &str) -> Reply {
    Reply::raw(format!("HTTP/1.1 {head}\r\n\r\n"))
}

/// Ways of being wrong, and what becomes of a version that is so always, and in a fifth of its responses.
const WAYS: [(&str, Wrong, [&str; 2]); 14] = [
    ("404", |_| bare("404 Not Found\r\nContent-Length: 0"), ["turned back", "held"]),
    ("410", |_| bare("410 Gone\r\nContent-Length: 0"), ["turned back", "held"]),
    ("401", |_| bare("401 Unauthorized\r\nContent-Length: 0"), ["turned back", "held"]),
    ("403", |_| bare("403 Forbidden\r\nContent-Length: 0"), ["turned back", "held"]),
    ("400", |_| bare("400 Bad Request\r\nContent-Length: 0"), ["turned back", "held"]),
    ("429", |_| bare("429 Too Many Requests\r\nContent-Length: 0"), ["turned back", "held"]),
    ("302", |_| bare("302 Found\r\nLocation: /login\r\nContent-Length: 0"), ["turned back", "held"]),
    ("304", |_| bare("304 Not Modified"), ["turned back", "held"]),
    ("204", |_| bare("204 No Content"), ["turned back", "held"]),
    ("empty 200", |_| bare("200 OK\r\nContent-Type: text/html\r\nContent-Length: 0"), ["held", "held"]),
    (
        "error page",
        |_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 19\r\n\r\n<h1>We are sorry</h1"),
        ["held", "held"],
    ),
    ("body x 30", |path| Reply::raw(page(path, 30.0)), ["held", "held"]),
    ("other type", |path| Reply::raw(page(path, 1.0).replace("text/html", "application/json")), ["held", "held"]),
    (
        "cut body",
        |_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\nbegun").close(),
        ["turned back", "turned back"],
    ),
];

fn goes_as_it_should(ways: &[(&str, Wrong, [&str; 2])]) {
    for (name, wrong, wants) in ways {
        for (of_thousand, want) in [1_000, 200].into_iter().zip(wants) {
            let (end, view) = rolled_out(&version(of_thousand, *wrong), "");
            println!("{name}, {} %: {end}: {}", of_thousand / 10, words(&view));
            assert_eq!(end, *want, "{name}, {of_thousand} of 1,000: {view:#}");
        }
    }
}

#[test]
fn what_is_gone_or_forbidden_is_never_promoted() {
    goes_as_it_should(&WAYS[..4]);
}

#[test]
fn what_is_refused_or_led_away_is_never_promoted() {
    goes_as_it_should(&WAYS[4..9]);
}

#[test]
fn another_body_is_held_and_a_cut_one_turned_back() {
    goes_as_it_should(&WAYS[9..]);
}

#[test]
fn a_version_that_rightly_differs_is_promoted() {
    let grown = version(1_000, |path| Reply::raw(page(path, 1.2)));
    let without_a_page = version(1_000, |path| match path {
        "/page/7" => bare("404 Not Found\r\nContent-Length: 0"),
        path => Reply::raw(page(path, 1.0)),
    });
    for (name, v2) in [("grown by 20 %", grown), ("without one of thirty pages", without_a_page)] {
        let (end, view) = rolled_out(&v2, "");
        println!("{name}: {end}: {}", words(&view));
        assert_eq!(end, "promoted", "{name}: {view:#}");
    }
}

#[test]
fn an_operator_promotes_over_a_finding_and_is_not_asked_again() {
    let v1 = version(0, |_| unreachable!("v1 is well"));
    let v2 = version(1_000, |path| Reply::raw(page(path, 3.0)));
    let proxy = Setup::to(&[&v1, &v2]).service("").start();
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/page/1", "/page/2"], BUSY, true));
    let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan_of(&json!([40, 60, 100]))})));
    let held = operator.until(rollout, "held", |view| view["evidence"][0]["why"] == "responses");
    let found = &held["evidence"][0]["responses"][0];
    assert_eq!(
        (&found["class"], &found["turns_back"], &found["accepted"]),
        (&json!("long"), &json!(false), &json!(false))
    );
    assert_eq!(found["candidate"]["responses"], found["candidate"]["in_class"], "{held:#}");
    assert_eq!(found["baseline"]["in_class"], 0, "{held:#}");
    proxy.await_metric("pointsman_judge_finding", &["service=\"site\"", "class=\"long\""], 1.0);
    assert_eq!(proxy.metric("pointsman_judge_finding", &["service=\"site\"", "class=\"empty\""]), 0.0);
    operator.order(rollout, "promote").expect("an operator may");
    let over = operator.until_ended(rollout, "completed");
    println!("{}", last_words(&over));
    load.end_well();
}

#[test]
fn a_plan_may_ask_nothing_of_some_paths_or_at_all() {
    for responses in [json!({"except": ["/page/"]}), json!({"status": "off", "length": "off", "type": "off"})] {
        let v1 = version(0, |_| unreachable!("v1 is well"));
        let v2 = version(1_000, |_| bare("404 Not Found\r\nContent-Length: 0"));
        let proxy = Setup::to(&[&v1, &v2]).service("").start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(visitors(proxy.address, &["/page/1"], BUSY, false));
        let mut plan = plan();
        plan["judge"]["responses"] = responses;
        let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan})));
        operator.until_ended(rollout, "completed");
        drop(load);
    }
}

//! Routes that are judged by themselves: a rare page that fails, a slow one beside long polls, and a healthy release
//! whose paths have numbers in them.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::release::{Mood, Operator, id, last_words, visitors};
use crate::support::{Origin, Proxy, Reply, Setup};

/// A version with long polls, with the page `page`, whose health can be turned, and with others.
fn version(page: &'static str) -> (Origin, Arc<Mood>) {
    let mood = Arc::<Mood>::default();
    let its = Arc::clone(&mood);
    let origin = Origin::forgetful(move |seen| match seen.target() {
        path if path.starts_with("/poll") => {
            Reply::default().pause(900).then("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        path if path.starts_with(page) => its.reply("ok"),
        _ => Reply::ok("ok"),
    });
    (origin, mood)
}

fn site(v1: &Origin, v2: &Origin, judge: &str) -> (Proxy, Operator) {
    let plan = format!("rollout = {{ steps = [10, 100], bake = \"10m\", judge = {{ warm_up = \"0s\", {judge} }} }}");
    let proxy = Setup::to(&[v1, v2]).service(&plan).start();
    let operator = Operator::at(proxy.admin);
    (proxy, operator)
}

/// As many paths, one of which is `page`.
fn one_of(paths: usize, page: &str) -> Vec<String> {
    (0..paths).map(|number| if number == paths / 2 { page.to_owned() } else { format!("/p{}", number % 7) }).collect()
}

fn load(proxy: &Proxy, paths: &[String], per_second: u32) -> Load {
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    Load::start(visitors(proxy.address, &paths, per_second, false))
}

fn polls(proxy: &Proxy) -> Load {
    Load::start(visitors(proxy.address, &["/poll"], 10, false))
}

fn route<'v>(rollout: &'v Value, path: &str) -> &'v Value {
    let routes = rollout["evidence"][0]["routes"].as_array().unwrap();
    routes.iter().find(|route| route["path"] == path).unwrap_or_else(|| panic!("no {path} in {rollout:#}"))
}

#[test]
fn a_rare_page_that_always_fails_is_found_within_ten_of_its_failures() {
    let ((v1, _), (v2, new)) = (version("/checkout"), version("/checkout"));
    let (proxy, operator) = site(&v1, &v2, "slower = false");
    let (load, polls) = (load(&proxy, &one_of(400, "/checkout"), 800), polls(&proxy));
    let rollout = id(&operator.start(json!({ "service": "site", "to": "v2" })));
    operator.until_pages_are_judged(rollout, 8);
    new.failing.store(1_000, SeqCst);
    let over = operator.until_ended_within(Duration::from_secs(400), rollout, "rolled_back");
    let failed = new.failed.load(SeqCst);
    assert!(failed <= 12, "{failed} failures, some of them while it was turned back: {over:#}");
    assert!(last_words(&over).contains("rolled back site v2: /checkout: "), "{over:#}");
    let found = &over["evidence"][0];
    assert_eq!((&found["why"], &found["leading"]), (&json!("route"), &json!("route")), "{over:#}");
    let page = route(&over, "/checkout");
    assert_eq!((&page["fault"], &page["turns_back"]), (&json!("failures"), &json!(true)), "{over:#}");
    assert!(page["candidate"]["bad"].as_u64() <= Some(10) && page["baseline"]["bad"] == 0, "{page:#}");
    let shown = proxy.metric("pointsman_judge_evidence", &["test=\"routes\""]);
    assert!((shown - found["log10_e_routes"].as_f64().unwrap()).abs() < 1e-9, "{shown}: {found:#}");
    load.end();
    polls.end();
}

#[test]
fn a_page_that_becomes_slower_is_found_beside_long_polls() {
    let ((v1, _), (v2, new)) = (version("/report"), version("/report"));
    let (proxy, operator) = site(&v1, &v2, "slower = 3, tolerate_burst = \"0s\"");
    // Each request counts for itself: a busy machine has bursts of its own.
    // So rare that it moves none of the quantiles that all requests together are compared by.
    let (load, polls) = (load(&proxy, &one_of(80, "/report"), 400), polls(&proxy));
    let rollout = id(&operator.start(json!({ "service": "site", "to": "v2" })));
    operator.until_pages_are_judged(rollout, 8);
    new.delay_ms.store(1_000, SeqCst);
    let over = operator.until_ended_within(Duration::from_secs(240), rollout, "rolled_back");
    let words = last_words(&over);
    assert!(words.contains("/report: ") && words.contains("requests took more than 3 times the "), "{over:#}");
    load.end();
    polls.end();
}

#[test]
fn a_healthy_release_with_numbers_in_its_paths_completes_and_has_few_routes() {
    let ((v1, _), (v2, _)) = (version("/none"), version("/none"));
    let (proxy, operator) = site(&v1, &v2, "requests_min = 100, slower = 3");
    let paths: Vec<_> = (0..3_000_u32)
        .map(|number| match number % 3 {
            0 => format!("/users/{}/orders", number.wrapping_mul(2_654_435_761)),
            1 => format!("/{}", number.wrapping_mul(2_246_822_519)),
            _ => format!("/api/v1/r{}", number % 20),
        })
        .collect();
    let load = load(&proxy, &paths, 600);
    let plan = json!({ "bake": "6s", "watch": "1s" });
    let rollout = id(&operator.start(json!({ "service": "site", "to": "v2", "plan": plan })));
    let view = operator.until_pages_are_judged(rollout, 5);
    assert!(view["evidence"][0]["routes_judged"].as_u64() <= Some(32), "{view:#}");
    operator.until_ended(rollout, "completed");
    load.end();
}

#[test]
fn routes_can_be_left_out() {
    let ((v1, _), (v2, _)) = (version("/none"), version("/none"));
    let (proxy, operator) = site(&v1, &v2, "routes = false");
    let alarm = |routes: bool| {
        let plan = json!({ "judge": { "routes": routes } });
        let dry = operator.dry_run(json!({ "service": "site", "to": "v2", "plan": plan }));
        dry["rollout"]["evidence"][0]["log10_alarm"].as_f64().unwrap()
    };
    let (with, without) = (alarm(true), alarm(false));
    assert!(with > without && with < without + 0.05, "{with} {without}");
    drop(proxy);
}

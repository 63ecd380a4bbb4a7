//! Results from logs: of users who went through a whole proxy, and of lines that mean nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::command::experiment;
use crate::support::{Origin, Setup};

const EXPERIMENT: &str = r#"
[experiments.button]
service = "shop"
arms = { control = "v1", treatment = "v2" }
window = "1h"
[[experiments.button.metrics]]
name = "purchase"
kind = "conversion"
when = { method = "POST", path = "/orders" }
[[experiments.button.metrics]]
name = "revenue"
kind = "mean"
event = "order_value"
[[experiments.button.metrics]]
name = "basket"
kind = "ratio"
event = "order_value"
denominator = "order"
guardrail = true
"#;

const SERVICE: &str = r#"
[listeners.a]
address = "127.0.0.1:0"
[services.shop]
sticky = ["header:x-user"]
split = { v1 = 50, v2 = 50 }
versions.v1.endpoints = ["10.0.0.1:80"]
versions.v2.endpoints = ["10.0.0.2:80"]
"#;

/// The result of a log by the config, as JSON, or what was wrong.
fn result(config: &str, log: &str) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("c.toml"), config).unwrap();
    fs::write(path("log"), log).unwrap();
    let (code, output, errors) =
        experiment(&["result", "button", "--config", &path("c.toml"), "--log", &path("log"), "--json"], "");
    if code == 0 { Ok(serde_json::from_str(&output).unwrap()) } else { Err(errors) }
}

fn exposure(user: &str, version: &str, at: u64) -> Value {
    json!({
        "timestamp": at, "feature_flag.key": "shop", "feature_flag.context.id": user,
        "feature_flag.result.variant": version,
    })
}

/// Users go through a proxy that splits them in halves; the log is written from what they saw, and the result has to be
/// the sums that the origins counted.
#[test]
fn users_of_a_whole_proxy_come_out_as_the_origins_counted_them() {
    const USERS: usize = 1500;
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = Setup::to(&[&v1, &v2]).service("sticky = [\"header:x-user\"]").split(&[50, 50]).start();
    let (seed, mut log) = (7_u64, String::new());
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut client = proxy.client();
    for number in 0..USERS {
        let (user, at) = (format!("user-{number}"), number as u64);
        let mut ask = |method: &str, path: &str| {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\nContent-Length: 0\r\n\r\n");
            client.ask(head).text()
        };
        // Users come back, some more than others; each time they are exposed.
        let version = ask("GET", "/");
        for visit in 0..number % 3 {
            assert_eq!(ask("GET", "/more"), version, "users stay");
            writeln!(log, "{}", exposure(&user, &version, at + 10_000 + visit as u64)).unwrap();
        }
        writeln!(log, "{}", exposure(&user, &version, at)).unwrap();
        let buys = random.random_bool(if version == "v2" { 0.12 } else { 0.1 });
        for order in 0..if buys { 1 + number % 2 } else { 0 } {
            ask("POST", "/orders");
            let line = json!({
                "at": at + 1000, "targetingKey": user, "http.request.method": "POST", "url.path": "/orders",
                "http.response.status_code": 200,
            });
            let value = json!({
                "at": at + 1000, "targetingKey": user, "event": "order_value", "value": 10 + order,
                "id": format!("{user}-{order}"),
            });
            // A batch that is sent twice.
            writeln!(log, "{line}\n{value}\n{value}").unwrap();
        }
    }
    let result = result(&format!("{SERVICE}{EXPERIMENT}"), &log).unwrap();
    for (origin, arm) in [(&v1, "control"), (&v2, "treatment")] {
        let seen = origin.seen();
        let users = |method: &str| -> BTreeSet<String> {
            let of_method = seen.iter().filter(|request| request.line().starts_with(method));
            of_method.map(|request| request.header("x-user").expect("a user").to_owned()).collect()
        };
        let orders = seen.iter().filter(|request| request.line().starts_with("POST")).count();
        assert_eq!(result[arm]["users"], users("GET").len(), "{arm}");
        assert_eq!(result["metrics"][0][arm]["sum"], users("POST").len() as f64, "{arm}");
        let second = orders - users("POST").len();
        assert_eq!(result["metrics"][1][arm]["sum"], (10 * orders + second) as f64, "{arm}");
    }
    assert_eq!((&result["in_both_arms"], &result["comparable"]), (&0.into(), &true.into()));
    assert!(result["events"]["sent_again"].as_u64() > Some(100), "{}", result["events"]);
}

#[test]
fn arms_windows_and_ids_of_a_log_are_those_of_the_experiment() {
    let event = |user: &str, id: &str, at: u64, value: f64| json!({ "at": at, "targetingKey": user, "event": "order_value", "value": value, "id": id });
    let at = 1_000_000;
    let lines = [
        // An event that stands before its user's exposure counts, one that happened before does not.
        event("a", "1", at + 5, 3.0),
        event("a", "2", at - 5, 100.0),
        exposure("a", "v1", at),
        exposure("b", "v2", at),
        exposure("c", "v2", at),
        exposure("c", "v1", at + 1),
        event("c", "3", at + 2, 100.0),
        event("b", "4", at + 3_600_000, 4.0),
        event("b", "5", at + 3_600_001, 100.0),
        event("nobody-knows", "6", at, 100.0),
        exposure("d", "v3", at),
        json!({ "at": "1970-01-01T00:16:45Z", "targetingKey": "b", "event": "order" }),
        json!({ "at": at + 1, "targetingKey": "b", "event": "other" }),
    ];
    let log: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let result = result(&format!("{SERVICE}{EXPERIMENT}"), &log).unwrap();
    let metric = &result["metrics"][1];
    assert_eq!((&metric["control"]["sum"], &metric["treatment"]["sum"]), (&3.0.into(), &4.0.into()));
    assert_eq!((&metric["control"]["users"], &result["in_both_arms"]), (&1.into(), &1.into()));
    let wanted = json!({
        "counted": 3, "sent_again": 0, "for_no_metric": 1, "of_users_who_were_not_exposed": 1,
        "of_users_in_both_arms": 1, "before_the_exposure": 1, "after_the_window": 1, "exposures_of_others": 1,
    });
    assert_eq!(result["events"], wanted);
}

#[test]
fn lines_that_mean_nothing_are_refused_with_all_of_them() {
    let config = format!("{SERVICE}{EXPERIMENT}");
    let lines = [
        "nope",
        "[1]",
        "{\"a\": 1, \"b\": 2}",
        "{\"feature_flag.result.variant\": \"v1\", \"at\": 1}",
        "{\"event\": \"order_value\", \"targetingKey\": \"u\", \"at\": 1, \"value\": \"12\"}",
        "{\"event\": \"order_value\", \"targetingKey\": \"u\", \"at\": 4102444800000}",
        "{\"event\": \"order_value\", \"targetingKey\": \"u\", \"at\": \"tomorrow\"}",
        "{\"event\": \"order_value\", \"targetingKey\": \"\", \"at\": 1}",
        "{\"event\": \"order_value\", \"targetingKey\": \"u\", \"at\": 1, \"value\": 1e999}",
        "{\"http.response.status_code\": 200, \"url.path\": \"/\", \"at\": 1, \"targetingKey\": \"u\"}",
        "{\"feature_flag.result.variant\": \"v1\", \"feature_flag.context.id\": \"u\", \"at\": 1, \"share\": 100}",
    ];
    let errors = result(&config, &lines.join("\n")).unwrap_err();
    for wanted in [
        "line 1: found no object of JSON",
        "line 2: found no object of JSON",
        "line 3: found an object with a, b, want feature_flag.result.variant",
        "line 4: found feature_flag.context.id: none",
        "line 5: found value: \"12\", want a number",
        "line 6: found at: 4102444800000, want a time that is not in the future",
        "line 7: found at: \"tomorrow\", want a time such as",
        "line 8: found targetingKey: \"\", want what identifies the user",
        "line 9: found no object of JSON: number out of range",
        "line 10: found http.request.method: none",
        "line 11: found share: 100, want per cent",
    ] {
        assert!(errors.contains(wanted), "{wanted}:\n{errors}");
    }
    let errors = result(SERVICE, "").unwrap_err();
    assert!(errors.contains("found no experiment \"button\""), "{errors}");
    let errors = result("[experiments.button]\n", "").unwrap_err();
    assert!(errors.contains("experiments.button.service: found neither service nor flag"), "{errors}");
    for bad in [&["result"][..], &["result", "button"], &["result", "button", "--sums", "x"], &["result", "--log", "x"]]
    {
        assert_eq!(experiment(bad, "").0, 64, "{bad:?}");
    }
}

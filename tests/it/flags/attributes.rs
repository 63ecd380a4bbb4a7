//! Rules over attributes: what a request says in one way or another, and what `explain` tells of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::{Origin, Proxy, Setup};

const TOP: &str = r#"
[attributes]
plan = ["header:x-plan", "cookie:plan", "jwt:plan"]
email = "jwt:email"
app = "query:app"
[segments.staff]
attribute = { email = { suffix = "@example.com" } }
[segments.paying]
attribute = { plan = ["team", "pro"] }
"#;

const RULES: &str = r#"
[[services.site.rules]]
name = "new-apps-of-those-who-pay"
when = { segment = "paying", attribute = { app = { semver = ">=2.1" } } }
use = "v2"
[[services.site.rules]]
name = "staff"
when = { segment = "staff" }
use = "v2"
"#;

fn start(v1: &Origin, v2: &Origin) -> Proxy {
    Setup::to(&[v1, v2]).top(TOP).bottom(RULES).start()
}

fn bearer(payload: &serde_json::Value) -> String {
    format!("Authorization: Bearer e30.{}.x", URL_SAFE_NO_PAD.encode(payload.to_string()))
}

#[test]
fn rules_see_attributes_wherever_they_come_from() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2);
    let (ann, bob) = (json!({ "email": "ann@example.com" }), json!({ "email": "bob@example.org", "plan": "pro" }));
    for (path, headers, version) in [
        ("/", vec![], "v1"),
        ("/?app=v2.1", vec![], "v1"),
        ("/?app=v2.1", vec!["X-Plan: pro".to_owned()], "v2"),
        ("/?app=v2.1", vec!["Cookie: plan=team".to_owned()], "v2"),
        ("/?app=2.10.0-rc.1", vec![bearer(&bob)], "v2"),
        ("/?app=2.0.9", vec![bearer(&bob)], "v1"),
        ("/?app=two", vec![bearer(&bob)], "v1"),
        // The first source that has a value decides; an empty value is none.
        ("/?app=3", vec!["X-Plan: free".to_owned(), bearer(&bob)], "v1"),
        ("/?app=3", vec!["X-Plan: ".to_owned(), bearer(&bob)], "v2"),
        ("/", vec![bearer(&ann)], "v2"),
        ("/", vec![bearer(&json!({ "email": "ann@example.com.evil" }))], "v1"),
    ] {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let answer = proxy.client().ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).text();
        assert_eq!(answer, version, "{path} {headers:?}");
    }
}

#[test]
fn explain_shows_attributes_and_which_segments_hold() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2);
    let asked = json!({ "host": "a", "path": "/?app=1.0", "headers": { "x-plan": "team" } });
    let explained = proxy.call("POST", "/v1/explain", &asked.to_string());
    assert_eq!(explained["attributes"], json!({ "plan": "team", "app": "1.0" }), "{explained}");
    assert_eq!(explained["segments"], json!({ "paying": true, "staff": false }), "{explained}");
    let plain = Setup::to(&[&v1]).start().explain("/");
    assert!(plain.get("attributes").is_none() && plain.get("segments").is_none(), "{plain}");
}

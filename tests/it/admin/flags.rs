//! Flags by the admin API: shown, changed, asked.

use pointsman::testing::table::hash::Salt;
use pointsman::testing::table::spec::flag::{DrawSpec, FlagSource, FlagSpec, Variant};
use serde_json::{Value, json};

use crate::support::control::Control;
use crate::support::spec::{flag, name};

fn theme() -> FlagSpec {
    let mut theme = flag("theme", "classic=100 modern=0");
    theme.source = FlagSource::Service(name("shop"), vec![(name("v2"), 1)]);
    theme
}

/// The flag `new` at 10 %, with `true` and `false`, and one that follows the shop.
fn control() -> Control {
    let mut new = flag("new", "off=90 on=10");
    let value = |text: &str, json: &str| Variant { name: name(text), json: json.into() };
    new.variants = vec![value("off", "false"), value("on", "{\"limit\":1.50}")];
    if let FlagSource::Rules { rules, .. } = &mut new.source {
        rules.remove(0);
    }
    Control::with_flags(vec![new, theme()])
}

async fn put(control: &Control, body: &Value) -> Value {
    let reply = control.send("PUT /v1/flags/new", &body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[tokio::test]
async fn flags_are_shown_with_what_the_file_says() {
    let control = control();
    let all = control.get("/v1/flags").await;
    assert_eq!(all.header("etag"), Some("\"1\""));
    let rule = json!({ "name": "launch", "conditional": false, "serve": { "off": 90.0, "on": 10.0 },
        "file_serve": { "off": 90.0, "on": 10.0 } });
    let new = json!({
        "name": "new", "enabled": true, "default": "off", "salt": "new", "rules": [rule],
        "variants": [{ "name": "off", "value": false }, { "name": "on", "value": { "limit": 1.5 } }],
        "file_enabled": true, "differs_from_file": false, "services": [],
    });
    assert_eq!(all.json()["flags"][0], new);
    let follows = json!({ "service": "shop", "variants": { "v2": "modern" } });
    let theme = control.get("/v1/flags/theme").await.json();
    assert_eq!((&theme["follows"], &theme["salt"], &theme["rules"]), (&follows, &Value::Null, &json!([])));
    put(&control, &json!({ "serve": { "on": 33.333, "off": 66.667 }, "enabled": false })).await;
    let changed = control.get("/v1/flags/new").await.json();
    assert_eq!(changed["rules"][0]["serve"], json!({ "off": 66.667, "on": 33.333 }));
    assert_eq!((&changed["enabled"], &changed["differs_from_file"]), (&json!(false), &json!(true)));
    assert_eq!(control.get("/v1/status").await.json()["flags"][0], changed);
    let refused = control.get("/v1/flags/nwe").await;
    assert_eq!(refused.refusal(404), ["flag: unknown flag \"nwe\""]);
    assert_eq!(refused.json()["problems"][0]["remedy"], "did you mean \"new\"?");
    assert!(Control::start().get("/v1/status").await.json().get("flags").is_none());
}

#[tokio::test]
async fn a_launch_is_answered_once_in_force_and_is_a_revision() {
    let control = control();
    let body = json!({ "rule": "launch", "serve": { "on": 50, "off": 50 }, "reason": "half" }).to_string();
    let dry = control.send("PUT /v1/flags/new?dry_run=true", &body).await.json();
    let weights =
        json!([{ "variant": "off", "from": 90.0, "to": 50.0 }, { "variant": "on", "from": 10.0, "to": 50.0 }]);
    let rule = json!({ "rule": "launch", "weights": weights, "moved_ratio": 0.4, "minimum_ratio": 0.4 });
    let flags = json!([{ "flag": "new", "was_enabled": true, "enabled": true, "default": "off", "rules": [rule] }]);
    assert_eq!(dry, json!({ "revision": 1, "changed": true, "dry_run": true, "difference": [], "flags": flags }));
    let json_with = |tag: u32| format!("content-type: application/json\r\nif-match: \"{tag}\"\r\n");
    control.call("PUT /v1/flags/new", &json_with(7), &body).await.refusal(412);
    assert_eq!(control.table().revision, 1);
    let done = control.call("PUT /v1/flags/new", &json_with(1), &body).await;
    assert_eq!((done.status, done.header("etag")), (200, Some("\"2\"")));
    assert_eq!(done.json()["flags"], flags);
    let revision = control.get("/v1/revisions/2").await.json();
    assert_eq!(
        (&revision["action"], &revision["author"], &revision["reason"]),
        (&json!("flag"), &json!("local"), &json!("half"))
    );
    assert_eq!((&revision["flags"], &revision["difference"]), (&flags, &json!([])));
    assert_eq!(put(&control, &json!({ "serve": { "on": 50, "off": 50 } })).await["changed"], false);

    let off = put(&control, &json!({ "enabled": false })).await;
    assert_eq!(off["flags"][0]["rules"][0]["moved_ratio"], 0.5, "those who have it lose it");
    let silent = put(&control, &json!({ "serve": "on" })).await;
    assert_eq!(silent["warnings"], json!(["new is disabled: all users have off until it is enabled"]));
    assert_eq!(silent["flags"][0]["rules"][0]["moved_ratio"], 0.0);

    let back = control.send("POST /v1/rollback", r#"{"to": 1, "flags": ["new"]}"#).await.json();
    assert_eq!((&back["restores"], &back["flags"][0]["enabled"]), (&json!(1), &json!(true)), "{back}");
    let undone = control.send("POST /v1/rollback", r#"{"services": ["shop"]}"#).await;
    undone.refusal(409);
    let names = control.send("POST /v1/rollback", r#"{"flags": ["nwe", 5], "services": []}"#).await;
    assert_eq!(names.refusal(422), ["flags[2]: 5", "services: an empty list", "flags[1]: unknown flag \"nwe\""]);
}

#[tokio::test]
async fn wrong_changes_of_flags_are_told_at_once_and_change_nothing() {
    let control = control();
    for (path, body, status, wanted) in [
        ("new", "{}", 422, vec!["body: nothing to change"]),
        ("new", "[]", 422, vec!["body: a list"]),
        ("new", "\"on\"", 422, vec!["body: a string"]),
        ("new", r#"{"enabled": "no"}"#, 422, vec!["enabled: \"no\""]),
        ("new", r#"{"enabeld": false}"#, 422, vec!["enabeld: the unknown key \"enabeld\""]),
        ("new", r#"{"rule": "launch"}"#, 422, vec!["serve: nothing"]),
        ("new", r#"{"serve": 50}"#, 422, vec!["serve: 50"]),
        ("new", r#"{"serve": "onn"}"#, 422, vec!["serve: \"onn\""]),
        ("new", r#"{"serve": {}}"#, 422, vec!["serve: weights that sum to 0"]),
        ("new", r#"{"serve": {"on": 50, "off": 60}}"#, 422, vec!["serve: weights that sum to 110"]),
        ("new", r#"{"serve": {"on": -1, "off": 1e9}}"#, 422, vec!["serve.off: 1000000000.0", "serve.on: -1"]),
        (
            "new",
            r#"{"rule": "lanuch", "serve": {"on": 10, "of": 90}, "reason": 1}"#,
            422,
            vec!["reason: 1", "rule: unknown rule \"lanuch\"", "serve.of: \"of\""],
        ),
        ("nwe", r#"{"enabled": false}"#, 404, vec!["flag: unknown flag \"nwe\""]),
        ("theme", r#"{"serve": "modern"}"#, 422, vec!["serve: a flag that follows the service shop, and has no rules"]),
        (
            "theme",
            r#"{"rule": "launch", "serve": "modern"}"#,
            422,
            vec!["rule: a flag that follows the service shop, and has no rules"],
        ),
    ] {
        let reply = control.send(&format!("PUT /v1/flags/{path}"), body).await;
        let mut found = reply.refusal(status);
        found.sort();
        assert_eq!(found, wanted, "{path} {body}");
    }
    let remedy = async |body: &str| {
        control.send("PUT /v1/flags/new", body).await.json()["problems"][0]["remedy"].as_str().unwrap().to_owned()
    };
    assert_eq!(remedy(r#"{"rule": "lanuch", "serve": "on"}"#).await, "did you mean \"launch\"?");
    assert_eq!(remedy(r#"{"serve": {"onn": 100}}"#).await, "did you mean \"on\"?");
    control.send("PUT /v1/flags/new", "{\"enabled\": nul}").await.refusal(400);
    let huge = format!("{{\"context\": {{\"a\": \"{}\"}}}}", "x".repeat(2 << 20));
    assert_eq!(control.send("POST /v1/flags/new/evaluate", &huge).await.status, 413);
    assert_eq!(control.table().revision, 1);
}

#[tokio::test]
async fn an_evaluation_says_what_a_user_gets_and_why() {
    let control = control();
    let ask = async |flag: &str, context: Value| {
        let body = json!({ "context": context }).to_string();
        let reply = control.send(&format!("POST /v1/flags/{flag}/evaluate"), &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let salt = Salt::new("new");
    let user = |wanted: bool| {
        let mut keys = (0..).map(|number| format!("user-{number}"));
        keys.find(|key| (salt.slot(key.as_bytes()) < 10_000) == wanted).expect("one of them")
    };
    for (launched, variant, value) in [(true, "on", json!({ "limit": 1.5 })), (false, "off", json!(false))] {
        let key = user(launched);
        let found = ask("new", json!({ "targetingKey": key, "plan": "pro", "nested": { "a": [1] } })).await;
        let slot = salt.slot(key.as_bytes());
        assert_eq!((&found["variant"], &found["value"], &found["revision"]), (&json!(variant), &value, &json!(1)));
        assert_eq!(
            (&found["reason"], &found["rule"], &found["slot"]),
            (&json!("split"), &json!("launch"), &json!(slot))
        );
        assert!(found["why"].as_str().unwrap().contains(&format!("slot {slot}, which {variant} owns in rule launch")));
    }
    let none = ask("new", json!({})).await;
    assert_eq!((&none["variant"], &none["reason"], none.get("rule")), (&json!("off"), &json!("no_key"), None));
    let follower = ask("theme", json!({ "targetingKey": "ann" })).await;
    assert!(["followed", "default"].contains(&follower["reason"].as_str().unwrap()), "{follower}");
    put(&control, &json!({ "serve": "on" })).await;
    let all = ask("new", json!({})).await;
    assert_eq!((&all["reason"], &all["rule"], &all["variant"]), (&json!("rule"), &json!("launch"), &json!("on")));
    put(&control, &json!({ "enabled": false })).await;
    assert_eq!(ask("new", json!({})).await["reason"], "disabled");
    for (body, wanted) in [
        (r#"{"context": {"targetingKey": 5}}"#, "context.targetingKey: 5"),
        (r#"{"context": []}"#, "context: a list"),
        (r#"{"contxet": {}}"#, "contxet: the unknown key \"contxet\""),
        ("[1]", "body: a list"),
    ] {
        assert_eq!(control.send("POST /v1/flags/new/evaluate", body).await.refusal(422), [wanted], "{body}");
    }
    control.send("POST /v1/flags/nwe/evaluate", "{}").await.refusal(404);
}

#[tokio::test]
async fn a_flag_that_is_drawn_as_a_service_is_told_of_when_that_draws_anew() {
    let mut new = flag("new", "off=90 on=10");
    if let FlagSource::Rules { draw, .. } = &mut new.source {
        *draw = DrawSpec::Service(name("cart"));
    }
    let control = Control::with_flags(vec![new]);
    let shift = async |body: &str| control.send("PUT /v1/services/cart/split?dry_run=true", body).await.json();
    let warning =
        "flag new draws users as cart does, which draws anew: 18 % of those of rule launch get another variant";
    assert_eq!(shift(r#"{"v1": 90, "v2": 10}"#).await["warnings"], json!([warning]), "a release begins");
    assert_eq!(shift(r#"{"v2": 100}"#).await.get("warnings"), None, "a flip draws nobody anew");
    // So does a rollout, whose steps have no answer.
    let rollout = async |plan: &str| {
        let body = format!(r#"{{"service": "cart", "plan": {plan}}}"#);
        let said = control.send("POST /v1/rollouts?dry_run=true", &body).await.json();
        said["warnings"].as_array().unwrap_or_else(|| panic!("{said:#}")).contains(&json!(warning))
    };
    assert!(rollout(r#"{"steps": [10, 100]}"#).await);
    assert!(!rollout(r#"{"strategy": "blue_green"}"#).await, "no user is drawn");
    control.send("PUT /v1/flags/new", r#"{"enabled": false}"#).await;
    assert_eq!(shift(r#"{"v1": 90, "v2": 10}"#).await.get("warnings"), None);
}

#[tokio::test]
async fn metrics_tell_what_flags_serve() {
    let control = control();
    put(&control, &json!({ "serve": { "on": 25, "off": 75 }, "enabled": false })).await;
    let text = control.get("/metrics").await.text;
    for line in [
        "pointsman_flag_enabled{flag=\"new\"} 0",
        "pointsman_flag_enabled{flag=\"theme\"} 1",
        "pointsman_flag_weight_ratio{flag=\"new\",rule=\"launch\",variant=\"on\"} 0.25",
        "pointsman_flag_weight_ratio{flag=\"new\",rule=\"launch\",variant=\"off\"} 0.75",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let series = text.lines().filter(|line| line.starts_with("pointsman_flag_weight_ratio{")).count();
    assert_eq!(series, 2, "what follows has no weights of its own");
}

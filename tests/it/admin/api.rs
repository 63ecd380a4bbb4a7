//! The admin API over real sockets.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pointsman::testing::stats::CodeClass;
use serde_json::json;

use crate::support::control::Control;
use crate::support::spec::weights;

#[tokio::test]
async fn a_shift_answers_once_in_force() {
    let control = Control::start();
    let reply = control.send("PUT /v1/services/shop/split", r#"{"v1": 66.667, "v2": 33.333, "reason": "go"}"#).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("etag"), Some("\"2\""));
    let shop = json!({
        "service": "shop", "moved_ratio": 0.28333, "minimum_ratio": 0.28333, "new_salt": false,
        "weights": [{"version": "v1", "from": 95.0, "to": 66.667}, {"version": "v2", "from": 5.0, "to": 33.333}],
    });
    let wanted = json!({"revision": 2, "changed": true, "dry_run": false, "difference": [shop]});
    assert_eq!(reply.json(), wanted);
    assert_eq!(control.table().service_named("shop").unwrap().weights(), weights("v1=66.667 v2=33.333"));
    let revision = control.get("/v1/revisions/2").await.json();
    assert_eq!(
        (&revision["author"], &revision["reason"], &revision["action"]),
        (&json!("local"), &json!("go"), &json!("shift"))
    );
    assert!(revision["at"].as_str().unwrap().starts_with("20"), "{revision}");
    let again = control.send("PUT /v1/services/shop/split", r#"{"v1": 66.667, "v2": 33.333}"#).await;
    assert_eq!((again.json()["changed"].as_bool(), again.json()["revision"].as_u64()), (Some(false), Some(2)));
}

#[tokio::test]
async fn several_services_are_one_revision() {
    let control = Control::start();
    let body = r#"{"shop": {"v2": 100}, "cart": {"v2": 50, "v1": 50}, "reason": "together"}"#;
    let reply = control.send("PUT /v1/splits", body).await;
    assert_eq!((reply.status, reply.json()["revision"].as_u64()), (200, Some(2)), "{reply:?}");
    assert_eq!(reply.json()["difference"].as_array().unwrap().len(), 2);
    assert_eq!(control.table().revision, 2);
}

#[tokio::test]
async fn flip_and_rollback() {
    let control = Control::start();
    assert_eq!(control.send("POST /v1/services/shop/flip", r#"{"to": "v2"}"#).await.status, 200);
    let back = control.send("POST /v1/rollback", "{}").await;
    assert_eq!((back.status, back.json()["restores"].as_u64()), (200, Some(1)), "{back:?}");
    assert_eq!(control.table().service_named("shop").unwrap().weights(), weights("v1=95 v2=5"));
    let again = control.send("POST /v1/rollback", "{}").await;
    assert_eq!(again.refusal(409).len(), 1, "nothing is left to undo");
    let forth = control.send("POST /v1/rollback", r#"{"to": 2, "services": ["shop"]}"#).await;
    assert_eq!(forth.json()["revision"], 4, "{forth:?}");
    assert_eq!(control.send("POST /v1/rollback", r#"{"to": 99}"#).await.refusal(422).len(), 1);
    let page = control.get("/v1/revisions?limit=2").await.json();
    let numbers: Vec<_> = page["revisions"].as_array().unwrap().iter().map(|r| r["revision"].as_u64()).collect();
    assert_eq!((numbers, page["next_before"].as_u64()), (vec![Some(4), Some(3)], Some(3)));
    let rest = control.get("/v1/revisions?before=3").await.json();
    assert_eq!(rest["revisions"].as_array().unwrap().len(), 2);
    assert_eq!(control.get("/v1/revisions/99").await.refusal(404).len(), 1);
    assert_eq!(control.get("/v1/revisions?limit=0&before=x&page=2").await.refusal(422).len(), 3);
}

#[tokio::test]
async fn dry_run_and_if_match() {
    let control = Control::start();
    let body = r#"{"v1": 75, "v2": 25}"#;
    let said = control.send("PUT /v1/services/shop/split?dry_run=true", body).await.json();
    assert_eq!((&said["dry_run"], &said["revision"]), (&json!(true), &json!(1)));
    assert_eq!(said["difference"][0]["moved_ratio"], 0.2);
    assert_eq!(control.table().revision, 1);
    let json_with = |tag: &str| format!("content-type: application/json\r\nif-match: {tag}\r\n");
    let late = control.call("PUT /v1/services/shop/split", &json_with("\"7\""), body).await;
    late.refusal(412);
    assert_eq!(control.table().revision, 1);
    let done = control.call("PUT /v1/services/shop/split", &json_with("\"1\""), body).await;
    assert_eq!((done.status, &done.json()["difference"]), (200, &said["difference"]));
    let bad = control.call("PUT /v1/services/shop/split?dry_run=maybe", &json_with("x"), body).await;
    assert_eq!(bad.refusal(422), ["?dry_run: \"maybe\"", "If-Match: \"x\""]);
}

#[tokio::test]
async fn every_problem_of_a_body_comes_back_at_once() {
    let control = Control::start();
    let body =
        r#"{"shop": {"v1": "90", "v3": 5}, "cart": {"v1": 90, "v2": 20}, "shpo": {"v1": 50}, "x": 1, "reason": 5}"#;
    let reply = control.send("PUT /v1/splits", body).await;
    let mut problems = reply.refusal(422);
    problems.sort();
    let wanted = [
        "reason: 5",
        "services.cart.split: weights that sum to 110",
        "services.shop.split.v1: \"90\"",
        "services.shop.split.v3: unknown version \"v3\"",
        "services.shpo: unknown service \"shpo\"",
        "services.x.split: 1",
        "services.x: unknown service \"x\"",
    ];
    assert_eq!(problems, wanted);
    assert_eq!(control.table().revision, 1);
    for (line, body, wanted) in [
        ("POST /v1/services/shop/flip", "{}", vec!["to: nothing"]),
        (
            "POST /v1/services/shop/flip",
            r#"{"to": "v9", "tp": 1}"#,
            vec!["tp: the unknown key \"tp\"", "to: unknown version \"v9\""],
        ),
        ("POST /v1/rollback", r#"{"to": -1, "services": []}"#, vec!["to: -1", "services: an empty list"]),
        ("PUT /v1/services/shop/split", "[]", vec!["body: a list"]),
        (
            "PUT /v1/services/shop/split",
            r#"{"v1": 100, "reason": 20, "hold": 20, "force": 10}"#,
            vec!["force: 10", "hold: 20", "reason: 20"],
        ),
        (
            "POST /v1/services/shop/flip",
            r#"{"to": 2, "hold": {"max": 1, "requests": 0, "bytes": "2GiB", "otherwise": "wait", "mox": null}, "forse": true}"#,
            vec![
                "forse: the unknown key \"forse\"",
                "hold.max: 1",
                "hold.mox: the unknown key \"mox\"",
                "hold.otherwise: \"wait\"",
                "to: 2",
                "hold.requests: 0",
                "hold.bytes: 2GiB",
            ],
        ),
        (
            "POST /v1/rollback",
            r#"{"services": ["shop", null, 5, "cert"]}"#,
            vec!["services[2]: null", "services[3]: 5", "services[4]: unknown service \"cert\""],
        ),
        (
            "PUT /v1/splits",
            r#"{"shop": {"v1": null, "v2": 40}, "cart": [1]}"#,
            vec!["services.cart.split: a list", "services.shop.split.v1: null"],
        ),
        ("PUT /v1/services/shop/split", "{}", vec!["services.shop.split: no version"]),
        (
            "PUT /v1/services/shop/split",
            r#"{"v1": 99.9999, "v2": 0.0001}"#,
            vec!["services.shop.split.v1: 99.9999", "services.shop.split.v2: 0.0001"],
        ),
        (
            "POST /v1/explain",
            r#"{"path": "x", "client": "me", "headers": {"a b": "c"}}"#,
            vec!["host: nothing", "path: \"x\"", "client: \"me\"", "headers.\"a b\": \"c\""],
        ),
    ] {
        assert_eq!(control.send(line, body).await.refusal(422), wanted, "{line} {body}");
    }
}

#[tokio::test]
async fn refusals_have_the_status_that_says_whose_fault_it_is() {
    let control = Control::start();
    let reply = control.send("PUT /v1/services/shpo/split", r#"{"v1": 100}"#).await;
    assert_eq!(reply.refusal(404), ["service: unknown service \"shpo\""]);
    assert!(reply.text.contains("one of cart, shop"), "{reply:?}");
    control.get("/v1/services/shpo").await.refusal(404);
    control.get("/v1/nothing").await.refusal(404);
    control.get("/v1/services/%ff").await.refusal(400);
    let method = control.send("DELETE /v1/services/shop/split", "{}").await;
    method.refusal(405);
    assert_eq!(method.header("allow"), Some("put"), "{method:?}");
    let broken = control.send("PUT /v1/services/shop/split", "{\"v1\": 90,\n \"v1\": 10}").await;
    broken.refusal(400);
    assert!(broken.text.contains("line 2 column"), "{broken:?}");
    control.call("PUT /v1/services/shop/split", "content-type: text/plain\r\n", r#"{"v2": 100}"#).await.refusal(415);
    control.call("PUT /v1/services/shop/split", "", r#"{"v2": 100}"#).await.refusal(415);
    let large = format!(r#"{{"v2": 100, "reason": "{}"}}"#, "x".repeat(70_000));
    control.send("PUT /v1/services/shop/split", &large).await.refusal(413);
    let charset = "content-type: application/json; charset=utf-8\r\n";
    assert_eq!(control.call("PUT /v1/services/shop/split", charset, r#"{"v2": 100}"#).await.status, 200);
}

#[tokio::test]
async fn endpoints_are_drained_and_come_back() {
    let control = Control::start();
    let line = "PUT /v1/services/shop/versions/v1/endpoints/127.0.0.1:1";
    let drained = control.send(line, r#"{"state": "drain", "reason": "disk"}"#).await;
    assert_eq!(drained.status, 200, "{drained:?}");
    assert_eq!(drained.json()["difference"][0]["endpoints"][0]["state"], "drained");
    let seen = control.get("/v1/services/shop").await.json();
    assert_eq!(seen["versions"][0]["endpoints"][0]["state"], "drained");
    assert_eq!(seen["versions"][0]["effective_weight"], 95.0, "the other endpoint answers");
    let last = "PUT /v1/services/shop/versions/v1/endpoints/127.0.0.1:2";
    assert!(control.send(last, r#"{"state": "drain"}"#).await.refusal(409)[0].contains("no usable endpoint"));
    control.send(last, r#"{"state": "drain", "force": true}"#).await;
    let seen = control.get("/v1/services/shop").await.json();
    assert_eq!(seen["versions"][0]["effective_weight"], 0.0);
    assert_eq!(seen["versions"][1]["effective_weight"], 100.0);
    assert!(seen["versions"][1]["effective_reason"].as_str().unwrap().contains("v1"), "{seen}");
    let revision = control.get("/v1/revisions/2").await.json();
    assert_eq!(
        (&revision["action"], &revision["difference"][0]["endpoints"][0]["address"]),
        (&json!("drain"), &json!("127.0.0.1:1"))
    );
    let ready = control.send(line, r#"{"state": "ready"}"#).await.json();
    assert_eq!((&ready["revision"], &ready["changed"]), (&json!(4), &json!(true)));
    let unknown = control.send("PUT /v1/services/shop/versions/v1/endpoints/10.9.9.9:1", r#"{"state": "ready"}"#).await;
    assert!(unknown.refusal(404)[0].contains("unknown endpoint 10.9.9.9:1"), "{unknown:?}");
    let unknown = control.send("PUT /v1/services/shop/versions/v9/endpoints/here", r#"{"state": "off"}"#).await;
    assert_eq!(unknown.refusal(422).len(), 3, "{unknown:?}");
}

#[tokio::test]
async fn status_shows_live_numbers_and_the_files_intent() {
    let control = Control::start();
    let table = control.table();
    let service = table.service_named("shop").unwrap();
    let version = service.version_named("v2").unwrap();
    version.stats.cell(0).answered(CodeClass::Success, 1_000);
    let earlier = tokio::time::Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
    control.admin.live.look(&table, earlier);
    for _ in 0..9 {
        version.stats.cell(0).answered(CodeClass::Success, 2_000);
    }
    version.stats.cell(0).answered(CodeClass::ServerError, 40_000);
    version.endpoints[0].stats.enter();
    let status = control.get("/v1/status").await.json();
    assert_eq!((&status["revision"], &status["ready"]), (&json!(1), &json!(true)));
    assert_eq!((&status["config"]["good"], &status["state"]["path"]), (&json!(true), &json!(":memory:")));
    let shop = &status["services"][1];
    assert_eq!((&shop["name"], &shop["differs_from_file"]), (&json!("shop"), &json!(false)));
    let v2 = &shop["versions"][1];
    assert_eq!((&v2["requests"], &v2["in_flight"]), (&json!(11), &json!(1)));
    let recent = &v2["recent"];
    assert_eq!((&recent["requests"], &recent["errors"]), (&json!(10), &json!(1)));
    assert!((recent["requests_per_second"].as_f64().unwrap() - 5.0).abs() < 1.0, "{recent}");
    assert!((recent["p50_ms"].as_f64().unwrap() - 2.0).abs() < 0.2, "{recent}");
    control.send("POST /v1/services/shop/flip", r#"{"to": "v2"}"#).await;
    let shop = control.get("/v1/services/shop").await;
    assert_eq!(shop.header("etag"), Some("\"2\""));
    assert_eq!(
        (&shop.json()["differs_from_file"], &shop.json()["file_split"]),
        (&json!(true), &json!({"v1": 95.0, "v2": 5.0}))
    );
    assert_eq!(control.get("/v1/services").await.json()["services"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn explain_tells_version_and_why() {
    let control = Control::start();
    let ask = async |body: &str| control.send("POST /v1/explain", body).await.json();
    let user = ask(r#"{"host": "any.example:80", "path": "/shop/1?x=2", "headers": {"x-user": "user-1"}}"#).await;
    let table = control.table();
    let shop = table.service_named("shop").unwrap();
    let slot = shop.salt.slot(b"user-1");
    assert_eq!(
        (&user["slot"], &user["service"], &user["key_from"]),
        (&json!(slot), &json!("shop"), &json!("header:x-user"))
    );
    assert_eq!(user["version"], shop.versions[usize::from(shop.owner(slot))].name.as_str());
    assert!(user["why"].as_str().unwrap().contains(&format!("slot {slot}")), "{user}");
    let nobody = ask(r#"{"host": "any.example", "path": "/shop"}"#).await;
    assert_eq!((&nobody["version"], &nobody["chances"]), (&json!(null), &json!({"v1": 95.0, "v2": 5.0})));
    let nowhere = ask(r#"{"host": "any.example", "path": "/else"}"#).await;
    assert_eq!((&nowhere["service"], &nowhere["refused"]), (&json!(null), &json!("no_service")));
}

#[tokio::test]
async fn probes_and_the_document() {
    let control = Control::start();
    assert_eq!(control.get("/healthz").await.status, 200);
    assert_eq!(control.get("/readyz").await.status, 200);
    control.admin.ready.store(false, Relaxed);
    assert_eq!(control.get("/readyz").await.status, 503);
    let document = control.get("/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/v1/status",
        "/v1/whoami",
        "/v1/services",
        "/v1/services/{service}",
        "/v1/services/{service}/history",
        "/v1/services/{service}/budget",
        "/v1/steady",
        "/v1/services/{service}/split",
        "/v1/services/{service}/mirror",
        "/v1/splits",
        "/v1/services/{service}/flip",
        "/v1/rollback",
        "/v1/flags",
        "/v1/flags/{flag}",
        "/v1/flags/{flag}/evaluate",
        "/v1/revisions",
        "/v1/revisions/{revision}",
        "/v1/explain",
        "/v1/services/{service}/versions/{version}/endpoints/{address}",
        "/v1/hold",
        "/v1/hold/{id}",
        "/v1/rollouts",
        "/v1/rollouts/{id}",
        "/v1/rollouts/{id}/{order}",
        "/v1/chaos",
        "/v1/chaos/stop",
        "/v1/chaos/{id}",
        "/v1/chaos/{id}/report",
        "/v1/chaos/{id}/stop",
        "/v1/simulate",
        "/v1/events",
        "/v1/experiments/{experiment}/start",
        "/v1/experiments/{experiment}/stop",
        "/v1/experiments/{experiment}/ship",
        "/v1/openapi.json",
        "/v1/upgrade",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    assert_references_resolve(&document, &document);
}

/// Every `$ref` of the document leads to something in it.
fn assert_references_resolve(document: &serde_json::Value, part: &serde_json::Value) {
    if let Some(target) = part.get("$ref").and_then(serde_json::Value::as_str) {
        assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
    let children: Vec<_> = match part {
        serde_json::Value::Object(map) => map.values().collect(),
        serde_json::Value::Array(list) => list.iter().collect(),
        _ => Vec::new(),
    };
    children.into_iter().for_each(|child| assert_references_resolve(document, child));
}

#[tokio::test]
async fn shutdown_ends_the_server() {
    let mut control = Control::start();
    let idle = tokio::net::TcpStream::connect(("127.0.0.1", control.port())).await.unwrap();
    control.stop.take().unwrap().send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), &mut control.served).await;
    ended.expect("an idle connection does not hold it").unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_store_that_another_program_has_locked_is_no_bug_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.db");
    let services = crate::support::spec::services(&[("shop", "v1=95 v2=5")]);
    let address = pointsman::testing::admin::Address::Tcp(([127, 0, 0, 1], 0).into());
    let control = Control::with(
        services,
        pointsman::testing::control::Store::open(&path).unwrap(),
        &address,
        &Default::default(),
    );
    // As a backup has it, or an operator in the SQLite shell.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let locked = control.send("PUT /v1/services/shop/split", r#"{"v1": 50, "v2": 50}"#).await;
    locked.refusal(503);
    let detail = locked.json();
    assert_eq!(detail["type"], "urn:pointsman:problem:store_locked");
    assert!(detail["detail"].as_str().unwrap().contains("another program has locked the revision store"), "{detail}");
    assert_eq!(locked.header("retry-after"), Some("1"));
    assert_eq!(control.table().revision, 1);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(control.send("PUT /v1/services/shop/split", r#"{"v1": 50, "v2": 50}"#).await.status, 200);
}

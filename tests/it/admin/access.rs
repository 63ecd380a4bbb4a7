//! Who gets in to the admin API.

use std::os::unix::fs::PermissionsExt;

use pointsman::testing::admin::{
    Access, AccessRole, AccessSettings, AccessToken, Address, AdminBindError, AdminListener,
};
use pointsman::testing::control::Store;

use serde_json::Value;

use crate::support::control::{Control, token_file};
use crate::support::spec::services;

const SPLIT: &str = "PUT /v1/services/shop/split";

fn start(address: &Address, settings: &AccessSettings) -> Control {
    Control::with(services(&[("shop", "v1=95 v2=5")]), Store::in_memory().unwrap(), address, settings)
}

fn loopback() -> Address {
    Address::Tcp(([127, 0, 0, 1], 0).into())
}

#[tokio::test]
async fn tokens_have_roles_and_are_authors() {
    let folder = tempfile::tempdir().unwrap();
    let token = |name: &str, role, text: &str| AccessToken {
        name: name.to_owned(),
        role,
        file: token_file(&folder, name, text),
    };
    let tokens =
        vec![token("ada", AccessRole::Operate, "s3cret-of-ada\n"), token("board", AccessRole::Read, "  looks-only ")];
    let control = start(&loopback(), &AccessSettings { tokens, ..AccessSettings::default() });
    let json = "content-type: application/json\r\n";
    let with = |token: &str| format!("{json}authorization: Bearer {token}\r\n");

    let nobody = control.send(SPLIT, r#"{"v2": 100}"#).await;
    nobody.refusal(401);
    assert_eq!(nobody.header("www-authenticate"), Some("bearer realm=\"pointsman\""));
    for wrong in ["s3cret-of-bob", "s3cret-of-ad", "", "s3cret-of-ada2"] {
        control.call("GET /v1/status", &with(wrong), "").await.refusal(401);
    }
    control.call("GET /v1/status", "authorization: Basic s3cret-of-ada\r\n", "").await.refusal(401);
    assert_eq!(control.call("GET /v1/status", &with("looks-only"), "").await.status, 200);
    assert_eq!(control.call("POST /v1/explain", &with("looks-only"), r#"{"host": "a"}"#).await.status, 200);
    control.call(SPLIT, &with("looks-only"), r#"{"v2": 100}"#).await.refusal(403);
    assert_eq!(control.table().revision, 1);
    assert_eq!(control.call(SPLIT, &with("s3cret-of-ada"), r#"{"v2": 100}"#).await.status, 200);
    let revision = control.call("GET /v1/revisions/2", &with("looks-only"), "").await.json();
    assert_eq!(revision["author"], "ada");
    for open in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(control.get(open).await.status, 200, "{open}");
    }
}

/// The calls of the API's description that are no `GET`, as they stand in a request line: each with whether it may be
/// dry.
fn changing_calls(document: &Value) -> Vec<(String, bool)> {
    let mut calls = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let mut path = path.clone();
        for (place, known) in [("{service}", "shop"), ("{version}", "v1"), ("{order}", "pause"), ("{id}", "1")] {
            path = path.replace(place, known);
        }
        for (method, operation) in operations.as_object().unwrap().iter().filter(|(method, _)| *method != "get") {
            let parameters = operation["parameters"].as_array();
            let dry = parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "dry_run"));
            calls.push((format!("{} {path}", method.to_uppercase()), dry));
        }
    }
    calls
}

#[tokio::test]
async fn a_caller_that_may_look_may_ask_what_a_change_would_do_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let token = |name: &str, role| AccessToken { name: name.to_owned(), role, file: token_file(&folder, name, name) };
    let tokens = vec![token("board", AccessRole::Read), token("ada", AccessRole::Operate)];
    let control = start(&loopback(), &AccessSettings { tokens, ..AccessSettings::default() });
    let with = |name: &str| format!("content-type: application/json\r\nauthorization: Bearer {name}\r\n");
    let document = control.call("GET /v1/openapi.json", &with("board"), "").await.json();
    let calls = changing_calls(&document);
    assert!(calls.iter().filter(|(_, dry)| *dry).count() > 8, "{calls:?}");
    for (call, dry) in &calls {
        // It changes nothing in any case, and is told so by its own refusals of what it does not know.
        // What a hook says counts by its signature.
        let reads = ["/evaluate", "/explain", "/simulate", "/hook"].iter().any(|end| call.ends_with(end));
        let body = if call.ends_with("/split") { r#"{"v2": 100}"# } else { "{}" };
        for (query, allowed) in [
            ("?dry_run=true", *dry),
            ("?dry_run", *dry),
            ("", false),
            ("?dry_run=false", false),
            ("?dry_run=true&dry_run=true", false),
            ("?dry_run=true&more=1", false),
            ("?dry_run=yes", false),
        ] {
            let status = control.call(&format!("{call}{query}"), &with("board"), body).await.status;
            assert_eq!(status != 403, allowed || reads, "{call}{query}: {status}");
        }
    }
    let would = control.call(&format!("{SPLIT}?dry_run=true"), &with("board"), r#"{"v2": 100}"#).await;
    assert_eq!((would.status, &would.json()["dry_run"]), (200, &true.into()), "{would:?}");
    assert_eq!(control.table().revision, 1);
}

#[tokio::test]
async fn a_call_that_cannot_be_dry_is_not_made_as_if_nothing_had_been_said() {
    let control = start(&loopback(), &AccessSettings::default());
    let body = r#"{"services": ["shop"], "max": "10s"}"#;
    let refused = control.send("POST /v1/hold?dry_run=true", body).await.refusal(422);
    assert_eq!(refused, ["?dry_run: a condition"]);
    assert_eq!(control.get("/v1/hold").await.json(), serde_json::json!([]));
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let control =
        start(&loopback(), &AccessSettings { hosts: vec!["admin.example".into()], ..AccessSettings::default() });
    let port = control.port();
    let ask = async |host: &str, more: &str| {
        let body = r#"{"v2": 100}"#;
        let json = "content-type: application/json\r\ncontent-length: 11\r\nconnection: close\r\n";
        control.raw(&format!("{SPLIT}?dry_run=true HTTP/1.1\r\nhost: {host}\r\n{json}{more}\r\n{body}")).await
    };
    for good in [format!("127.0.0.1:{port}"), format!("LOCALHOST:{port}"), "admin.example".to_owned()] {
        assert_eq!(ask(&good, "").await.status, 200, "{good}");
    }
    for bad in ["evil.example".to_owned(), format!("evil.example:{port}"), "localhost:1".to_owned(), String::new()] {
        ask(&bad, "").await.refusal(403);
    }
    let own = format!("127.0.0.1:{port}");
    assert_eq!(ask(&own, &format!("origin: http://localhost:{port}\r\n")).await.status, 200);
    for bad in ["https://evil.example", "null", "http://localhost:1"] {
        ask(&own, &format!("origin: {bad}\r\n")).await.refusal(403);
    }
    ask(&own, &format!("host: {own}\r\n")).await.refusal(403);
    let probe = control.raw("GET /readyz HTTP/1.1\r\nhost: 10.0.0.7\r\nconnection: close\r\n\r\n").await;
    assert_eq!(probe.status, 200, "orchestrators ask by address");
}

#[tokio::test]
async fn a_unix_socket_is_the_owners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let address = Address::Unix(path.clone());
    // A socket that a dead process has left.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut control = start(&address, &AccessSettings::default());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(control.get("/v1/status").await.status, 200);
    assert!(matches!(AdminListener::bind(&address), Err(AdminBindError::InUse(_))), "somebody listens");
    let origin = control.call("GET /v1/status", "origin: http://localhost\r\n", "").await;
    origin.refusal(403);
    control.stop.take().unwrap().send(()).unwrap();
    (&mut control.served).await.unwrap();
    assert!(!path.exists(), "it is removed at the end");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(AdminListener::bind(&address), Err(AdminBindError::NotASocket(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn bad_tokens_do_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let access = |files: &[(&str, &str)]| {
        let token = |(name, text): &(&str, &str)| AccessToken {
            name: (*name).to_owned(),
            role: AccessRole::Read,
            file: token_file(&folder, name, text),
        };
        let tokens = files.iter().map(token).collect();
        Access::new(&loopback(), &AccessSettings { tokens, ..AccessSettings::default() })
            .expect_err("bad tokens")
            .to_string()
    };
    assert!(access(&[("a", " \n")]).contains("admin.tokens.a: found nothing"));
    assert!(access(&[("a", "two words")]).contains("found spaces"));
    assert!(access(&[("a", "same"), ("b", "same\n")]).contains("the same token for a and b"));
    let missing = AccessToken { name: "a".into(), role: AccessRole::Read, file: folder.path().join("none") };
    let settings = AccessSettings { tokens: vec![missing], ..AccessSettings::default() };
    let error = Access::new(&loopback(), &settings).expect_err("missing").to_string();
    assert!(error.contains("admin.tokens.a: cannot read"), "{error}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = AdminListener::bind(&Address::Tcp(address)).expect_err("in use").to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}

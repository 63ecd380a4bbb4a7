//! The files of the console, and who a caller is for them.

use std::io::Read;

use pointsman::testing::admin::{AccessRole, AccessSettings, AccessToken, Address};
use pointsman::testing::control::Store;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::control::{Control, Reply, token_file};
use crate::support::spec::services;

/// A control plane that wants a token, of `ada` who may operate or of `board` who may look.
fn with_tokens(folder: &tempfile::TempDir, address: &Address, hosts: &[&str]) -> Control {
    let token = |name: &str, role, text: &str| AccessToken {
        name: name.to_owned(),
        role,
        file: token_file(folder, name, text),
    };
    let tokens = vec![
        token("ada", AccessRole::Operate, "s3cret-of-ada-and-of-no-other"),
        token("board", AccessRole::Read, "looks-only-and-nothing-else"),
    ];
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let settings = AccessSettings { tokens, hosts, ..AccessSettings::default() };
    Control::with(services(&[("shop", "v1=95 v2=5")]), Store::in_memory().unwrap(), address, &settings)
}

fn loopback() -> Address {
    Address::Tcp(([127, 0, 0, 1], 0).into())
}

/// What every file is sent with.
fn assert_is_guarded(reply: &Reply) {
    let policy = reply.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.split(';').any(|told| told.trim() == part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (header, wanted) in [
        ("cache-control", "no-cache"),
        ("vary", "accept-encoding"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(reply.header(header), Some(wanted), "{header}");
    }
}

#[tokio::test]
async fn the_page_and_its_files_need_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let control = with_tokens(&folder, &loopback(), &[]);
    for (path, kind, there) in [
        ("/", "text/html; charset=utf-8", include_str!("../../../console/index.html")),
        ("/console/app.js", "text/javascript; charset=utf-8", include_str!("../../../console/app.js")),
        (
            "/console/rooms/overview.js",
            "text/javascript; charset=utf-8",
            include_str!("../../../console/rooms/overview.js"),
        ),
        ("/console/console.css", "text/css; charset=utf-8", include_str!("../../../console/console.css")),
        ("/console/icon.svg", "image/svg+xml; charset=utf-8", include_str!("../../../console/icon.svg")),
        ("/console/app.js?v=2", "text/javascript; charset=utf-8", include_str!("../../../console/app.js")),
    ] {
        let reply = control.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{path}");
        assert!(reply.text == there, "{path} is the file");
        assert_is_guarded(&reply);
        let head = control.call(&format!("HEAD {path}"), "", "").await;
        let length = there.len().to_string();
        assert_eq!((head.status, head.header("content-length"), &*head.text), (200, Some(&*length), ""), "{path}");
        assert_is_guarded(&head);
    }
    control.get("/v1/status").await.refusal(401);
}

#[tokio::test]
async fn a_browser_that_has_a_file_is_not_sent_it_again() {
    let control = Control::start();
    let first = control.get("/console/app.js").await;
    let tag = first.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let same = control.call("GET /console/app.js", &format!("if-none-match: {known}\r\n"), "").await;
        assert_eq!((same.status, &*same.text, same.header("etag")), (304, "", Some(&*tag)), "{known}");
        assert_is_guarded(&same);
    }
    let other = control.get("/console/api.js").await.header("etag").unwrap().to_owned();
    assert_ne!(tag, other);
    let new = control.call("GET /console/app.js", &format!("if-none-match: {other}\r\n"), "").await;
    assert_eq!((new.status, new.text), (200, first.text));
    let packed = "accept-encoding: gzip\r\n";
    let head = control.call("HEAD /console/app.js", packed, "").await;
    let form = head.header("etag").unwrap().to_owned();
    assert_ne!(form, tag, "another form is another entity");
    let same = control.call("GET /console/app.js", &format!("{packed}if-none-match: {form}\r\n"), "").await;
    assert_eq!((same.status, same.header("etag")), (304, Some(&*form)));
    assert!(same.header("content-encoding").is_none(), "{same:?}");
}

/// The bytes of an answer's body.
async fn bytes(control: &Control, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", control.port())).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    bytes.split_off(end)
}

#[tokio::test]
async fn files_are_packed_for_those_who_ask() {
    let control = Control::start();
    let port = control.port();
    for path in ["/", "/console/console.css", "/console/app.js"] {
        let asked = "accept-encoding: gzip, deflate, br\r\n";
        let head = control.call(&format!("HEAD {path}"), asked, "").await;
        assert_eq!((head.status, head.header("content-encoding")), (200, Some("gzip")), "{path}");
        let packed = bytes(&control, &format!("GET {path} HTTP/1.0\r\nhost: localhost:{port}\r\n{asked}\r\n")).await;
        let length = packed.len().to_string();
        assert_eq!(head.header("content-length"), Some(&*length), "{path}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
        let plain = control.get(path).await;
        assert_eq!(plain.header("content-encoding"), None);
        assert!(plain.text == text && packed.len() < text.len(), "{path}");
    }
}

#[tokio::test]
async fn there_is_no_way_out_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let control = with_tokens(&folder, &loopback(), &[]);
    for path in [
        "/console/",
        "/console/index.html",
        "/console/nothing.js",
        "/console/rooms",
        "/console/rooms/",
        "/console/../Cargo.toml",
        "/console/%2e%2e/Cargo.toml",
        "/console/..%2fCargo.toml",
        "/console/rooms/../app.js",
        "/console//app.js",
        "/console//etc/passwd",
        "/console/app.js/",
        "/console/app.js%00.css",
        "/console/APP.js",
        "/console/\\..\\Cargo.toml",
    ] {
        let reply = control.get(path).await;
        reply.refusal(404);
        assert_eq!(reply.json()["type"], "urn:pointsman:problem:no_resource", "{path}");
        assert!(reply.json()["detail"].as_str().unwrap().ends_with("the console is at /"), "{reply:?}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "a file may be there after an upgrade");
    }
    for path in ["/console", "/index.html", "/app.js", "/consoles/app.js", "//"] {
        control.get(path).await.refusal(401);
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/", "/console/app.js"] {
            let refused = control.send(&format!("{method} {path}"), "{}").await;
            refused.refusal(405);
            assert_eq!(refused.json()["detail"], format!("found the method {method}, want GET or HEAD"));
            assert!(refused.header("allow").unwrap().contains("get"), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_and_a_rebound_name_see_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let control = with_tokens(&folder, &loopback(), &["console.example"]);
    let ask = async |host: &str, more: &str| {
        control.raw(&format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n")).await
    };
    for good in ["console.example", "CONSOLE.example:443", &format!("127.0.0.1:{}", control.port())] {
        assert_eq!(ask(good, "").await.status, 200, "{good}");
    }
    assert_eq!(ask("console.example", "origin: https://console.example\r\n").await.status, 200);
    for bad in ["evil.example", "localhost:1", ""] {
        ask(bad, "").await.refusal(403);
    }
    ask("console.example", "origin: https://evil.example\r\n").await.refusal(403);
}

#[tokio::test]
async fn a_unix_socket_has_the_console_too() {
    let folder = tempfile::tempdir().unwrap();
    let control = with_tokens(&folder, &Address::Unix(folder.path().join("admin.sock")), &[]);
    let page = control.get("/").await;
    assert!(page.status == 200 && page.text.starts_with("<!doctype html>"), "{page:?}");
    assert_is_guarded(&page);
    control.get("/console/none.js").await.refusal(404);
}

#[tokio::test]
async fn a_caller_is_told_who_it_is() {
    let open = Control::start().get("/v1/whoami").await;
    assert_eq!(open.json(), json!({"name": "local", "role": "operate", "open": true}));
    assert_eq!(open.header("cache-control"), Some("no-store"));
    let folder = tempfile::tempdir().unwrap();
    let control = with_tokens(&folder, &loopback(), &[]);
    control.get("/v1/whoami").await.refusal(401);
    for (token, wanted) in [
        ("s3cret-of-ada-and-of-no-other", json!({"name": "ada", "role": "operate", "open": false})),
        ("looks-only-and-nothing-else", json!({"name": "board", "role": "read", "open": false})),
    ] {
        let with = format!("authorization: Bearer {token}\r\n");
        assert_eq!(control.call("GET /v1/whoami", &with, "").await.json(), wanted);
        assert_eq!(control.call("HEAD /v1/whoami", &with, "").await.status, 200);
        control.call("GET /v1/whoami?as=ada", &with, "").await.refusal(422);
    }
    let wrong = control.call("GET /v1/whoami", "authorization: Bearer s3cret\r\n", "").await;
    wrong.refusal(401);
}

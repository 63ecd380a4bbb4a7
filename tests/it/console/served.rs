//! The files of the console: what they weigh, what policy comes with them, and what tools say of them.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Stand;
use crate::support::client::send;
use crate::support::external_tools::node;

/// What is loaded before a person sees the first room, as it comes over the wire.
const FIRST_BYTES_MAX: u64 = 60 * 1024;

#[test]
fn the_types_of_the_scripts_are_sound() {
    let Some(folder) = node("types of the console's scripts") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("node");
    command.arg(folder.join("node_modules/typescript/bin/tsc")).arg("-p").arg(root.join("tests/clients/tsconfig.json"));
    let output = command.current_dir(root).output().expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_policy_of_the_page_is_strict_and_its_markup_is_valid() {
    let Some(stand) = Stand::new("the console's page", |setup| setup) else { return };
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", stand.proxy.admin);
    let page = send(stand.proxy.admin, request);
    let policy = page.header("content-security-policy").expect("a policy");
    let findings = stand.browser.ask(json!({ "do": "csp", "policy": policy }));
    // What is meant are files that others put there, and calls that answer with what they were asked; there are none.
    let known =
        "script-src: 'self' can be problematic if you host JSONP, AngularJS or user uploaded files. (MEDIUM_MAYBE)";
    assert_eq!(findings, json!([known]), "{policy}");
    for part in ["default-src 'none'", "form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.split("; ").any(|found| found == part), "no {part:?} in {policy}");
    }
    let headers = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ];
    for (name, value) in headers {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    stand.browser.is_valid(&page.text(), "the page as it is sent");
}

#[test]
fn the_first_room_is_small_and_comes_from_here_alone() {
    let Some(stand) = Stand::new("what the console loads", |setup| setup) else { return };
    let tab = stand.console("");
    tab.reads("main", "site");
    let load = tab.ask("load", json!({}));
    let files = load["files"].as_array().expect("a list");
    let bytes = |key: &str| files.iter().map(|file| file[key].as_u64().expect("bytes")).sum::<u64>();
    let (wire, plain) = (bytes("encodedBodySize"), bytes("decodedBodySize"));
    println!("the first room: {} files, {wire} bytes of {plain}, painted after {} ms", files.len(), load["painted"]);
    assert!(wire > 1_000 && wire <= FIRST_BYTES_MAX, "{wire}: {files:#?}");
    assert!(wire < plain, "nothing is compressed: {files:#?}");
    tab.end();
}

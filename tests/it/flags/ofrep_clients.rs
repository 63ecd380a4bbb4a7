//! OpenFeature's own clients, unchanged: what they get from the proxy is what the proxy does.

use serde_json::json;
use tokio::time::Instant;

use crate::support::client::send;
use crate::support::external_tools::{node, python, run};
use crate::support::page::Page;
use crate::support::process::{Process, config};
use crate::support::{Origin, Proxy, Setup, eventually};

pub(super) const FLAGS: &str = r#"
[attributes]
plan = "header:x-plan"
[flags.truth]
rules = [{ name = "pros", when = { attribute = { plan = "pro" } }, serve = "on" }]
[flags.text]
variants = { none = "", some = "größe \"\\" }
default = "none"
rules = [{ name = "pros", when = { attribute = { plan = "pro" } }, serve = "some" }]
[flags.whole]
variants = { one = 1, many = 9007199254740991 }
default = "one"
rules = [{ serve = "many" }]
[flags.float]
variants = { whole = 1.0, half = 0.5 }
default = "whole"
[flags.share]
variants = { all = 1.0, half = 0.5 }
default = "half"
[flags.object]
variants = { a = { list = [1, 2.5, "x"], inner = { deep = true } } }
default = "a"
[flags.off]
enabled = false
rules = [{ serve = "on" }]
[flags.drawn]
salt = "service:site"
rules = [{ name = "launch", serve = { on = 30, off = 70 } }]
[flags.theme]
follows = { service = "site", v2 = "on" }
"#;

/// A flag that leaves its default to the code that asks.
const BARE: &str = r#"{"flags":{"bare":{"state":"ENABLED","variants":{"a":"x"},"defaultVariant":null}}}"#;

fn start(v1: &Origin, v2: &Origin, own: &str) -> Proxy {
    let setup =
        Setup::to(&[v1, v2]).split(&[70, 30]).listener("ofrep = true").service("sticky = [\"header:x-user-id\"]");
    setup.bottom(&format!("{FLAGS}\n[ofrep]\naddress = \"127.0.0.1:0\"\n{own}")).start()
}

#[test]
fn the_python_provider_gets_every_type_and_every_error() {
    let Some(python) = python("OpenFeature's provider for Python") else { return };
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
    let proxy = start(&v1, &v2, &format!("[ofrep.tokens.job]\nfile = \"{}\"", file.display()));
    let url = format!("http://{}", proxy.ofrep());
    let said = run(&python, "ofrep_client.py", &["values", &url, "0123456789abcdef0123456789abcdef"]);
    let object = json!({ "list": [1, 2.5, "x"], "inner": { "deep": true } });
    for (flag, value, kind, reason, variant, error) in [
        ("truth", json!(true), "bool", "TARGETING_MATCH", json!("on"), json!(null)),
        ("text", json!("größe \"\\"), "str", "TARGETING_MATCH", json!("some"), json!(null)),
        ("whole", json!(9_007_199_254_740_991_u64), "int", "STATIC", json!("many"), json!(null)),
        ("float", json!(1.0), "float", "STATIC", json!("whole"), json!(null)),
        ("object", object, "dict", "STATIC", json!("a"), json!(null)),
        ("off", json!(false), "bool", "DISABLED", json!("off"), json!(null)),
        ("nothing", json!(true), "bool", "ERROR", json!(null), json!("FLAG_NOT_FOUND")),
        ("drawn", json!(false), "bool", "ERROR", json!(null), json!("TARGETING_KEY_MISSING")),
    ] {
        let found = said.iter().find(|said| said["flag"] == flag).expect(flag);
        let found = [&found["value"], &found["type"], &found["reason"], &found["variant"], &found["error"]];
        assert_eq!(found, [&value, &json!(kind), &json!(reason), &variant, &error], "{flag}");
    }
    assert_eq!(said[0]["metadata"]["rule"], "pros");
    let without = run(&python, "ofrep_client.py", &["values", &url]);
    assert!(without.iter().all(|said| said["error"] == "GENERAL"), "{without:?}");
}

#[test]
fn the_python_provider_takes_the_default_of_the_code_where_a_flag_has_none() {
    let Some(python) = python("OpenFeature's provider for Python, no default") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, nowhere) = (folder.path().join("pointsman.toml"), ([127, 0, 0, 1], 9).into());
    std::fs::write(folder.path().join("flags.json"), BARE).unwrap();
    let own = "[flags]\nimport = \"flags.json\"\n[ofrep]\naddress = \"127.0.0.1:0\"\n";
    std::fs::write(&path, config(nowhere, nowhere, own)).unwrap();
    let process = Process::start(&path);
    let said = run(&python, "ofrep_client.py", &["bare", &format!("http://{}", process.listeners["ofrep"])]);
    let found = ["value", "reason", "variant", "error"].map(|part| said[0][part].clone());
    assert_eq!(found, [json!("the default of the code"), json!("UNKNOWN"), json!(""), json!(null)], "{said:?}");
}

#[test]
fn the_python_provider_has_the_flag_for_the_users_of_the_version() {
    const USERS: u64 = 200;
    let Some(python) = python("OpenFeature's provider for Python, users") else { return };
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "");
    let url = format!("http://{}", proxy.ofrep());
    let said = run(&python, "ofrep_client.py", &["users", &url, &USERS.to_string()]);
    let on_v2 = |n: &u64| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User-Id: user-{n}\r\n\r\n");
        send(proxy.address, request).text() == "v2"
    };
    let wanted: Vec<u64> = (0..USERS).filter(on_v2).collect();
    assert_eq!(said[0]["on"], json!(wanted));
    assert!(wanted.len() > 30, "{}", wanted.len());
}

#[test]
fn the_web_provider_sees_changes_and_no_stale_value() {
    let Some(folder) = node("OpenFeature's provider for the web") else { return };
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "");
    let mut page = Page::in_node(&folder, &format!("http://{}", proxy.ofrep()));
    let first = page.fact();
    assert_eq!((&first["text"], &first["share"], &first["stored"]), (&json!(""), &json!(0.5), &json!(1)), "{first}");
    let bulk = "/ofrep/v1/evaluate/flags";
    assert_eq!(first["calls"], json!([{ "status": 200, "known": null, "path": bulk }]));
    // The same context: the provider asks with its tag, and has it already.
    let same = page.ask(&json!({ "context": { "targetingKey": "ann", "plan": "free", "unasked": 1 } }));
    assert_eq!(same["calls"][0]["status"], 304, "{same}");
    assert!(same["calls"][0]["known"].is_string(), "{same}");
    // An attribute changes, and the key does not: the tag is sent, and must not be taken for the answer.
    let pro = page.ask(&json!({ "context": { "targetingKey": "ann", "plan": "pro" } }));
    assert!(pro["calls"][0]["known"].is_string() && pro["calls"][0]["status"] == 200, "{pro}");
    assert_eq!(pro["text"], "größe \"\\");
    eventually("the provider waits for changes", || proxy.metric("pointsman_ofrep_event_streams", &[]) > 0.5);
    for (split, theme) in [("{\"v1\":0,\"v2\":100}", true), ("{\"v1\":100,\"v2\":0}", false)] {
        let before = page.ask(&json!({}));
        if before["theme"] == theme {
            continue;
        }
        let asked = Instant::now();
        proxy.put("/v1/services/site/split", split);
        let changed = page.fact();
        println!("the page sees the change after {:?}", asked.elapsed());
        // The flag that is drawn as the service draws is laid over its own weights, and does not move.
        assert_eq!(changed["changed"], json!(["theme"]), "{changed}");
        let now = page.ask(&json!({}));
        assert_eq!(
            (&now["theme"], &now["variant"]),
            (&json!(theme), &json!(if theme { "on" } else { "off" })),
            "{now}"
        );
    }
    page.end();
    proxy.await_metric("pointsman_ofrep_event_streams", &[], 0.0);
}

#[test]
fn the_web_provider_works_on_a_site() {
    let Some(folder) = node("OpenFeature's provider for the web, on a site") else { return };
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "");
    let mut page = Page::in_node(&folder, &format!("http://{}", proxy.address));
    let first = page.fact();
    assert_eq!(first["calls"][0]["status"], 200, "{first}");
    let pro = page.ask(&json!({ "context": { "targetingKey": "ann", "plan": "pro" } }));
    assert_eq!(pro["text"], "", "what a page says of its user is not believed: {pro}");
    eventually("the provider waits for changes", || proxy.metric("pointsman_ofrep_event_streams", &[]) > 0.5);
}

//! OpenFeature's SDK and provider for the web, unchanged, in a browser: on a page that comes through the proxy, and
//! that asks the proxy for its flags under the same origin.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::ofrep_clients::FLAGS;
use crate::support::external_tools::{browser, node};
use crate::support::page::Page;
use crate::support::pki::Ca;
use crate::support::{Origin, Proxy, Reply, Seen, Setup};

/// A version of the site: its page, the packages that the page wants, and the name of the version.
fn site(version: &'static str, folder: &Path) -> Origin {
    let packages = folder.join("node_modules");
    Origin::with(move |seen| content(seen, version, &packages))
}

fn content(seen: &Seen, version: &str, packages: &Path) -> Reply {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/ofrep_page.html");
    let file = seen.target().strip_prefix("/packages/").map(|path| packages.join(path));
    let (kind, body) = match (seen.target(), file) {
        ("/version", _) => ("text/plain", version.to_owned()),
        (_, Some(file)) => ("text/javascript", std::fs::read_to_string(file).expect("an installed package")),
        (_, None) => ("text/html", std::fs::read_to_string(page).expect("a page").replace("VERSION", version)),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\n");
    // What is told must be what is so now.
    Reply::raw(format!("{head}Cache-Control: no-store\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// What a test needs: the browser, and the folder of the packages.
fn tools(untested: &str) -> Option<(&'static str, PathBuf)> {
    Some((browser(untested)?, node(untested)?))
}

/// A site on which the user is the one of the proxy's own cookie.
fn start(v1: &Origin, v2: &Origin, listener: &str) -> Proxy {
    let flags = FLAGS.replace("header:x-plan", "cookie:plan");
    let setup = Setup::to(&[v1, v2]).split(&[70, 30]).listener("ofrep = true").listener(listener);
    setup.service("sticky = [\"cookie\"]").bottom(&flags).start()
}

/// The version that the page came from has the flag that follows it, and the users who are drawn as it draws.
#[track_caller]
fn one_user(facts: &Value) {
    let on_v2 = json!(facts["page"] == "v2");
    assert_eq!((&facts["version"], &facts["theme"]), (&facts["page"], &on_v2), "{facts}");
    assert_eq!((&facts["drawn"], &facts["reason"]), (&on_v2, &json!("SPLIT")), "{facts}");
}

/// Shifts all traffic, and sees the page follow by itself.
fn follow_the_split(proxy: &Proxy, page: &mut Page) {
    for version in ["v2", "v1", "v2"] {
        let (v1, v2) = if version == "v1" { (100, 0) } else { (0, 100) };
        let before = page.ask(&json!({}));
        let asked = Instant::now();
        proxy.put("/v1/services/site/split", &json!({ "v1": v1, "v2": v2 }).to_string());
        if before["version"] == version {
            continue;
        }
        let changed = page.fact();
        println!("the page sees the change after {:?}", asked.elapsed());
        assert_eq!(changed["changed"], json!(["theme"]), "{changed}");
        let now = page.ask(&json!({}));
        let theme = json!(version == "v2");
        assert_eq!((&now["version"], &now["theme"]), (&json!(version), &theme), "{now}");
    }
}

fn streams(proxy: &Proxy, wanted: f64) {
    proxy.await_metric("pointsman_ofrep_event_streams", &[], wanted);
}

#[test]
fn a_page_in_a_browser_has_the_flags_of_its_user_and_sees_changes() {
    let Some((browser, folder)) = tools("OpenFeature's provider in a browser") else { return };
    let (v1, v2) = (site("v1", &folder), site("v2", &folder));
    let proxy = start(&v1, &v2, "");
    let mut page = Page::in_browser(browser, &format!("http://{}/", proxy.address));
    let first = page.fact();
    one_user(&first);
    assert_eq!((&first["text"], &first["share"]), (&json!(""), &json!(0.5)), "{first}");
    assert_eq!(first["object"], json!({ "list": [1, 2.5, "x"], "inner": { "deep": true } }));
    // Nothing is kept that a kill switch could not take back, and the page cannot read whose key it is.
    assert_eq!((&first["cookies"], &first["stored"]), (&json!(""), &json!(0)), "{first}");
    let call = json!({ "path": "/ofrep/v1/evaluate/flags", "known": null, "status": 200, "protocol": "http/1.1" });
    assert_eq!(first["calls"], json!([call]));
    streams(&proxy, 1.0);
    // The same user: the provider asks with its tag, and has it already. What the page says of its user is ignored.
    let same = page.ask(&json!({ "context": { "plan": "pro" } }));
    assert_eq!((&same["calls"][0]["status"], &same["text"]), (&json!(304), &json!("")), "{same}");
    assert!(same["calls"][0]["known"].is_string(), "{same}");
    // An attribute comes and goes: the tag is sent each time, and must not be taken for the answer.
    for (cookie, text) in [("plan=pro", "größe \"\\"), ("plan=; max-age=0", ""), ("plan=pro", "größe \"\\")] {
        let changed = page.ask(&json!({ "cookie": cookie, "context": { "plan": "free" } }));
        let call = &changed["calls"][0];
        assert!(call["known"].is_string() && call["status"] == 200, "{cookie}: {changed}");
        assert_eq!(changed["text"], text, "{cookie}: {changed}");
    }
    // Another look of the browser at the same page is one of the same user.
    page.command(&json!({ "reload": true }));
    let again = page.fact();
    one_user(&again);
    assert_eq!((&again["page"], &again["text"]), (&first["page"], &json!("größe \"\\")), "{again}");
    streams(&proxy, 1.0);
    follow_the_split(&proxy, &mut page);
    // The kill switch, on a page that is only open.
    let killed = proxy.put("/v1/flags/text", "{\"enabled\":false}");
    assert_eq!(page.fact()["changed"], json!(["text"]), "{killed}");
    assert_eq!(page.ask(&json!({}))["text"], "");
    page.end();
    streams(&proxy, 0.0);
}

#[test]
fn a_page_in_a_browser_has_its_flags_over_http2_as_well() {
    let Some((browser, folder)) = tools("OpenFeature's provider in a browser, HTTP/2") else { return };
    let (v1, v2) = (site("v1", &folder), site("v2", &folder));
    let ca = Ca::new("authority");
    let files = ca.issue("site", "site", &["127.0.0.1"]);
    let proxy = start(&v1, &v2, &format!("tls = {{ {} }}", files.toml()));
    let mut page = Page::in_browser(browser, &format!("https://{}/", proxy.address));
    let first = page.fact();
    one_user(&first);
    assert_eq!((&first["calls"][0]["status"], &first["calls"][0]["protocol"]), (&json!(200), &json!("h2")), "{first}");
    streams(&proxy, 1.0);
    let changed = page.ask(&json!({ "cookie": "plan=pro", "context": {} }));
    assert_eq!((&changed["calls"][0]["status"], &changed["text"]), (&json!(200), &json!("größe \"\\")), "{changed}");
    follow_the_split(&proxy, &mut page);
    page.end();
    streams(&proxy, 0.0);
}

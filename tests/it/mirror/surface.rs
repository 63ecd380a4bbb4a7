//! What the admin API says of mirrors and does to them.

use serde_json::{Value, json};

use crate::support::{Client, Origin, Proxy, Setup, eventually};

const MIRROR: &str = "/v1/services/site/mirror";

fn origins() -> [Origin; 2] {
    [Origin::saying("old"), Origin::saying("new")]
}

fn ask(proxy: &Proxy, times: usize) {
    let mut client = Client::to(proxy.address);
    for _ in 0..times {
        assert_eq!(client.write("GET /a?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n").read(false).unwrap().status, 200);
    }
}

/// `{"where", "found"}` of a refusal, in one text.
fn refusal(answer: &Value) -> String {
    answer["problems"].as_array().map_or_else(|| answer.to_string(), |problems| json!(problems).to_string())
}

#[test]
fn a_mirror_is_set_seen_explained_and_taken_back() {
    let [old, new] = origins();
    let proxy = Setup::to(&[&old, &new]).start();
    let dry = proxy.put(&format!("{MIRROR}?dry_run=true"), "{\"to\": \"v2\", \"share\": 100}");
    assert_eq!((&dry["changed"], &dry["difference"][0]["mirror"]["to"]["share"]), (&json!(true), &json!(100.0)));
    assert_eq!(proxy.call("GET", MIRROR, "")["to"], Value::Null);
    let set = proxy.put(MIRROR, "{\"to\": \"v2\", \"share\": 100, \"reason\": \"try it\"}");
    assert_eq!((&set["changed"], &set["difference"][0]["moved_ratio"]), (&json!(true), &json!(0.0)), "{set:#}");
    assert_eq!(proxy.status()["mirror"], json!({"to": "v2", "share": 100.0}));
    let explained = proxy.explain("/a");
    assert!(explained["why"].as_str().unwrap().ends_with("; 100 % of such requests are copied to v2"), "{explained:#}");
    ask(&proxy, 5);
    eventually("pairs", || proxy.call("GET", MIRROR, "")["pairs"] == 5);
    let found = proxy.call("GET", MIRROR, "");
    assert_eq!((&found["differing"], &found["differences"]["body"]), (&json!(5), &json!(5)), "{found:#}");
    assert_eq!(found["last"][0]["path"], "/a", "without its query: {found:#}");
    assert_eq!(found["last"][0]["user"]["sample"], Value::Null, "{found:#}");
    assert_eq!(found["methods"], json!(["GET", "HEAD"]), "{found:#}");
    let labels = ["service=\"site\"", "version=\"v2\""];
    assert_eq!(proxy.metric("pointsman_mirror_pairs_total", &labels), 5.0);
    assert_eq!(proxy.metric("pointsman_mirror_share_ratio", &labels), 1.0);
    let revisions = proxy.call("GET", "/v1/revisions?limit=1", "");
    let last = &revisions["revisions"][0];
    assert_eq!((&last["action"], &last["reason"]), (&json!("mirror"), &json!("try it")), "{revisions:#}");
    let back = proxy.call("POST", "/v1/rollback", "{}");
    assert_eq!(back["difference"][0]["mirror"]["to"], Value::Null, "{back:#}");
    ask(&proxy, 3);
    let ended = proxy.call("GET", MIRROR, "");
    let told = [&ended["to"], &ended["found_of"], &ended["pairs"]];
    assert_eq!(told, [&Value::Null, &json!("v2"), &json!(5)], "what it found is there yet: {ended:#}");
    assert_eq!(proxy.metric("pointsman_mirror_share_ratio", &labels), 0.0);
    assert_eq!(proxy.metric("pointsman_mirror_pairs_total", &labels), 5.0, "it goes on counting from here");
}

#[test]
fn bad_calls_are_told_what_to_do() {
    let [old, new] = origins();
    let proxy = Setup::to(&[&old, &new]).start();
    for (body, wanted) in [
        ("{}", "or 0 to end it"),
        ("{\"share\": 10}", "the version that gets the copies"),
        ("{\"to\": \"v9\", \"share\": 10}", "v9"),
        ("{\"to\": \"v2\", \"share\": 101}", "a number from 0 to 100"),
        ("{\"to\": \"v1\", \"share\": 10}", "answers all requests itself"),
        ("{\"to\": \"v2\", \"share\": 10, \"methods\": []}", "methods"),
    ] {
        let refused = refusal(&proxy.put(MIRROR, body));
        assert!(refused.contains(wanted), "{body}: {refused}");
    }
    let none = proxy.put("/v1/services/nosite/mirror", "{\"share\": 0}");
    assert!(none.to_string().contains("nosite"), "{none}");
    assert_eq!(proxy.put(MIRROR, "{\"share\": 0}")["changed"], false);
}

#[test]
fn it_is_explained_why_a_request_is_not_copied_and_where_endpoints_are() {
    let [old, new] = origins();
    let zones = format!("zones = {{ \"{}\" = \"a\" }}", old.address());
    let proxy = Proxy::start(&format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[services.site]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
         mirror = {{ to = \"v2\", share = 7.5 }}\nrules = [{{ name = \"new\", use = \"v2\", when = {{ path = \"/new\" }} }}]\n\
         versions.v2.endpoints = [\"{}\"]\n[services.site.versions.v1]\nendpoints = [\"{}\"]\n{zones}\n",
        new.address(),
        old.address()
    ));
    let explain = |method: &str, path: &str, headers: Value| {
        let body = json!({"host": "a", "method": method, "path": path, "headers": headers});
        proxy.call("POST", "/v1/explain", &body.to_string())
    };
    let copied = explain("HEAD", "/", json!({}));
    let says = "7.5 % of such requests are copied to v2";
    let wanted = json!({"to": "v2", "share": 7.5, "copied": true, "why": says});
    assert_eq!(copied["mirror"], wanted, "{copied:#}");
    for (method, path, headers, why) in [
        ("POST", "/", json!({}), "POST is none of the methods that are copied (GET, HEAD)"),
        ("GET", "/new", json!({}), "v2 answers it itself"),
        ("GET", "/", json!({"connection": "upgrade", "upgrade": "websocket"}), "another protocol"),
        ("GET", "/", json!({"x-pointsman-mirror": "1"}), "it is a copy itself (x-pointsman-mirror)"),
    ] {
        let explained = explain(method, path, headers);
        let mirror = &explained["mirror"];
        assert_eq!((&mirror["copied"], &mirror["to"]), (&json!(false), &json!("v2")), "{explained:#}");
        assert!(mirror["why"].as_str().unwrap().contains(why), "{explained:#}");
        assert!(!explained["why"].as_str().unwrap().contains("copied"), "{explained:#}");
    }
    assert_eq!(explain("GET", "/new", json!({}))["zones"], Value::Null, "v2 has none");
    proxy.put("/v1/services/site/split", "{\"v1\": 60, \"v2\": 40}");
    let by_chance = format!("{says}, unless it answers them itself");
    assert_eq!(explain("GET", "/", json!({}))["mirror"]["why"], by_chance);
    proxy.put("/v1/services/site/split", "{\"v1\": 0, \"v2\": 100}");
    assert_eq!(explain("GET", "/", json!({}))["mirror"]["why"], "not copied to v2: v2 answers it itself");
    proxy.put("/v1/services/site/split", "{\"v1\": 100, \"v2\": 0}");
    assert_eq!(explain("GET", "/", json!({}))["zones"], json!({old.address().to_string(): "a"}));
}

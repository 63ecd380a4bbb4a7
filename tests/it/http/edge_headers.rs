//! Header lines that a config sets, adds and removes, over HTTP/1.1 and HTTP/2: with variables, by service, version and
//! rule; and what clients and endpoints are told of the version and of the request.

use crate::support::h2::{H2Client, request};
use crate::support::{Origin, Reply, Setup, client, eventually, with};

/// Edits of a service, of `v1` and of a rule.
const EDITS: &str = r#"
rules = [{ name = "beta", when = { header = { "x-beta" = "yes" } }, use = "v2", request_headers = { set = { "x-kind" = "beta" } }, response_headers = { set = { "x-seen" = "rule" } } },
  { name = "deep", when = { path = { prefix = "/deep" } }, request_headers = { set = { "x-kind" = "deep" } } }]
[services.site.request_headers]
set = { "x-env" = "prod", "x-kind" = "service", "x-told" = "{version} {client} {revision} {request_id}", "x-slot" = "{slot}" }
add = { "x-list" = ["one", "two"] }
remove = ["x-debug", "cookie"]
[services.site.response_headers]
set = { "strict-transport-security" = "max-age=60", "x-seen" = "service", "x-by" = "{version}/{request_id}" }
remove = ["server"]
"#;

fn origin(body: &'static str) -> Origin {
    Origin::with(move |_| {
        let length = body.len();
        Reply::raw(format!(
            "HTTP/1.1 200 OK\r\nServer: secret/1\r\nX-Seen: endpoint\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    })
}

/// What an endpoint has seen, as far as it matters here.
fn assert_edited(seen: &crate::support::Seen, kind: &str, version: &str) {
    let only = |name: &str| seen.header(name).unwrap_or_default().to_owned();
    assert_eq!((only("x-env"), only("x-kind")), ("prod".to_owned(), kind.to_owned()));
    assert_eq!(seen.head.all("x-list"), ["mine", "one", "two"]);
    assert!(!seen.has("x-debug") && !seen.has("cookie"), "{seen:?}");
    let told: Vec<_> = only("x-told").split(' ').map(str::to_owned).collect();
    assert_eq!((told.len(), told[0].as_str(), told[1].as_str()), (4, version, "127.0.0.1"), "{told:?}");
    assert_eq!((&told[2], &told[3]), (&only("x-pointsman-revision"), &only("x-request-id")));
}

#[test]
fn lines_are_set_added_and_removed_in_the_order_of_service_version_and_rule() {
    let (v1, v2) = (origin("one"), origin("two"));
    let more = "[services.site.versions.v1.request_headers]\nset = { \"x-kind\" = \"version\" }";
    let proxy = Setup::to(&[&v1, &v2]).listener("h2c = true").service(EDITS).bottom(more).start();
    // A `Connection` header cannot take away what is set.
    let lines =
        ["X-Env: forged", "X-List: mine", "X-Debug: 1", "Cookie: a=b", "Connection: x-env, x-told", "X-Slot: 7"];
    let answer = client::send(proxy.address, with(&lines));
    assert_edited(&v1.last(), "version", "v1");
    assert!(v1.last().header("x-slot").unwrap().parse::<u32>().is_ok(), "{:?}", v1.last());
    assert_eq!(answer.head.all("x-seen"), ["service"]);
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=60"));
    assert!(answer.head.all("server").is_empty());
    let id = v1.last().header("x-request-id").unwrap().to_owned();
    assert_eq!(answer.header("x-by"), Some(&*format!("v1/{id}")));
    // The same over HTTP/2, and by the rule.
    let lines = [("x-env", "forged"), ("x-list", "mine"), ("x-debug", "1"), ("cookie", "a=b"), ("x-beta", "yes")];
    let answer = H2Client::to(proxy.address).ask(request("GET", "http://a/x", &lines));
    assert_edited(&v2.last(), "beta", "v2");
    assert!(!v2.last().has("x-slot"), "a rule chose: there is no slot");
    assert_eq!(answer.headers.get_all("x-seen").iter().collect::<Vec<_>>(), ["rule"]);
    assert!(!answer.headers.contains_key("server"));
    // A rule without a version leaves the choice to the split, and edits.
    client::send(proxy.address, "GET /deep/x HTTP/1.1\r\nHost: a\r\nX-List: mine\r\n\r\n");
    assert_edited(&v1.last(), "deep", "v1");
    assert!(v1.last().has("x-slot"));
    client::send(proxy.address, "GET /deeper HTTP/1.1\r\nHost: a\r\nX-List: mine\r\n\r\n");
    assert_edited(&v1.last(), "version", "v1");
    let explained = proxy.explain("/deep/x");
    assert_eq!(explained["version"], serde_json::Value::Null, "{explained:#}");
    let edits = explained["edits"]["request"].to_string();
    assert!(edits.contains("set x-kind: deep") && edits.contains("remove x-debug"), "{explained:#}");
}

#[test]
fn clients_are_told_version_and_id_if_they_are_trusted_or_all_are() {
    let origin = Origin::raw("HTTP/1.1 200 OK\r\nX-Pointsman-Version: inner\r\nContent-Length: 0\r\n\r\n");
    let trusted = "trusted_proxies = [\"127.0.0.0/8\"]";
    let always = "version_to_clients = \"always\"\nrequest_id_to_clients = \"always\"";
    let never = "version_to_clients = \"never\"\nrequest_id_to_clients = \"never\"";
    for (listener, service, told) in [("", "", false), (trusted, "", true), ("", always, true), (trusted, never, false)]
    {
        let proxy = Setup::to(&[&origin]).listener(listener).service(service).start();
        let answer = client::send(proxy.address, with(&["X-Pointsman-Version: forged"]));
        let id = origin.last().header("x-request-id").map(str::to_owned);
        let wanted = if told { (vec!["v1"], id.as_deref()) } else { (vec![], None) };
        assert_eq!(
            (answer.head.all("x-pointsman-version"), answer.header("x-request-id")),
            wanted,
            "{listener} {service}"
        );
        assert!(!origin.last().has("x-pointsman-version"), "what a client says of it goes");
        // An error has an id too.
        let answer = client::send(
            proxy.address,
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        assert_eq!((answer.status, answer.header("x-request-id")), (400, None));
    }
    let proxy = Setup::to(&[&origin]).service("version_to_endpoints = true").start();
    client::send(proxy.address, with(&["X-Pointsman-Version: forged"]));
    assert_eq!(origin.last().header("x-pointsman-version"), Some("v1"));
}

#[test]
fn a_replay_and_a_copy_get_the_edits_of_their_own_versions() {
    let (v1, v2) = (origin("one"), Origin::raw("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"));
    let lines = "shield = { stable = \"v1\" }\nversion_to_endpoints = true\nstrip_prefix = \"/api\"\n\
                 [services.site.request_headers]\nset = { \"x-told\" = \"{version}\" }\n\
                 [services.site.response_headers]\nset = { \"x-by\" = \"{version}\" }";
    let more = "[services.site.versions.v2.request_headers]\nset = { \"x-of-v2\" = \"yes\" }\n\
                [services.site.versions.v2.replace_prefix]\nfrom = \"/api\"\nto = \"/v2\"";
    let proxy = Setup::to(&[&v1, &v2]).split(&[0, 100]).service(lines).bottom(more).start();
    let answer = client::send(proxy.address, "GET /api/x?q=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-by")), (200, "one", Some("v1")));
    let (failed, replayed) = (v2.last(), v1.last());
    assert_eq!((failed.target(), failed.header("x-told")), ("/v2/x?q=1", Some("v2")));
    assert_eq!((replayed.target(), replayed.header("x-told")), ("/x?q=1", Some("v1")));
    assert_eq!((failed.header("x-of-v2"), replayed.header("x-of-v2")), (Some("yes"), None));
    assert_eq!(
        (failed.header("x-pointsman-version"), replayed.header("x-pointsman-version")),
        (Some("v2"), Some("v1"))
    );
    assert_eq!((failed.header("x-forwarded-prefix"), replayed.header("x-forwarded-prefix")), (None, Some("/api")));

    let (v1, v2) = (origin("one"), origin("two"));
    let lines =
        "mirror = { to = \"v2\", share = 100 }\n[services.site.request_headers]\nset = { \"x-told\" = \"{version}\" }";
    let proxy = Setup::to(&[&v1, &v2]).service(lines).start();
    client::send(proxy.address, with(&[]));
    eventually("the copy", || v2.seen().len() == 1);
    assert_eq!((v1.last().header("x-told"), v2.last().header("x-told")), (Some("v1"), Some("v2")));
}

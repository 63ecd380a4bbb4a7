//! What an upstream is told of flags: the user's variants, and nothing that a client says.

use std::collections::BTreeMap;
use std::fs;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use crate::support::fault::Fault;
use crate::support::h2::{H2Client, H2Origin, request};
use crate::support::issuer::{Issuer, now};
use crate::support::process::{Process, config};
use crate::support::{Client, Origin, Proxy, Reply, Seen, Setup, client, eventually, get, with};

/// One flag that is drawn as the service draws, one for staff, one that follows the version.
const FLAGS: &str = r#"
[attributes]
email = ["header:x-email", "jwt:email"]
[flags.new-checkout]
salt = "service:site"
rules = [
  { name = "dogfood", when = { attribute = { email = { suffix = "@example.com" } } }, serve = "on" },
  { name = "launch", serve = { on = 10, off = 90 } },
]
[flags.theme]
variants = { classic = "classic", new = "new" }
default = "classic"
follows = { service = "site", v2 = "new" }
"#;

const LISTED: &str = "flags = [\"new-checkout\", \"theme\"]\nsticky = [\"header:x-user\"]";

fn setup(v1: &Origin, v2: &Origin) -> Setup {
    Setup::to(&[v1, v2]).service(LISTED).bottom(FLAGS)
}

/// Where `v2` has nothing, and no user the launch: what is drawn for a request without a key is no matter of chance.
fn setup_of(origin: &Origin) -> Setup {
    let flags = FLAGS.replace("{ on = 10, off = 90 }", "{ on = 0, off = 100 }");
    Setup::to(&[origin, origin]).service(LISTED).bottom(&flags)
}

/// The flags that a request had, each once.
fn told(seen: &Seen) -> BTreeMap<String, String> {
    let lines = seen.head.headers.iter().filter(|(name, _)| name.starts_with("x-flag"));
    let told: BTreeMap<_, _> = lines.clone().cloned().collect();
    assert_eq!(told.len(), lines.count(), "{seen:?}");
    told
}

fn flags(new_checkout: &str, theme: &str) -> BTreeMap<String, String> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    [pair("x-flag-new-checkout", new_checkout), pair("x-flag-theme", theme)].into()
}

const FORGED: [(&str, &str); 5] = [
    ("X-Flag-New-Checkout", "on"),
    ("x-flag-new-checkout", "on"),
    ("X-FLAG-THEME", "new"),
    ("X_Flag_New_Checkout", "on"),
    ("x-flag_new-checkout", "on"),
];

#[test]
fn an_endpoint_is_told_and_a_client_cannot_tell() {
    let origin = Origin::saying("v1");
    let proxy = setup_of(&origin).listener("h2c = true").start();
    let forged: Vec<_> = FORGED.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let forged: Vec<_> = forged.iter().map(String::as_str).collect();
    for lines in [&["X-User: 1"][..], &[], &forged] {
        assert_eq!(client::send(proxy.address, with(lines)).status, 200);
        assert_eq!(told(&origin.last())["x-flag-theme"], "classic");
    }
    assert_eq!(told(&origin.last()), flags("off", "classic"), "without a key, and whatever the client says");
    client::send(proxy.address, with(&["X-Email: ann@example.com", "Connection: x-flag-theme, X-Flag-New-Checkout"]));
    assert_eq!(told(&origin.last()), flags("on", "classic"), "Connection names nothing of ours");
    let mut h2 = H2Client::to(proxy.address);
    let lower: Vec<_> = FORGED.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
    let lower: Vec<_> = lower.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(h2.ask(request("GET", "http://a/", &lower)).status, 200);
    assert_eq!(told(&origin.last()), flags("off", "classic"));
    // A service that lists no flags passes what it gets.
    let plain = Setup::to(&[&origin, &origin]).bottom(FLAGS).start();
    client::send(plain.address, with(&["X-Flag-Theme: new"]));
    assert_eq!(origin.last().header("x-flag-theme"), Some("new"));
    assert_eq!(told(&origin.last()).len(), 1);
}

#[test]
fn endpoints_of_http2_calls_of_grpc_and_websockets_are_told_as_well() {
    let origin = H2Origin::saying("v1");
    let listed = Setup::endpoints(&[&[origin.address()], &[origin.address()]]).service(LISTED).bottom(FLAGS);
    let proxy = listed.version("protocol = \"h2\"").listener("h2c = true").start();
    let name = |name: &'static str| HeaderName::from_static(name);
    let call = request(
        "POST",
        "http://a/shop.Cart/Add",
        &[
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("x-email", "a@example.com"),
            ("x-flag-theme", "new"),
        ],
    );
    let trailers: HeaderMap = [
        (name("x-flag-new-checkout"), HeaderValue::from_static("off")),
        (name("x-ok"), HeaderValue::from_static("yes")),
    ]
    .into_iter()
    .collect();
    let answer = H2Client::to(proxy.address).try_ask(call, &[b"\0\0\0\0\0"], Some(trailers)).expect("an answer");
    assert_eq!(answer.status, 200);
    let seen = origin.seen().pop().expect("a call");
    let all = |name: &str| seen.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((all("x-flag-new-checkout"), all("x-flag-theme")), (vec!["on"], vec!["classic"]));
    let trailers = seen.trailers.expect("trailers");
    assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-ok"]);
    // An origin that does not consent sees the same head as one that does.
    let plain = Origin::saying("no");
    let proxy = setup_of(&plain).start();
    let lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let key = ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X-Email: a@example.com", "X-Flag-Theme: new"];
    client::send(proxy.address, with(&[&lines[..], &key].concat()));
    let seen = plain.last();
    assert!(seen.has("upgrade"), "{seen:?}");
    assert_eq!(told(&seen), flags("on", "classic"));
}

/// Asks as this many users, and checks that flag and theme are those of the version that each one got. Returns how many
/// got v2.
fn users_of_v2(proxy: &Proxy, origins: &[&Origin; 2], users: usize, line: impl Fn(usize) -> String) -> usize {
    let mut client: Client = proxy.client();
    for user in 0..users {
        let answer = client.ask(with(&[&line(user), "X-Flag-New-Checkout: on", "X-Flag-Theme: new"]));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let [v1, v2] = origins.map(|origin| origin.forget().0);
    assert_eq!(v1.len() + v2.len(), users);
    for (seen, wanted) in [(&v1, flags("off", "classic")), (&v2, flags("on", "new"))] {
        let others: Vec<_> = seen.iter().filter(|seen| told(seen) != wanted).collect();
        assert!(others.is_empty(), "{} of {}, such as {:?}", others.len(), seen.len(), others[0]);
    }
    v2.len()
}

#[test]
fn a_flag_at_10_percent_reaches_exactly_the_users_of_v2_at_10_percent() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let by_header = setup(&v1, &v2).split(&[90, 10]).start();
    let count = users_of_v2(&by_header, &[&v1, &v2], 2_000, |user| format!("X-User: user-{user}"));
    assert!((140..270).contains(&count), "{count} of 2000 users");
    let setup = |sticky: &str| {
        let service = format!("flags = [\"new-checkout\", \"theme\"]\nsticky = [{sticky}]");
        Setup::to(&[&v1, &v2]).service(&service).bottom(FLAGS).split(&[90, 10]).start()
    };
    let by_cookie = setup("\"cookie:uid\"");
    let count = users_of_v2(&by_cookie, &[&v1, &v2], 500, |user| format!("Cookie: a=b; uid=user-{user}"));
    assert!((20..100).contains(&count), "{count} of 500 users");
    // Those who get their cookie with the response, and those who have no key at all: the flag is that of the draw.
    for sticky in ["\"cookie\"", ""] {
        let count = users_of_v2(&setup(sticky), &[&v1, &v2], 300, |_| "X-Nothing: 1".to_owned());
        assert!((5..80).contains(&count), "{count} of 300 requests");
    }
}

#[test]
fn the_theme_is_that_of_the_version_that_answers() {
    let (v1, v2) = (Origin::saying("v1"), Origin::with(|_| Reply::raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")));
    let shielded = setup(&v1, &v2).service("shield = { stable = \"v1\" }").split(&[0, 100]).start();
    let answer = client::send(shielded.address, with(&["X-User: user-1", "X-Flag-Theme: forged"]));
    assert_eq!((answer.status, answer.text().as_str()), (200, "v1"));
    let (first, replayed) = (told(&v2.only()), told(&v1.only()));
    assert_eq!((first["x-flag-theme"].as_str(), replayed["x-flag-theme"].as_str()), ("new", "classic"));
    assert_eq!(first["x-flag-new-checkout"], replayed["x-flag-new-checkout"], "the user is the same");
    // An endpoint that takes no connection is passed over before the request is told anything.
    v1.forget();
    let dead = Fault::refusing();
    let listed = Setup::endpoints(&[&[v1.address()], &[dead.address()]]).service(LISTED).bottom(FLAGS);
    let failing_over = listed.split(&[50, 50]).start();
    for user in 0..20 {
        client::send(failing_over.address, with(&[&format!("X-User: user-{user}")]));
    }
    let seen = v1.forget().0;
    assert!(seen.len() > 8, "{} requests", seen.len());
    assert!(seen.iter().all(|seen| told(seen)["x-flag-theme"] == "classic"), "{seen:?}");
}

#[test]
fn the_kill_switch_and_a_launch_are_a_reload_away() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.toml");
    let text = |flag: &str| {
        let flag = format!("flags = [\"launch\"]\n[flags.launch]\n{flag}\n");
        config(v1.address(), v2.address(), &flag)
    };
    let launch = |on: u32| format!("rules = [{{ name = \"launch\", serve = {{ on = {on}, off = {} }} }}]", 100 - on);
    fs::write(&file, text(&launch(0))).unwrap();
    let process = Process::start(&file);
    let on = || {
        for user in 0..200 {
            assert_eq!(client::send(process.listener, with(&[&format!("X-User-Id: user-{user}")])).status, 200);
        }
        let seen = v1.forget().0;
        let user = |seen: &Seen| seen.header("x-user-id").unwrap().to_owned();
        let on = seen.iter().filter(|seen| seen.header("x-flag-launch") == Some("on"));
        on.map(user).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(on().len(), 0);
    let mut before = on();
    for percent in [20, 60, 100] {
        fs::write(&file, text(&launch(percent))).unwrap();
        let wanted = 200 * percent as usize / 100;
        let mut now = before.clone();
        eventually(&format!("{percent} % have it"), || {
            now = on();
            now.len().abs_diff(wanted) <= 25 && now != before
        });
        assert!(before.is_subset(&now), "nobody loses it");
        before = now;
    }
    fs::write(&file, text(&format!("enabled = false\n{}", launch(100)))).unwrap();
    eventually("the switch is off", || on().is_empty());
    fs::write(&file, text("enabled = true\nrules = [{ serve = \"of\" }]")).unwrap();
    process.tells(&["flags.launch.rules[1].serve", "a variant of the flag: off, on"]);
    assert!(on().is_empty(), "what is bad changes nothing");
}

#[test]
fn caches_are_told_of_the_headers_that_decide_on_flags() {
    let origin = Origin::saying("v1");
    let vary = |proxy: &Proxy| client::send(proxy.address, get("/")).header("vary").map(str::to_owned);
    let with_flags = setup(&origin, &origin).start();
    assert_eq!(vary(&with_flags).as_deref(), Some("x-email, authorization, x-user"), "one version has everything");
    let silent = setup(&origin, &origin).service("cache_headers = false").start();
    assert_eq!(vary(&silent), None);
    assert_eq!(vary(&Setup::to(&[&origin, &origin]).bottom(FLAGS).start()), None, "a service without flags");
}

#[test]
fn a_claim_decides_on_a_flag_as_far_as_it_is_to_be_believed() {
    let (origin, issuer, stranger) = (Origin::saying("v1"), Issuer::new("a"), Issuer::new("a"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    fs::write(&file, Issuer::keys(&[&issuer])).unwrap();
    let claims = json!({ "email": "ann@example.com", "exp": now() + 3600 });
    let flag = |proxy: &Proxy, token: &str| {
        client::send(proxy.address, with(&[token]));
        told(&origin.last())["x-flag-new-checkout"].clone()
    };
    let verified = setup_of(&origin).bottom(&format!("[jwt]\nkeys = \"{}\"", file.display())).start();
    assert_eq!(flag(&verified, &issuer.bearer(&claims)), "on");
    assert_eq!(flag(&verified, &stranger.bearer(&claims)), "off");
    let unverified = setup_of(&origin).start();
    assert_eq!(flag(&unverified, &stranger.bearer(&claims)), "on");
    let request = format!("GET /v1/status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", unverified.admin);
    let status: serde_json::Value = serde_json::from_str(&client::send(unverified.admin, request).text()).unwrap();
    let warnings = status["jwt"]["warnings"].to_string();
    assert!(warnings.contains("tokens are not verified") && warnings.contains("site"), "{status}");
}

#[test]
fn explain_shows_the_flags_of_a_request() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = setup(&v1, &v2).split(&[90, 10]).start();
    let ask = |headers: serde_json::Value| {
        let asked = json!({ "host": "a", "headers": headers }).to_string();
        proxy.call("POST", "/v1/explain", &asked)
    };
    let flags = ask(json!({ "x-email": "ann@example.com", "x-user": "user-1" }))["flags"].clone();
    let checkout = &flags["new-checkout"];
    assert_eq!(
        (&checkout["variant"], &checkout["value"], &checkout["rule"]),
        (&json!("on"), &json!(true), &json!("dogfood"))
    );
    assert_eq!((&checkout["slot"], &checkout["why"]), (&json!(null), &json!("rule dogfood serves on")));
    let mut seen = BTreeMap::new();
    for user in 0..60 {
        let explained = ask(json!({ "x-user": format!("user-{user}") }));
        let (checkout, theme) = (&explained["flags"]["new-checkout"], &explained["flags"]["theme"]);
        let (on, value, variant) =
            if explained["version"] == "v2" { ("on", true, "new") } else { ("off", false, "classic") };
        assert_eq!((&checkout["variant"], &checkout["value"]), (&json!(on), &json!(value)), "{explained}");
        assert_eq!((&checkout["rule"], &checkout["slot"]), (&json!("launch"), &explained["slot"]), "{explained}");
        assert_eq!((&theme["variant"], &theme["value"]), (&json!(variant), &json!(variant)), "{explained}");
        *seen.entry(on).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "both: {seen:?}");
    let by_chance = ask(json!({}))["flags"].clone();
    assert_eq!(by_chance["new-checkout"]["variant"], json!(null), "{by_chance}");
    assert_eq!(by_chance["new-checkout"]["chances"], json!({ "off": 90.0, "on": 10.0 }), "{by_chance}");
    assert_eq!(by_chance["theme"]["variant"], json!(null), "{by_chance}");
    let plain = Setup::to(&[&v1]).start().explain("/");
    assert!(plain.get("flags").is_none(), "{plain}");
}

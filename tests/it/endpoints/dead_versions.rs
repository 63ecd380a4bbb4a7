//! Changes that would send users to a version that is known to be dead: refused unless an operator insists, and
//! never in the way of those who want out.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;

use http::Method;
use pointsman::cli::client::{AdminClient, Call, CallError};
use serde_json::{Value, json};

use crate::support::dns::{Dns, Says};
use crate::support::fault::Fault;
use crate::support::load::Load;
use crate::support::release::{Operator, id, version, visitors};
use crate::support::{Origin, Proxy, Reply, Setup, Turnstile, eventually, get};

/// Requests with this header go to v2, whatever the split says.
const RULE: &str = "[[services.site.rules]]\nwhen = { header = { \"x-canary\" = \"1\" } }\nuse = \"v2\"\n";

/// Checks that find out soon: the first one decides alone, later ones need company to take an endpoint out.
const CHECKED: &str = "health = { path = \"/healthz\", interval = \"1s\", timeout = \"900ms\", rise = 1, fall = 5 }";

const SPLIT: &str = "/v1/services/site/split";
const FLIP: &str = "/v1/services/site/flip";

/// An operator's calls.
struct Admin(AdminClient);

impl Admin {
    fn of(proxy: &Proxy) -> Self {
        Self(AdminClient::new(&proxy.admin.to_string(), None).unwrap())
    }

    fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, CallError> {
        self.0.call(Call { method, path, body: Some(body), if_match: None })
    }

    /// Checks that a call is refused because of a dead version, both dry and in earnest.
    #[track_caller]
    fn refuses(&self, method: &Method, path: &str, body: &Value) -> String {
        let mut told = String::new();
        for path in [format!("{path}?dry_run=true"), path.to_owned()] {
            // Orders to a rollout are never dry.
            if path.contains("dry_run") && path.split('/').nth(2) == Some("rollouts") && path.matches('/').count() > 2 {
                continue;
            }
            let answer = self.call(method.clone(), &path, body.clone());
            let Err(CallError::Refused { status, problem }) = answer else { panic!("{path} {body}: {answer:#?}") };
            assert_eq!(status.as_u16(), 409, "{path} {body}: {problem:#}");
            assert_eq!(problem["type"], "urn:pointsman:problem:no_endpoint", "{path} {body}: {problem:#}");
            let first = &problem["problems"][0];
            for word in ["\"force\": true", "--force", "pointsman status"] {
                assert!(first["remedy"].as_str().unwrap().contains(word), "{problem:#}");
            }
            told = format!("{}: {}", first["where"].as_str().unwrap(), first["found"].as_str().unwrap());
        }
        told
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.0.call(Call::get(path)).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn put(&self, path: &str, body: Value) -> Value {
        self.call(Method::PUT, path, body).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, body).unwrap_or_else(|error| panic!("{error}"))
    }

    fn drain(version: &str, address: SocketAddr) -> String {
        format!("/v1/services/site/versions/{version}/endpoints/{address}")
    }
}

/// Has a request meet v2, so that it is known whether it takes connections, and tells who has answered.
fn try_v2(proxy: &Proxy) -> String {
    proxy.client().ask("GET / HTTP/1.1\r\nHost: a\r\nx-canary: 1\r\n\r\n").text()
}

/// The state of the only endpoint of a version.
fn state(proxy: &Proxy, version: usize) -> String {
    proxy.status()["versions"][version]["endpoints"][0]["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn nothing_is_moved_onto_a_version_that_refuses_connections_unless_forced() {
    let (v1, v2) = (Origin::saying("v1"), Fault::refusing());
    let proxy = Setup::endpoints(&[&[v1.address()], &[v2.address()]]).bottom(RULE).start();
    let admin = Admin::of(&proxy);
    // It was not tried: nothing is known. The split of that revision is one to go back to later.
    let flipped = admin.post(FLIP, json!({ "to": "v2" }));
    admin.post("/v1/rollback", json!({}));
    try_v2(&proxy);
    let found = admin.refuses(&Method::POST, FLIP, &json!({ "to": "v2" }));
    let wanted = "services.site.versions.v2: no usable endpoint for 100 % of site: ";
    assert!(found.starts_with(&format!("{wanted}{} takes no connections (", v2.address())), "{found}");
    admin.refuses(&Method::PUT, SPLIT, &json!({ "v1": 99, "v2": 1 }));
    admin.refuses(&Method::PUT, "/v1/splits", &json!({ "site": { "v1": 50, "v2": 50 } }));
    admin.refuses(&Method::POST, "/v1/rollback", &json!({ "to": flipped["revision"] }));
    admin.refuses(&Method::POST, FLIP, &json!({ "to": "v2", "hold": { "max": "100ms" } }));
    let start = json!({ "service": "site", "to": "v2" });
    assert!(!admin.refuses(&Method::POST, "/v1/rollouts", &start).contains(" % of"));
    admin.refuses(&Method::POST, "/v1/rollouts", &json!({ "service": "site", "plan": { "strategy": "blue_green" } }));
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0, "nothing changed");
    for bad in [json!(1), json!("yes")] {
        let answer = admin.call(Method::POST, FLIP, json!({ "to": "v2", "force": bad }));
        assert!(answer.unwrap_err().to_string().contains("force: found"), "{bad}");
    }
    let dry = admin.post(&format!("{FLIP}?dry_run=true"), json!({ "to": "v2", "force": true }));
    assert!(dry["warnings"].to_string().contains("no usable endpoint"), "{dry:#}");
    let dry = admin.post("/v1/rollouts?dry_run=true", json!({ "service": "site", "force": true }));
    assert!(dry["warnings"].to_string().contains("no usable endpoint"), "{dry:#}");
    let forced = admin.put(SPLIT, json!({ "v1": 50, "v2": 50, "force": true, "reason": "I know" }));
    assert!(forced["changed"] == true && forced["warnings"].to_string().contains("no usable endpoint"), "{forced:#}");
    // Less for it, or the same, is never refused.
    admin.put(SPLIT, json!({ "v1": 60, "v2": 40 }));
    admin.post(FLIP, json!({ "to": "v1" }));
}

#[test]
fn who_insists_is_found_in_the_history() {
    let (v1, v2) = (Origin::saying("v1"), Fault::refusing());
    let proxy = Setup::endpoints(&[&[v1.address()], &[v2.address()]]).bottom(RULE).start();
    let admin = Admin::of(&proxy);
    let forced = |answer: &Value| {
        let one = admin.get(&format!("/v1/revisions/{}", answer["revision"]));
        let listed = admin.get("/v1/revisions?limit=1")["revisions"][0].clone();
        assert_eq!(one, listed);
        one["forced"].clone()
    };
    // Nothing is known of it yet: there is nothing to insist on.
    assert_eq!(forced(&admin.post(FLIP, json!({ "to": "v2", "force": true }))), Value::Null);
    admin.post("/v1/rollback", json!({}));
    try_v2(&proxy);
    let against = format!("site v2 has no usable endpoint now: {} takes no connections (", v2.address());
    let is_recorded = |answer: &Value| {
        let found = forced(answer);
        assert!(found.as_str().is_some_and(|found| found.starts_with(&against)), "{answer:#}: {found}");
    };
    let insist = json!({ "to": "v2", "force": true, "reason": "I know" });
    admin.post(&format!("{FLIP}?dry_run=true"), insist.clone());
    assert_eq!(admin.get("/v1/revisions?limit=1")["revisions"][0]["action"], "rollback", "a dry run is none");
    is_recorded(&admin.post(FLIP, insist));
    assert_eq!(forced(&admin.post("/v1/rollback", json!({ "force": true }))), Value::Null, "that was the way out");
    is_recorded(&admin.put(SPLIT, json!({ "v1": 90, "v2": 10, "force": true })));
    admin.put(SPLIT, json!({ "v1": 100 }));
    let drained = admin.put(&Admin::drain("v1", v1.address()), json!({ "state": "drain", "force": true }));
    assert!(forced(&drained).as_str().unwrap().ends_with("is drained"), "{drained:#}");
    admin.put(&Admin::drain("v1", v1.address()), json!({ "state": "ready" }));
    let started = admin.post("/v1/rollouts", json!({ "service": "site", "to": "v2", "force": true }));
    is_recorded(&json!({ "revision": started["rollout"]["events"][0]["revision"] }));
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["--admin", &format!("http://{}", proxy.admin), "history"])
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let history = String::from_utf8(output.stdout).unwrap();
    assert_eq!(history.matches(&format!("\n    forced: {against}")).count(), 3, "{history}");
    assert_eq!(history.matches("\n    forced: ").count(), 4, "{history}");
}

#[test]
fn a_version_that_has_come_back_is_not_refused() {
    let (v1, v2) = (Origin::saying("v1"), Fault::refusing());
    let proxy = Setup::endpoints(&[&[v1.address()], &[v2.address()]]).bottom(RULE).start();
    let admin = Admin::of(&proxy);
    try_v2(&proxy);
    admin.refuses(&Method::POST, FLIP, &json!({ "to": "v2" }));
    let _v2 = v2.recover("v2");
    eventually("it is known to be back", || state(&proxy, 1) == "ready");
    let dry = admin.post(&format!("{FLIP}?dry_run=true"), json!({ "to": "v2" }));
    assert!(dry["warnings"].is_null(), "{dry:#}");
    admin.post(FLIP, json!({ "to": "v2" }));
    assert_eq!(proxy.client().ask(get("/")).text(), "v2");
}

#[test]
fn failed_checks_drains_and_names_without_addresses_are_known_too() {
    let sick = Origin::with(|_| Reply::raw("HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n").close());
    let well = Origin::saying("ok");
    let proxy = Setup::to(&[&well, &sick]).version(CHECKED).start();
    let admin = Admin::of(&proxy);
    eventually("its checks fail", || state(&proxy, 1) == "unhealthy");
    let found = admin.refuses(&Method::POST, FLIP, &json!({ "to": "v2" }));
    assert!(found.ends_with("fails its checks (status 500)"), "{found}");
    admin.refuses(&Method::POST, "/v1/rollouts", &json!({ "service": "site" }));

    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = Setup::to(&[&v1, &v2]).start();
    let admin = Admin::of(&proxy);
    let drain = json!({ "state": "drain" });
    admin.put(&Admin::drain("v2", v2.address()), drain.clone());
    let found = admin.refuses(&Method::PUT, SPLIT, &json!({ "v1": 90, "v2": 10 }));
    assert!(found.ends_with("is drained"), "{found}");
    admin.refuses(&Method::POST, "/v1/rollouts", &json!({ "service": "site" }));
    // The other way round: the last endpoint of a version that has users.
    let found = admin.refuses(&Method::PUT, &Admin::drain("v1", v1.address()), &drain);
    assert!(found.contains("versions.v1: no usable endpoint for 100 % of site"), "{found}");
    let both = admin.call(Method::PUT, &Admin::drain("v1", v1.address()), json!({ "state": "ready", "force": true }));
    assert!(both.unwrap_err().to_string().contains("force: found"));
    admin.put(&Admin::drain("v1", v1.address()), json!({ "state": "drain", "force": true }));
    admin.put(&Admin::drain("v1", v1.address()), json!({ "state": "ready" }));

    let dns = Dns::saying(Says::NoName);
    let proxy = Proxy::start(&format!(
        "[proxy]\nresolver = \"{}\"\n[listeners.public]\naddress = \"127.0.0.1:0\"\n\
         [services.site]\nsplit = {{ v1 = 100, v2 = 0 }}\nversions.v1.endpoints = [\"{}\"]\n\
         versions.v2.endpoints = [\"nowhere.test:80\"]\n",
        dns.address(),
        v1.address()
    ));
    let admin = Admin::of(&proxy);
    eventually("the name server has answered", || {
        dns.queries() > 0 && admin.call(Method::POST, &format!("{FLIP}?dry_run=true"), json!({ "to": "v2" })).is_err()
    });
    let found = admin.refuses(&Method::POST, FLIP, &json!({ "to": "v2" }));
    assert!(found.contains("nowhere.test:80 stands for no address"), "{found}");
}

#[test]
fn one_endpoint_that_may_answer_is_enough() {
    let (v1, well, dead) = (Origin::saying("v1"), Origin::saying("v2"), Fault::refusing());
    let proxy = Setup::endpoints(&[&[v1.address()], &[well.address(), dead.address()]]).bottom(RULE).start();
    let admin = Admin::of(&proxy);
    eventually("one is paused", || {
        try_v2(&proxy);
        proxy.status()["versions"][1]["endpoints"][1]["state"] == "paused"
    });
    admin.put(SPLIT, json!({ "v1": 50, "v2": 50 }));
    // Now that one carries it all.
    let found = admin.refuses(&Method::PUT, &Admin::drain("v2", well.address()), &json!({ "state": "drain" }));
    assert!(found.contains("is drained") && found.contains("takes no connections"), "{found}");
    admin.put(&Admin::drain("v2", dead.address()), json!({ "state": "drain" }));
}

#[test]
fn the_way_out_is_never_barred() {
    let (one, two) = (Fault::refusing(), Fault::refusing());
    let proxy = Setup::endpoints(&[&[one.address()], &[two.address()]]).bottom(RULE).start();
    let admin = Admin::of(&proxy);
    try_v2(&proxy);
    assert_ne!(proxy.client().ask(get("/")).status, 200);
    // All of them are on a dead version: another one is no worse.
    admin.post(FLIP, json!({ "to": "v2" }));
    let back = admin.post("/v1/rollback", json!({}));
    assert!(back["warnings"].to_string().contains("no usable endpoint"), "{back:#}");
    admin.put(SPLIT, json!({ "v1": 50, "v2": 50 }));
    admin.put(&Admin::drain("v1", one.address()), json!({ "state": "drain" }));
    // To one that lives, from both.
    let _two = two.recover("v2");
    eventually("it is back", || try_v2(&proxy) == "v2");
    admin.post(FLIP, json!({ "to": "v2" }));
    // And from one that lives to a dead one only by force.
    admin.refuses(&Method::POST, "/v1/rollback", &json!({}));
}

#[test]
fn a_rollout_goes_back_to_a_version_in_trouble_and_not_on_to_one() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let plan = "rollout = { steps = [10, 50, 100], bake = \"10m\", on_hold = \"roll_back\" }";
    let proxy = Setup::to(&[&v1, &v2]).service(plan).start();
    let (admin, operator) = (Admin::of(&proxy), Operator::at(proxy.admin));
    let rollout = id(&operator.start(json!({ "service": "site", "to": "v2" })));
    let order = |word: &str| format!("/v1/rollouts/{rollout}/{word}");
    let drain = json!({ "state": "drain", "force": true });
    admin.put(&Admin::drain("v2", v2.address()), drain.clone());
    admin.refuses(&Method::POST, &order("promote"), &json!({}));
    admin.put(SPLIT, json!({ "v1": 100 }));
    operator.until(rollout, "paused", |rollout| rollout["phase"] == "paused");
    admin.refuses(&Method::POST, &order("resume"), &json!({}));
    assert_eq!(operator.rollout(rollout)["phase"], "paused", "it is as it was");
    assert_eq!(proxy.status()["versions"][1]["weight"], 0.0);
    let unknown = admin.call(Method::POST, &order("abort"), json!({ "force": true })).unwrap_err().to_string();
    assert!(unknown.contains("force: found"), "{unknown}");
    assert_eq!(admin.post(&order("resume"), json!({ "force": true }))["weight"], 10.0);
    assert_eq!(admin.post(&order("promote"), json!({ "force": true }))["weight"], 50.0);
    // Back to a version that is dead as far as is known it goes all the same, by hand and by itself.
    admin.put(&Admin::drain("v2", v2.address()), json!({ "state": "ready" }));
    admin.put(&Admin::drain("v1", v1.address()), drain.clone());
    assert_eq!(operator.order(rollout, "abort").unwrap()["ending"], "aborted");
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
    admin.put(&Admin::drain("v1", v1.address()), json!({ "state": "ready" }));
    let plan = json!({ "bake": "1s", "hold_max": "1s" });
    let again = id(&operator.start(json!({ "service": "site", "to": "v2", "plan": plan })));
    admin.put(&Admin::drain("v1", v1.address()), drain);
    operator.until_ended(again, "held_too_long");
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
}

/// A release that asks green, which answers when its turn comes, and flips then.
fn asks_first(more: &str, turnstile: &Turnstile) -> (Origin, Origin, Proxy) {
    let (v1, turnstile) = (Origin::saying("v1"), turnstile.clone());
    let v2 =
        Origin::with(move |_| Reply::default().wait(&turnstile).then("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv2"));
    let plan = format!(
        "rollout = {{ strategy = \"blue_green\", watch = \"10m\", keep = \"1m\", smoke = [{{ path = \"/\" }}], {more} }}"
    );
    let proxy = Setup::to(&[&v1, &v2]).service(&plan).start();
    (v1, v2, proxy)
}

#[test]
fn a_rollout_does_not_go_on_by_itself_to_a_version_that_nobody_answers_for() {
    let turnstile = Turnstile::shut();
    let (_v1, v2, proxy) = asks_first("on_hold = \"roll_back\"", &turnstile);
    let (admin, operator) = (Admin::of(&proxy), Operator::at(proxy.admin));
    let rollout = id(&operator.start(json!({ "service": "site", "to": "v2" })));
    // While it is asked.
    admin.put(&Admin::drain("v2", v2.address()), json!({ "state": "drain" }));
    turnstile.open();
    let held = operator.until(rollout, "held", |rollout| !rollout["paused_because"].is_null());
    let why = held["paused_because"].as_str().unwrap();
    let wanted =
        format!("site v2 has no usable endpoint now: {} is drained; it goes on when one is usable", v2.address());
    assert_eq!((why, &held["phase"], &held["weight"]), (&*wanted, &json!("going"), &json!(0.0)), "{held:#}");
    let brief = proxy.status()["rollout"].clone();
    assert_eq!(brief["paused_because"], wanted, "{brief:#}");
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
    admin.put(&Admin::drain("v2", v2.address()), json!({ "state": "ready" }));
    let on = operator.until(rollout, "it goes on", |rollout| rollout["weight"] == 100.0);
    assert_eq!((&on["phase"], &on["paused_because"]), (&json!("going"), &Value::Null), "{on:#}");
    assert_eq!(proxy.status()["versions"][1]["weight"], 100.0);
}

#[test]
fn a_rollout_is_not_held_for_ever_by_a_version_that_nobody_answers_for() {
    for (plan, phase, ending) in [
        ("hold_max = \"1s\", on_hold = \"roll_back\"", "finished", json!("aborted")),
        ("hold_max = \"1s\", on_hold = \"pause\"", "paused", Value::Null),
    ] {
        let turnstile = Turnstile::shut();
        let (_v1, v2, proxy) = asks_first(plan, &turnstile);
        let (admin, operator) = (Admin::of(&proxy), Operator::at(proxy.admin));
        let rollout = id(&operator.start(json!({ "service": "site", "to": "v2" })));
        admin.put(&Admin::drain("v2", v2.address()), json!({ "state": "drain" }));
        turnstile.open();
        let over = operator.until(rollout, phase, |rollout| rollout["phase"] == phase);
        let wanted =
            format!("(by the rollout: held too long: site v2 has no usable endpoint now: {} is drained)", v2.address());
        assert!(over["events"].to_string().contains(&wanted) && over["ending"] == ending, "{over:#}");
        assert_eq!(proxy.status()["versions"][0]["weight"], 100.0, "nobody was sent there");
    }
}

#[test]
fn the_judge_turns_back_to_a_version_that_nobody_answers_for() {
    let ((v1, _), (v2, mood)) = (version("v1"), version("v2"));
    let dead = Fault::refusing();
    let plan = "rollout = { steps = [50, 100], bake = \"10m\", judge = { warm_up = \"0s\", slower = false, errors_max = 0.2 } }";
    let proxy = Setup::endpoints(&[&[v1.address(), dead.address()], &[v2.address()]]).service(plan).start();
    let (admin, operator) = (Admin::of(&proxy), Operator::at(proxy.admin));
    let load = Load::start(visitors(proxy.address, &["/"], 300, false));
    let rollout = id(&operator.start(json!({ "service": "site", "to": "v2" })));
    load.await_more(300);
    // What is left of v1 refuses connections.
    admin.put(&Admin::drain("v1", v1.address()), json!({ "state": "drain", "force": true }));
    mood.failing.store(1_000, SeqCst);
    operator.until_ended(rollout, "rolled_back");
    load.end();
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
}

#[test]
fn the_command_line_insists_with_force() {
    let (v1, v2) = (Origin::saying("v1"), Fault::refusing());
    let proxy = Setup::endpoints(&[&[v1.address()], &[v2.address()]]).bottom(RULE).start();
    try_v2(&proxy);
    let address = v1.address().to_string();
    let pointsman = |arguments: &[&str]| {
        let admin = format!("http://{}", proxy.admin);
        let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["--admin", &admin])
            .args(arguments)
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    for words in [
        &["flip", "site", "v2"][..],
        &["shift", "site", "v1=90", "v2=10"],
        &["drain", "site", "v1", &address],
        &["rollout", "start", "site", "--to", "v2"],
    ] {
        for (dry, code) in [(&["--dry-run"][..], 1), (&[], 1), (&["--dry-run", "--force"], 0)] {
            let (found, text) = pointsman(&[words, dry].concat());
            assert_eq!(found, code, "{words:?} {dry:?}: {text}");
            assert!(text.contains("no usable endpoint"), "{words:?} {dry:?}: {text}");
            assert!(code == 0 || text.contains("409") && text.contains("--force"), "{words:?} {dry:?}: {text}");
        }
    }
    assert_eq!(pointsman(&["flip", "site", "v2", "--force"]).0, 0);
    assert_eq!(pointsman(&["rollback", "--force"]).0, 0);
    for words in [&["flip"][..], &["shift"], &["rollback"], &["drain"], &["rollout", "start"], &["rollout", "promote"]]
    {
        let (_, help) = pointsman(&[words, &["--help"]].concat());
        assert!(help.contains("--force"), "{words:?}: {help}");
    }
}

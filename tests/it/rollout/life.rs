//! The life of rollouts: groups, gates, blue/green, operators, restarts, and what is refused.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use pointsman::cli::client::Call;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::process::{Process, config};
use crate::support::release::{Mood, Operator, id, last_words, version, visitors};
use crate::support::{Client, Origin, Proxy, Reply, Seen, Setup};

/// Short bakes that are judged all the same; not by latency, because without a warm-up the first connections are
/// slower.
const PLAN: &str = "rollout = { steps = [20, 50, 100], bake = \"300ms\", \
                    judge = { warm_up = \"0s\", requests_min = 10, slower = false } }";

fn site() -> (Proxy, Operator, [Arc<Mood>; 2], [Origin; 2]) {
    let ((v1, old), (v2, new)) = (version("v1"), version("v2"));
    let proxy = Setup::to(&[&v1, &v2]).service(PLAN).start();
    let operator = Operator::at(proxy.admin);
    (proxy, operator, [old, new], [v1, v2])
}

fn start(operator: &Operator, plan: &Value) -> u64 {
    id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan})))
}

/// Three services under one group, at these paths.
const THREE: [&str; 3] = ["/web", "/cart", "/pay"];

fn three(v1: &Origin, v2: &Origin, ill: &Origin) -> Proxy {
    let mut text = "[listeners.public]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for path in THREE {
        let new = if path == "/pay" { ill } else { v2 };
        text += &format!(
            "[services.{}]\npaths = [\"{path}\"]\nsticky = [\"header:x-user-id\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
             versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n",
            &path[1..],
            v1.address(),
            new.address()
        );
    }
    text += "[groups.checkout]\nservices = [\"web\", \"cart\", \"pay\"]\n\
             rollout = { steps = [20, 100], bake = \"5m\", judge = { warm_up = \"0s\" } }\n";
    Proxy::start(&text)
}

#[test]
fn a_rollback_never_leads_to_a_version_that_was_turned_back() {
    let (_proxy, operator, _moods, _origins) = site();
    let rollback = |to: Value| {
        let call = Call { method: Method::POST, path: "/v1/rollback", body: Some(to), if_match: None };
        operator.0.call(call)
    };
    let weights = || {
        let site = operator.0.call(Call::get("/v1/services/site")).unwrap();
        [0, 1].map(|version| site["versions"][version]["weight"].as_f64().unwrap())
    };
    for steps in [json!([20, 100]), json!([10, 30, 100])] {
        let rollout = start(&operator, &json!({ "steps": steps, "bake": "5m" }));
        operator.order(rollout, "promote").unwrap();
        assert_eq!(operator.order(rollout, "abort").unwrap()["ending"], "aborted");
        let error = rollback(json!({})).unwrap_err().to_string();
        assert!(error.contains("no change of traffic that could be undone"), "{error}");
        assert_eq!(weights(), [100.0, 0.0]);
    }
    // What came before is what is undone.
    let shift = json!({ "v1": 0, "v2": 100 });
    let put = |body| Call { method: Method::PUT, path: "/v1/services/site/split", body: Some(body), if_match: None };
    operator.0.call(put(shift)).unwrap();
    operator.0.call(put(json!({ "v1": 100, "v2": 0 }))).unwrap();
    let rollout = start(&operator, &json!({ "bake": "5m" }));
    operator.order(rollout, "abort").unwrap();
    rollback(json!({})).unwrap();
    assert_eq!(weights(), [0.0, 100.0], "the shift before the rollout");
}

#[test]
fn one_bad_service_of_a_group_turns_all_of_them_back_in_one_swap() {
    let ((v1, _), (v2, _), (ill, mood)) = (version("v1"), version("v2"), version("v2"));
    let proxy = three(&v1, &v2, &ill);
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &THREE, 600, false));
    load.await_more(100);
    let rollout = id(&operator.start(json!({"group": "checkout", "to": "v2"})));
    assert!(operator.try_start(json!({"service": "web", "to": "v2"})).is_err(), "a service of a group is busy");
    // A user is on the same side of every service.
    let mut client = proxy.client();
    for user in 0..100 {
        let side = |client: &mut Client, path: &str| {
            client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\n\r\n")).text()
        };
        let sides = THREE.map(|path| side(&mut client, path));
        assert!(sides.iter().all(|other| *other == sides[0]), "user {user}: {sides:?}");
    }
    mood.failing.store(500, SeqCst);
    let over = operator.until_ended(rollout, "rolled_back");
    assert!(last_words(&over).contains("group checkout: rolled back pay v2"), "{over:#}");
    let back = over["events"].as_array().unwrap().last().unwrap()["revision"].as_u64().unwrap();
    let revision = operator.0.call(Call::get(&format!("/v1/revisions/{back}"))).unwrap();
    assert_eq!(revision["difference"].as_array().map(Vec::len), Some(3), "one revision, one swap: {revision:#}");
    load.end();
}

#[test]
fn a_shift_by_hand_pauses_a_rollout_and_it_says_so() {
    let (proxy, operator, _, _origins) = site();
    let rollout = start(&operator, &json!({"bake": "10m"}));
    let shifted = proxy.put("/v1/services/site/split", r#"{"v1": 60, "v2": 40}"#);
    assert!(shifted["warnings"].to_string().contains("this pauses the rollout"), "{shifted:#}");
    let paused = operator.0.call(Call::get(&format!("/v1/rollouts/{rollout}"))).unwrap();
    assert_eq!(paused["phase"], "paused", "also for who looks at once: {paused:#}");
    assert!(last_words(&paused).contains("changed by hand"), "{paused:#}");
    assert_eq!(proxy.status()["versions"][1]["weight"], 40.0, "and the hand wins");
    assert_eq!(operator.order(rollout, "resume").unwrap()["weight"], 20.0, "the stage begins again");
    assert!(operator.order(rollout, "resume").unwrap_err().to_string().contains("not paused"));
    assert_eq!(operator.order(rollout, "pause").unwrap()["phase"], "paused");
    assert_eq!(operator.order(rollout, "promote").unwrap()["weight"], 50.0);
    assert_eq!(operator.order(rollout, "abort").unwrap()["ending"], "aborted");
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
    assert!(operator.order(rollout, "abort").unwrap_err().to_string().contains("over"));
    assert!(operator.order(99, "abort").unwrap_err().to_string().contains("there is no rollout"));
}

#[test]
fn what_is_said_right_after_a_shift_is_said_to_the_rollout_that_it_pauses() {
    let (proxy, operator, _, _origins) = site();
    let rollout = start(&operator, &json!({"bake": "10m"}));
    for _ in 0..5 {
        proxy.put("/v1/services/site/split", r#"{"v1": 0, "v2": 100}"#);
        let resumed = operator.order(rollout, "resume").unwrap();
        assert_eq!((&resumed["phase"], &resumed["weight"]), (&json!("going"), &json!(20.0)), "{resumed:#}");
    }
    proxy.put("/v1/services/site/split", r#"{"v1": 0, "v2": 100}"#);
    assert!(operator.order(rollout, "pause").unwrap_err().to_string().contains("paused already"), "by the shift");
    assert_eq!(operator.order(rollout, "abort").unwrap()["ending"], "aborted");
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
}

#[test]
fn status_shows_a_rollout_under_way_and_what_the_shield_hides() {
    let ((v1, _), (v2, new)) = (version("v1"), version("v2"));
    let proxy = Setup::to(&[&v1, &v2]).service(PLAN).service("shield = true").start();
    let operator = Operator::at(proxy.admin);
    assert!(proxy.status()["rollout"].is_null());
    new.failing.store(500, SeqCst);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    let judge = json!({"warm_up": "1m", "slower": false});
    let rollout = start(&operator, &json!({"steps": [50, 100], "bake": "10m", "judge": judge}));
    let recent = |proxy: &Proxy| proxy.status()["versions"][1]["recent"].clone();
    crate::support::eventually("attempts fail", || recent(&proxy)["first_attempts_failed"].as_u64() >= Some(50));
    let recent = recent(&proxy);
    let ratio = recent["first_attempt_error_ratio"].as_f64().unwrap();
    assert!((ratio - 0.5).abs() < 0.2 && recent["first_attempts"].as_u64() > Some(50), "{recent:#}");
    assert_eq!((&recent["errors"], &recent["error_ratio"]), (&json!(0), &json!(0.0)), "users saw nothing: {recent:#}");
    let shown = proxy.status()["rollout"].clone();
    assert_eq!((&shown["id"], &shown["phase"], &shown["weight"]), (&json!(rollout), &json!("going"), &json!(50.0)));
    assert_eq!((&shown["stage"], &shown["stages"]), (&json!(0), &json!(2)), "{shown:#}");
    assert!(shown["warm_up_left_seconds"].as_f64() > Some(10.0), "{shown:#}");
    assert!(shown["sentence"].as_str().unwrap().contains("warming up, "), "{shown:#}");
    let all = operator.0.call(Call::get("/v1/status")).unwrap();
    assert_eq!(all["services"][0]["rollout"]["id"], rollout, "{all:#}");
    operator.order(rollout, "abort").unwrap();
    assert!(proxy.status()["rollout"].is_null(), "it is over");
    load.end_well();
}

#[test]
fn what_makes_no_sense_is_refused_whole() {
    let (proxy, operator, _, _origins) = site();
    let refused = |body: Value| operator.try_start(body).unwrap_err().to_string();
    for (body, says) in [
        (json!({"service": "nope"}), "unknown service"),
        (json!({"group": "nope"}), "unknown group"),
        (json!({}), "neither a service nor a group"),
        (json!({"service": "site", "to": "v3"}), "one of v1, v2"),
        (json!({"service": "site", "to": "v1"}), "has everything already"),
        (json!({"service": "site", "plan": {"steps": [50, 10, 100]}}), "above the one before"),
        (json!({"service": "site", "plan": {"strategy": "canari"}}), "canary"),
        (json!({"service": "site", "plan": {"frobnicate": 1}}), "unknown key"),
        (json!({"service": "site", "plan": 7}), "an object"),
    ] {
        let text = refused(body.clone());
        assert!(text.contains(says), "{body}: want {says:?} in {text}");
    }
    proxy.put("/v1/services/site/split", r#"{"v1": 60, "v2": 40}"#);
    assert!(refused(json!({"service": "site"})).contains("one version with everything"));
    assert_eq!(operator.0.call(Call::get("/v1/rollouts")).unwrap(), json!({"rollouts": []}));
}

#[test]
fn blue_green_asks_green_first_then_flips_watches_and_keeps_blue_warm() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let site = |expect: u16| {
        let smoke = format!("smoke = [{{ path = \"/\", status = [{expect}], body = \"^v2$\" }}]");
        let judge = "judge = { warm_up = \"0s\", requests_min = 10, slower = false }";
        let plan =
            format!("rollout = {{ strategy = \"blue_green\", watch = \"200ms\", keep = \"200ms\", {smoke}, {judge} }}");
        let proxy = Setup::to(&[&v1, &v2]).service(&plan).start();
        let operator = Operator::at(proxy.admin);
        (proxy, operator)
    };
    let (proxy, operator) = site(404);
    let failed = operator.until_ended(start(&operator, &json!({})), "task_failed");
    assert!(failed["events"].to_string().contains("200"), "what came is told: {failed:#}");
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
    let (proxy, operator) = site(200);
    // Green is judged by what blue did, so there have to be requests.
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    load.await_more(200);
    let done = operator.until_ended(start(&operator, &json!({})), "completed");
    load.end_well();
    let found = &done["evidence"][0];
    assert!(found["log10_e_errors_max"].is_number() && found["log10_e_slow_max"].is_null(), "{done:#}");
    let stages: Vec<_> = done["events"].as_array().unwrap().iter().map(|event| event["word"].clone()).collect();
    assert_eq!(stages, ["started", "advanced", "advanced", "finished"], "{done:#}");
    assert_eq!(proxy.status()["versions"][1]["weight"], 100.0);
}

#[test]
fn gates_wait_for_people_and_machines() {
    let agrees = Arc::new(AtomicBool::new(false));
    let (asked, does) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::clone(&agrees));
    let noted = Arc::clone(&asked);
    let gate = Origin::forgetful(move |seen| {
        noted.lock().unwrap().push(seen.clone());
        match does.load(SeqCst) {
            true => Reply::ok(""),
            false => Reply::raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!"),
        }
    });
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let webhook = format!("webhook = {{ url = \"http://{}/gate\" }}, judge", gate.address());
    let proxy = Setup::to(&[&v1, &v2]).service(&PLAN.replace("judge", &webhook)).start();
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    let steps = json!([{"weight": 20, "gate": "manual"}, {"weight": 50, "gate": "webhook"}, 100]);
    let rollout = start(&operator, &json!({"steps": steps}));
    let waits = operator.until(rollout, "waiting", |rollout| rollout["task"] == "approval");
    let how = [&waits["phase"], &waits["waits_for"], &waits["command"]];
    assert_eq!(how, ["waiting", "approval", "pointsman rollout promote site"], "{waits:#}");
    let last = waits["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["word"], "waiting", "{waits:#}");
    let text = last["text"].as_str().unwrap();
    assert!(text.contains("waiting for an approval at 20 %; to say yes: pointsman rollout promote site"), "{text}");
    proxy.await_metric("pointsman_rollout_waiting", &["need=\"approval\""], 1.0);
    assert_eq!(proxy.metric("pointsman_rollout_waiting", &["need=\"repair\""]), 0.0);
    proxy.await_metric("pointsman_rollout_phase", &["phase=\"waiting\""], 1.0);
    let shown = proxy.status()["rollout"].clone();
    assert_eq!((&shown["phase"], &shown["command"]), (&waits["phase"], &waits["command"]), "{shown:#}");
    let shifted = proxy.put("/v1/services/site/split?dry_run=true", r#"{"v1": 60, "v2": 40}"#);
    assert!(shifted["warnings"].to_string().contains("this pauses the rollout"), "{shifted:#}");
    operator.order(rollout, "promote").unwrap();
    agrees.store(true, SeqCst);
    operator.until_ended(rollout, "completed");
    let said = asked.lock().unwrap().last().cloned().expect("it was asked");
    assert!(said.line().starts_with("POST /gate") && said.text().contains("\"to\":\"v2\""), "{said:?}");
    load.end_well();
}

#[test]
fn everybody_is_told_in_signed_messages() {
    let said = Arc::<Mutex<Vec<Seen>>>::default();
    let noted = Arc::clone(&said);
    let told = Origin::forgetful(move |seen| {
        noted.lock().unwrap().push(seen.clone());
        Reply::ok("")
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "a secret of more than sixteen bytes\n").unwrap();
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let notify = format!(
        "[notify.ops]\nurl = \"http://{}/hook\"\nsecret_file = \"{}\"\n",
        told.address(),
        folder.path().join("secret").display()
    );
    let proxy = Setup::to(&[&v1, &v2]).service(PLAN).bottom(&notify).start();
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    operator.until_ended(start(&operator, &json!({})), "completed");
    let messages = || -> Vec<Value> {
        said.lock().unwrap().iter().map(|seen| serde_json::from_str(&seen.text()).unwrap()).collect()
    };
    crate::support::eventually("the end is told", || messages().iter().any(|message| message["event"] == "finished"));
    let words: Vec<_> = messages().iter().map(|message| message["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(words, ["started", "advanced", "advanced", "finished"]);
    let last = messages().pop().unwrap();
    assert!(
        last["text"].as_str().unwrap().contains("completed") && last["evidence"][0]["candidate"].is_object(),
        "{last:#}"
    );
    assert!(said.lock().unwrap().iter().all(|seen| seen.header("x-pointsman-signature").is_some()));
    load.end_well();
}

/// How often the process is killed.
const KILLS: u64 = 50;

/// Asks the proxy until it is gone.
fn ask_until_gone(proxy: SocketAddr) {
    let asking = move || {
        let Ok(stream) = std::net::TcpStream::connect(proxy) else { return };
        let mut client = Client::over(stream);
        for user in 0..100_000 {
            let asked = client.write(format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\n\r\n")).read(false);
            if asked.is_err() {
                return;
            }
        }
    };
    std::thread::spawn(asking);
}

fn active(process: &Process) -> Option<Value> {
    let all = process.get("/v1/rollouts");
    all["rollouts"].as_array().unwrap().iter().find(|rollout| rollout["phase"] != "finished").cloned()
}

/// What has to hold after a restart, whenever the process was killed.
fn check(process: &Process, number: u64) {
    let all = process.get("/v1/rollouts");
    for rollout in all["rollouts"].as_array().unwrap() {
        let mut weight = 0.0;
        for event in rollout["events"].as_array().unwrap() {
            let next = event["weight"].as_f64().unwrap();
            let text = event["text"].as_str().unwrap();
            if next > weight && weight > 0.0 {
                let judged = event["evidence"][0]["step_requests"].as_u64().unwrap();
                assert!(judged >= 10, "kill {number}: promoted on {judged} requests: {rollout:#}");
                assert!(text.contains("advanced"), "kill {number}: {text}");
            }
            assert!([0.0, 20.0, 50.0, 100.0].contains(&next), "kill {number}: {next}");
            weight = next;
        }
    }
    if let Some(rollout) = active(process) {
        let service = process.get("/v1/services/shop");
        let v2 = service["versions"].as_array().unwrap().iter().find(|version| version["name"] == "v2").unwrap();
        let rollout = process.get(&format!("/v1/rollouts/{}", rollout["id"]));
        assert!(
            v2["weight"] == rollout["weight"] || rollout["phase"] == "finished",
            "kill {number}: the split is {}, the rollout {rollout:#}",
            v2["weight"]
        );
    }
}

fn restart(path: &Path) -> (Process, Operator) {
    let process = Process::start(path);
    let operator = Operator(process.admin.clone());
    (process, operator)
}

#[test]
fn killed_at_any_moment_a_rollout_is_where_it_could_have_been() {
    let ((v1, _), (v2, mood)) = (version("v1"), version("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = format!("{PLAN}\n[state]\npath = \"{}\"\n", folder.path().join("pointsman.db").display());
    std::fs::write(&path, config(v1.address(), v2.address(), &state)).unwrap();
    let seed = 7;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for number in 0..KILLS {
        let (process, operator) = restart(&path);
        check(&process, number);
        ask_until_gone(process.listener);
        if active(&process).is_none() {
            let all_on_v1 = process.send(Method::POST, "/v1/services/shop/flip", json!({"to": "v1"}));
            all_on_v1.unwrap();
            // Some are turned back, so that kills fall into that as well.
            mood.failing.store(if number.is_multiple_of(3) { 900 } else { 0 }, SeqCst);
            operator.start(json!({"service": "shop", "to": "v2"}));
        }
        std::thread::sleep(Duration::from_millis(random.random_range(0..700)));
        process.kill();
    }
    mood.failing.store(0, SeqCst);
    let (process, operator) = restart(&path);
    check(&process, KILLS);
    ask_until_gone(process.listener);
    if let Some(rollout) = active(&process) {
        operator.until(rollout["id"].as_u64().unwrap(), "over", |rollout| rollout["phase"] == "finished");
    }
    let all = process.get("/v1/rollouts");
    let ends: Vec<_> = all["rollouts"].as_array().unwrap().iter().map(|rollout| rollout["ending"].clone()).collect();
    println!("{KILLS} kills, {} rollouts: {ends:?}", ends.len());
}

//! Groups of services and flags: versions and variants that are moved together, to the same users, and judged together.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use http::Method;
use pointsman::cli::client::{Call, CallError};
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::release::{Mood, Operator, id, last_words, visitors};
use crate::support::{Origin, Proxy};

/// Users who are asked for their sides.
const USERS: u32 = 120;

/// How the two sides are, in both services.
#[derive(Default)]
pub(super) struct Moods {
    v1: Arc<Mood>,
    v2: Arc<Mood>,
    web_off: Arc<Mood>,
    web_on: Arc<Mood>,
}

/// The endpoints of both services.
pub(super) struct Origins {
    v1: Origin,
    v2: Origin,
    web: Origin,
}

impl Origins {
    pub(super) fn new(moods: &Moods) -> Self {
        let version = |mood: &Arc<Mood>, name: &'static str| {
            let mood = Arc::clone(mood);
            Origin::forgetful(move |seen| {
                let flag = seen.header("x-flag-new-checkout").unwrap_or("none").to_owned();
                mood.reply(&format!("{name} {flag}"))
            })
        };
        let (on, off) = (Arc::clone(&moods.web_on), Arc::clone(&moods.web_off));
        let web = Origin::forgetful(move |seen| match seen.header("x-flag-new-checkout") {
            Some("on") => on.reply("on"),
            Some(_) | None => off.reply("off"),
        });
        Self { v1: version(&moods.v1, "v1"), v2: version(&moods.v2, "v2"), web }
    }

    /// `shop` has two versions and acts on the flag; `web` has one, and acts on it too.
    pub(super) fn config(&self, group: &str) -> String {
        let [v1, v2, web] = [&self.v1, &self.v2, &self.web].map(Origin::address);
        format!(
            "[services.shop]\npaths = [\"/shop\"]\nsticky = [\"header:x-user-id\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
             flags = [\"new-checkout\", \"theme\", \"hint\"]\nversions.v1.endpoints = [\"{v1}\"]\n\
             versions.v2.endpoints = [\"{v2}\"]\n\
             [services.web]\npaths = [\"/web\"]\nsticky = [\"header:x-user-id\"]\nflags = [\"new-checkout\"]\n\
             versions.v1.endpoints = [\"{web}\"]\n\
             [flags.new-checkout]\nsalt = \"service:shop\"\nrules = [{{ name = \"launch\", serve = \"off\" }}]\n\
             [flags.theme]\nvariants = {{ classic = 1, new = 2, newest = 3 }}\ndefault = \"classic\"\nsalt = \"look\"\n\
             rules = [{{ name = \"launch\", serve = \"classic\" }}]\n\
             [flags.hint]\nsalt = \"look\"\nrules = [{{ name = \"launch\", serve = \"off\" }}]\n\
             rollout = {{ steps = [25, 100], bake = \"7m\", judge = {{ alpha = 0.01 }} }}\n\
             [experiments.button]\nflag = \"hint\"\narms = {{ control = \"off\", treatment = \"on\" }}\n\
             metrics = [{{ name = \"bought\", kind = \"conversion\", when = {{ path = \"/orders\" }} }}]\n\
             [groups.launch]\nservices = [\"shop\"]\nflags = [\"new-checkout\"]\n{group}\n\
             [groups.look]\nflags = [\"theme\", \"hint\"]\nrollout = {{ steps = [30, 100], bake = \"5m\" }}\n"
        )
    }
}

/// A plan that an operator leads on.
const BY_HAND: &str = "rollout = { steps = [20, 50, 100], bake = \"10m\", judge = { warm_up = \"0s\" } }";

/// Bakes that are short and judged all the same.
const SHORT: &str = "rollout = { steps = [20, 50, 100], bake = \"300ms\", watch = \"300ms\", \
                     judge = { requests_min = 10, slower = false, warm_up = \"0s\" } }";

struct Shop {
    proxy: Proxy,
    operator: Operator,
    moods: Moods,
    _origins: Origins,
}

impl Shop {
    fn new(group: &str) -> Self {
        let moods = Moods::default();
        let origins = Origins::new(&moods);
        let text = format!("[listeners.public]\naddress = \"127.0.0.1:0\"\n{}", origins.config(group));
        let proxy = Proxy::start(&text);
        Self { operator: Operator::at(proxy.admin), proxy, moods, _origins: origins }
    }

    fn load(&self, per_second: u32) -> Load {
        let load = Load::start(visitors(self.proxy.address, &["/shop", "/web"], per_second, false));
        load.await_more(200);
        load
    }

    fn start(&self) -> u64 {
        id(&self.operator.start(json!({"group": "launch", "to": "v2"})))
    }

    fn put(&self, path: &str, body: Value) -> Result<Value, CallError> {
        self.operator.0.call(Call { method: Method::PUT, path, body: Some(body), if_match: None })
    }

    fn weights(&self) -> [f64; 2] {
        let of = |path: &str| self.operator.0.call(Call::get(path)).unwrap();
        weights(of)
    }

    /// What the last event of a rollout that moved something changed: services and flags.
    fn changed_by(&self, rollout: &Value) -> [usize; 2] {
        let revisions = rollout["events"].as_array().unwrap().iter().rev().find_map(|event| event["revision"].as_u64());
        let path = format!("/v1/revisions/{}", revisions.unwrap());
        let revision = self.operator.0.call(Call::get(&path)).unwrap();
        assert_eq!(revision["action"], "rollout", "{revision:#}");
        ["difference", "flags"].map(|part| revision[part].as_array().map_or(0, Vec::len))
    }
}

/// What v2 and `on` have, in per cent.
pub(super) fn weights(get: impl Fn(&str) -> Value) -> [f64; 2] {
    let (shop, flag) = (get("/v1/services/shop"), get("/v1/flags/new-checkout"));
    let version = shop["versions"][1]["weight"].as_f64().unwrap();
    [version, flag["rules"][0]["serve"]["on"].as_f64().unwrap_or_default()]
}

/// Whether each user is on the new side, which has to be the same one everywhere.
pub(super) fn sides(listener: SocketAddr) -> Vec<bool> {
    let ask = |user: u32, path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-user-id: {user}\r\n\r\n");
        send(listener, head).text()
    };
    let side = |user| {
        let (shop, web) = (ask(user, "/shop"), ask(user, "/web"));
        match (&*shop, &*web) {
            ("v2 on", "on") => true,
            ("v1 off", "off") => false,
            // Moved between the two: then it is on the new side here as well by now.
            ("v1 off", "on") if ask(user, "/shop") == "v2 on" => true,
            mixed => panic!("user {user} is on both sides: {mixed:?}"),
        }
    };
    (0..USERS).map(side).collect()
}

#[test]
fn a_version_and_a_flag_move_to_the_same_users_in_one_revision() {
    let shop = Shop::new(BY_HAND);
    let dry = shop.operator.dry_run(json!({"group": "launch", "to": "v2"}));
    let flags = json!([{"flag": "new-checkout", "rule": "launch", "from": "off", "to": "on", "services": ["web"]}]);
    assert_eq!((&dry["rollout"]["flags"], &dry["rollout"]["services"]), (&flags, &json!(["shop", "web"])), "{dry:#}");
    assert_eq!(shop.weights(), [0.0, 0.0], "a dry run moves nothing");
    let rollout = shop.start();
    assert_eq!(shop.weights(), [20.0, 20.0]);
    assert_eq!(shop.changed_by(&shop.operator.rollout(rollout)), [1, 1], "one revision");
    let mut before = sides(shop.proxy.address);
    let new = before.iter().filter(|new| **new).count();
    assert!((8..45).contains(&new), "{new} of {USERS} at 20 %");
    for weight in [50.0, 100.0] {
        let view = shop.operator.order(rollout, "promote").unwrap();
        assert_eq!((view["weight"].as_f64(), shop.weights()), (Some(weight), [weight, weight]));
        let now = sides(shop.proxy.address);
        assert!(before.iter().zip(&now).all(|(was, is)| !was || *is), "nobody goes back");
        before = now;
    }
    let over = shop.operator.order(rollout, "promote").unwrap();
    assert_eq!((&over["ending"], last_words(&over)), (&json!("completed"), last_words(&over)));
    let texts: Vec<_> = over["events"].as_array().unwrap().iter().map(|e| e["text"].as_str().unwrap()).collect();
    assert_eq!(texts[0], "launch v2, new-checkout=on: started (by local)", "{texts:#?}");
    assert!(last_words(&over).starts_with("launch v2, new-checkout=on: completed"), "{texts:#?}");
}

#[test]
fn what_the_flag_breaks_elsewhere_takes_both_back_in_one_revision() {
    let shop = Shop::new(BY_HAND);
    shop.moods.web_on.failing.store(300, SeqCst);
    let load = shop.load(600);
    let rollout = shop.start();
    let over = shop.operator.until_ended(rollout, "rolled_back");
    let words = last_words(&over);
    assert!(words.starts_with("group launch: rolled back web new-checkout=on: "), "{words}");
    assert!(words.contains(" on new-checkout=off"), "{words}");
    assert_eq!((shop.weights(), shop.changed_by(&over)), ([0.0, 0.0], [1, 1]));
    load.end();
}

#[test]
fn what_the_version_breaks_takes_both_back_too() {
    let shop = Shop::new(BY_HAND);
    shop.moods.v2.failing.store(300, SeqCst);
    let load = shop.load(600);
    let rollout = shop.start();
    let over = shop.operator.until_ended(rollout, "rolled_back");
    assert!(last_words(&over).starts_with("group launch: rolled back shop v2: "), "{over:#}");
    assert_eq!((shop.weights(), shop.changed_by(&over)), ([0.0, 0.0], [1, 1]));
    load.end();
}

#[test]
fn a_good_group_gets_everything_by_the_verdicts_of_all_its_judges() {
    let shop = Shop::new(SHORT);
    let load = shop.load(600);
    let rollout = shop.start();
    let status = shop.operator.0.call(Call::get("/v1/services/web")).unwrap();
    assert_eq!((&status["rollout"]["group"], &status["rollout"]["to"]), (&json!("launch"), &json!("on")), "{status:#}");
    let over = shop.operator.until_ended(rollout, "completed");
    assert_eq!(shop.weights(), [100.0, 100.0]);
    let text = over["events"][1]["text"].as_str().unwrap();
    assert!(text.starts_with("group launch: advanced shop, web v2, new-checkout=on, the most against "), "{text}");
    let judged = |service: usize| over["evidence"][service]["candidate"]["requests"].as_u64().unwrap();
    assert!(judged(0) > 20 && judged(1) > 20, "{over:#}");
    load.end_well();
}

#[test]
fn the_kill_switch_holds_a_group_and_it_goes_on_with_an_enabled_flag_only() {
    let shop = Shop::new(BY_HAND);
    let rollout = shop.start();
    let flag = "/v1/flags/new-checkout";
    let killed = shop.put(flag, json!({"enabled": false})).unwrap();
    assert!(killed["warnings"].to_string().contains("new-checkout is being rolled out: this pauses"), "{killed:#}");
    let paused = shop.operator.rollout(rollout);
    assert_eq!((&paused["phase"], &paused["command"]), (&json!("paused"), &json!("pointsman rollout resume launch")));
    assert_eq!(paused["paused_because"], "the split or a flag was changed by hand");
    for order in ["resume", "promote"] {
        let refused = shop.operator.order(rollout, order).unwrap_err().to_string();
        assert!(refused.contains("enable it (pointsman flag enable new-checkout), then resume"), "{order}: {refused}");
        assert_eq!(shop.operator.rollout(rollout)["phase"], "paused");
    }
    assert_eq!(shop.weights(), [20.0, 20.0], "nothing has moved");
    shop.put(flag, json!({"enabled": true})).unwrap();
    assert_eq!(shop.operator.order(rollout, "resume").unwrap()["phase"], "going");
    sides(shop.proxy.address);
    let shifted = shop.put("/v1/services/shop/split", json!({"v1": 60, "v2": 40})).unwrap();
    assert!(shifted["warnings"].to_string().contains("shop is being rolled out: this pauses"), "{shifted:#}");
    assert_eq!(shop.operator.rollout(rollout)["phase"], "paused");
    shop.put(flag, json!({"enabled": false})).unwrap();
    assert_eq!(shop.operator.order(rollout, "abort").unwrap()["ending"], "aborted", "the way back is never barred");
    assert_eq!(shop.weights(), [0.0, 0.0]);
}

#[test]
fn a_rollback_of_the_step_is_a_hand_on_both() {
    let shop = Shop::new(BY_HAND);
    let rollout = shop.start();
    shop.operator.order(rollout, "promote").unwrap();
    let call = Call { method: Method::POST, path: "/v1/rollback", body: Some(json!({})), if_match: None };
    let back = shop.operator.0.call(call).unwrap();
    assert!(back["warnings"].to_string().contains("this pauses the rollout"), "{back:#}");
    assert_eq!(shop.weights(), [20.0, 20.0]);
    assert_eq!(shop.operator.rollout(rollout)["phase"], "paused");
    assert_eq!(shop.operator.order(rollout, "resume").unwrap()["weight"], 50.0);
    assert_eq!(shop.operator.order(rollout, "abort").unwrap()["ending"], "aborted");
    sides(shop.proxy.address);
}

#[test]
fn flags_alone_are_a_group_and_each_can_say_its_variant() {
    let shop = Shop::new(BY_HAND);
    let serve = |flag: &str, variant: &str| {
        let flag = shop.operator.0.call(Call::get(&format!("/v1/flags/{flag}"))).unwrap();
        flag["rules"][0]["serve"][variant].as_f64().unwrap_or_default()
    };
    let error = shop.operator.try_start(json!({"group": "look"})).unwrap_err().to_string();
    assert!(error.contains("variants.theme: found no variant, want one of new, newest"), "{error}");
    let rollout = id(&shop.operator.start(json!({"group": "look", "variants": {"theme": "newest"}})));
    assert_eq!([serve("theme", "newest"), serve("hint", "on")], [30.0, 30.0]);
    let view = shop.operator.rollout(rollout);
    assert_eq!(view["paused_because"], Value::Null);
    assert_eq!(
        (&view["flags"][0]["services"], &view["flags"][1]["services"]),
        (&json!(["shop"]), &json!([])),
        "{view:#}"
    );
    let split = shop.put("/v1/services/shop/split", json!({"v1": 50, "v2": 50})).unwrap();
    assert!(!split["warnings"].to_string().contains("rolled out"), "a split is not its concern: {split:#}");
    let set = shop.put("/v1/flags/hint", json!({"serve": {"on": 1, "off": 99}})).unwrap();
    assert!(set["warnings"].to_string().contains("hint is being rolled out"), "{set:#}");
    assert_eq!(shop.operator.rollout(rollout)["paused_because"], "the flag was changed by hand");
    shop.operator.order(rollout, "abort").unwrap();
    assert_eq!([serve("theme", "newest"), serve("hint", "on")], [0.0, 0.0]);
    let words = last_words(&shop.operator.rollout(rollout)).to_owned();
    assert!(words.starts_with("look theme=newest, hint=on: rolled back, aborted"), "{words}");
}

#[test]
fn a_flag_has_a_plan_of_its_own_and_the_call_says_the_rest() {
    let shop = Shop::new(BY_HAND);
    let plain = shop.operator.dry_run(json!({"flag": "hint"}));
    let stages = |started: &Value| -> Vec<Value> {
        started["rollout"]["stages"].as_array().unwrap().iter().map(|s| json!([s["weight"], s["seconds"]])).collect()
    };
    assert_eq!(stages(&plain), [json!([25.0, 420.0]), json!([100.0, 420.0])], "{plain:#}");
    let other = shop.operator.dry_run(json!({"flag": "hint", "plan": {"steps": [5, 100]}}));
    assert_eq!(stages(&other), [json!([5.0, 420.0]), json!([100.0, 420.0])], "{other:#}");
}

#[test]
fn what_cannot_be_released_together_is_refused_and_nothing_changes() {
    let shop = Shop::new(BY_HAND);
    let cases = [
        (json!({"group": "launch", "variants": {"thme": "on"}}), "variants.thme: found \"thme\", which is no flag of"),
        (
            json!({"group": "launch", "variants": {"new-checkout": "purple"}}),
            "variants.new-checkout: found unknown variant",
        ),
        (json!({"group": "launch", "to": "on"}), "unknown version \"on\""),
        (json!({"flag": "hint", "variants": {"hint": "on"}}), "no flag of a group that is released"),
        (json!({"group": "launch", "plan": {"strategy": "rolling"}}), "canary or blue_green: a flag has no endpoints"),
    ];
    for (body, wanted) in cases {
        let error = shop.operator.try_start(body.clone()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{body}: {error}");
    }
    // The way down begins at the other end of the slots than the way up.
    shop.put("/v1/flags/new-checkout", json!({"serve": {"on": 100}})).unwrap();
    let error = shop.operator.try_start(json!({"group": "launch", "to": "v2"})).unwrap_err().to_string();
    let found = "new-checkout=off, which does not begin with the users with whom v2 begins in shop";
    assert!(error.contains(found) && error.contains("release them one after the other"), "{error}");
    shop.put("/v1/flags/new-checkout", json!({"serve": {"off": 100}})).unwrap();
    shop.put("/v1/flags/new-checkout", json!({"enabled": false})).unwrap();
    let error = shop.operator.try_start(json!({"group": "launch", "to": "v2"})).unwrap_err().to_string();
    assert!(error.contains("pointsman flag enable new-checkout"), "{error}");
    shop.put("/v1/flags/new-checkout", json!({"enabled": true})).unwrap();
    assert_eq!(shop.weights(), [0.0, 0.0]);
    let rollout = shop.start();
    for body in [json!({"service": "shop", "to": "v2"}), json!({"flag": "new-checkout"}), json!({"flag": "hint"})] {
        let error = shop.operator.try_start(body.clone()).unwrap_err().to_string();
        assert!(error.contains(&format!("rollout {rollout} to v2, which is not over")), "{body}: {error}");
    }
}

#[test]
fn an_experiment_and_a_group_keep_off_the_same_flag_where_another_one_is_compared() {
    let shop = Shop::new(BY_HAND);
    let start = || {
        let path = "/v1/experiments/button/start";
        shop.operator.0.call(Call { method: Method::POST, path, body: Some(json!({"force": true})), if_match: None })
    };
    let group = json!({"group": "look", "variants": {"theme": "newest"}});
    let rollout = id(&shop.operator.start(group.clone()));
    let refused = start().unwrap_err().to_string();
    assert!(refused.contains("hint, which is being rolled out"), "{refused}");
    shop.operator.order(rollout, "abort").unwrap();
    start().unwrap();
    let refused = shop.operator.try_start(group).unwrap_err().to_string();
    assert!(refused.contains("pointsman experiment stop button"), "{refused}");
}

/// What a good command prints.
fn say(process: &Process, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(["--admin", &process.admin.to_string()]).args(words).env("NO_COLOR", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_group_survives_each_power_cut_with_all_that_was_acknowledged_and_users_keep_their_sides() {
    let moods = Moods::default();
    let origins = Origins::new(&moods);
    let folder = tempfile::tempdir().unwrap();
    let (path, state) = (folder.path().join("pointsman.toml"), folder.path().join("pointsman.db"));
    let head = format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nworkers = 2\n\
         [state]\npath = \"{}\"\n",
        state.display()
    );
    std::fs::write(&path, head + &origins.config(BY_HAND)).unwrap();
    let mut process = Process::start(&path);
    let start = ["rollout", "start", "launch", "--group", "--to", "v2", "--variant", "new-checkout=on"];
    let begun = say(&process, &[&start[..], &["--dry-run"]].concat());
    assert!(begun.starts_with("rollout 1 of group launch to v2, new-checkout=on would begin\n"), "{begun}");
    say(&process, &start);
    let mut before = vec![false; USERS as usize];
    for weight in [20.0, 50.0, 100.0] {
        if weight > 20.0 {
            let operator = Operator(process.admin.clone());
            operator.order(1, "promote").unwrap();
        }
        process.kill();
        process = Process::start(&path);
        let operator = Operator(process.admin.clone());
        let there = operator.until(1, "going on", |view| view["phase"] == "going");
        assert_eq!(there["weight"], weight, "{there:#}");
        assert!(last_words(&there).contains("goes on after a restart, the stage begins again"), "{there:#}");
        assert_eq!(weights(|path| process.get(path)), [weight, weight]);
        let now = sides(process.listener);
        assert!(before.iter().zip(&now).all(|(was, is)| !was || *is), "nobody goes back");
        assert_eq!(sides(process.listener), now, "and all keep their sides");
        before = now;
        let state = format!("rollout 1 of group launch: v1 -> v2, new-checkout off -> on, going at {weight} %");
        let status = say(&process, &["rollout", "status", "launch"]);
        assert!(status.starts_with(&state) && status.contains("  web: new-checkout=on "), "{status}");
        assert_eq!(say(&process, &["rollout", "status", "new-checkout"]).lines().next(), status.lines().next());
    }
    // What fails after a restart is found by the new judges.
    moods.web_on.failing.store(1_000, SeqCst);
    say(&process, &["rollout", "abort", "launch", "--reason", "enough"]);
    process.kill();
    let process = Process::start(&path);
    let over = Operator(process.admin.clone()).rollout(1);
    assert_eq!((&over["ending"], weights(|path| process.get(path))), (&json!("aborted"), [0.0, 0.0]), "{over:#}");
    assert!(sides(process.listener).iter().all(|new| !new));
    let history = say(&process, &["history"]);
    assert!(history.contains("new-checkout") && history.contains("shop"), "{history}");
}

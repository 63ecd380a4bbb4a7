//! Flags that are released like versions: their last rule is moved, and the requests of the services that list them are
//! judged variant against variant.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use http::Method;
use pointsman::cli::client::{Call, CallError};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::send;
use crate::support::load::Load;
use crate::support::process::{Process, config};
use crate::support::release::{Mood, Operator, id, last_words, visitors};
use crate::support::{Origin, Proxy, Setup, eventually};

const FLAGS: &str = r#"
[attributes]
email = ["header:x-email"]
[segments.staff]
attribute = { email = { suffix = "@example.com" } }
[flags.new-checkout]
rules = [
  { name = "dogfood", when = { segment = "staff" }, serve = "on" },
  { name = "launch", serve = "off" },
]
[flags.theme]
variants = { classic = "classic", new = "new" }
default = "classic"
follows = { service = "site", v2 = "new" }
[flags.bare]
[flags.unlisted]
rules = [{ name = "launch", serve = "off" }]
[flags.half]
rules = [{ name = "launch", serve = { on = 50, off = 50 } }]
[flags.killed]
enabled = false
rules = [{ name = "launch", serve = "off" }]
"#;

/// A flag that a release of the service's versions draws anew.
const DRAWN_AS_SITE: &str =
    "[flags.as-site]\nsalt = \"service:site\"\nrules = [{ name = \"launch\", serve = { on = 50, off = 50 } }]";

const LISTED: &str =
    "sticky = [\"header:x-user-id\"]\nflags = [\"new-checkout\", \"theme\", \"bare\", \"half\", \"killed\"]";

/// Bakes that are short and judged all the same.
fn short_plan() -> Value {
    json!({"steps": [20, 50, 100], "bake": "300ms", "judge": {"requests_min": 10, "slower": false}})
}

/// A service whose versions both have the flag's code: how that is, and how the rest is.
struct Site {
    proxy: Proxy,
    operator: Operator,
    on: Arc<Mood>,
    off: Arc<Mood>,
    _versions: [Origin; 2],
}

/// A version that has the flag's code.
fn with_flag(on: &Arc<Mood>, off: &Arc<Mood>) -> Origin {
    let (on, off) = (Arc::clone(on), Arc::clone(off));
    Origin::forgetful(move |seen| match seen.header("x-flag-new-checkout") {
        // What is broken for the staff is so for them only.
        Some("on") if seen.has("x-email") => {
            let broken = Mood::default();
            broken.failing.store(1_000, SeqCst);
            broken.reply("staff")
        }
        Some("on") => on.reply("on"),
        Some(_) | None => off.reply("off"),
    })
}

impl Site {
    fn new() -> Self {
        let (on, off) = (Arc::<Mood>::default(), Arc::<Mood>::default());
        let versions = [with_flag(&on, &off), with_flag(&on, &off)];
        let setup = Setup::to(&[&versions[0], &versions[1]])
            .split(&[70, 30])
            .service(LISTED)
            .bottom(FLAGS)
            .bottom(DRAWN_AS_SITE);
        let proxy = setup.start();
        Self { operator: Operator::at(proxy.admin), proxy, on, off, _versions: versions }
    }

    /// Users who each ask once.
    fn load(&self, per_second: u32) -> Load {
        Load::start(visitors(self.proxy.address, &["/"], per_second, false))
    }

    fn start(&self, plan: &Value) -> u64 {
        id(&self.operator.start(json!({"flag": "new-checkout", "to": "on", "plan": plan})))
    }

    fn ask(&self, user: u32, more: &str) -> u16 {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-user-id: {user}\r\n{more}\r\n");
        send(self.proxy.address, head).status
    }

    fn put(&self, path: &str, body: Value) -> Result<Value, CallError> {
        self.operator.0.call(Call { method: Method::PUT, path, body: Some(body), if_match: None })
    }

    /// What the last rule gives to `on`, in per cent.
    fn launched(&self) -> f64 {
        let flag = self.operator.0.call(Call::get("/v1/flags/new-checkout")).unwrap();
        assert_eq!(flag["rules"][0]["serve"]["on"], 100.0, "the rule before it stays: {flag:#}");
        flag["rules"][1]["serve"]["on"].as_f64().unwrap_or_default()
    }

    fn split(&self) -> [f64; 2] {
        let site = self.operator.0.call(Call::get("/v1/services/site")).unwrap();
        [0, 1].map(|version| site["versions"][version]["weight"].as_f64().unwrap())
    }
}

#[test]
fn a_flag_whose_code_fails_is_taken_back_on_few_requests_and_versions_keep_their_users() {
    let site = Site::new();
    site.on.failing.store(200, SeqCst);
    let load = site.load(1_000);
    load.await_more(1_000);
    let began = Instant::now();
    let rollout = site.start(&json!({"steps": [10, 100], "bake": "10m"}));
    let over = site.operator.until_ended(rollout, "rolled_back");
    println!("turned back after {:?}: {}", began.elapsed(), last_words(&over));
    let words = last_words(&over);
    assert!(
        words.starts_with("rolled back site new-checkout=on: ") && words.contains(" on new-checkout=off"),
        "{words}"
    );
    assert_eq!((&over["flag"], &over["from"], &over["to"]), (&json!("new-checkout"), &json!("off"), &json!("on")));
    let judged = over["evidence"][0]["candidate"]["requests"].as_u64().unwrap();
    // No wall clock: at 1,000 requests a second these are three seconds.
    let baseline = over["evidence"][0]["baseline"]["requests"].as_u64().unwrap();
    assert!(judged < 300 && judged + baseline < 3_000, "{judged} and {baseline} requests: {over:#}");
    assert_eq!((site.launched(), site.split()), (0.0, [70.0, 30.0]));
    assert_eq!(site.off.failed.load(SeqCst), 0);
    load.end();
    let before = site.on.calls.load(SeqCst);
    (0..50).for_each(|user| assert_eq!(site.ask(user, ""), 200));
    assert_eq!(site.on.calls.load(SeqCst), before, "it is back for everybody");
}

#[test]
fn a_good_flag_gets_everything_step_by_step() {
    let site = Site::new();
    let load = site.load(400);
    let started = site.operator.start(json!({"flag": "new-checkout", "plan": short_plan()}));
    assert_eq!(started["rollout"]["to"], "on", "the only other variant: {started:#}");
    assert!(!started["warnings"].to_string().contains("as-site"), "no other flag is drawn anew: {started:#}");
    assert_eq!(site.proxy.status()["rollout"]["flag"], "new-checkout");
    let over = site.operator.until_ended(id(&started), "completed");
    assert_eq!((site.launched(), site.split()), (100.0, [70.0, 30.0]));
    let texts: Vec<_> =
        over["events"].as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap()).collect();
    assert_eq!(texts[0], "flag new-checkout=on: started (by local)", "{texts:#?}");
    assert!(texts[1].starts_with("advanced site new-checkout=on: "), "{texts:#?}");
    assert!(last_words(&over).starts_with("flag new-checkout=on: completed, it has all the traffic"), "{texts:#?}");
    let last = over["events"].as_array().unwrap().last().unwrap();
    assert!(last["evidence"][0]["step_requests"].as_u64() > Some(10), "the last step is judged too: {last:#}");
    load.end_well();
    let revisions = site.operator.0.call(Call::get("/v1/revisions")).unwrap();
    let last = &revisions["revisions"][0];
    assert_eq!((&last["action"], &last["flags"][0]["flag"]), (&json!("rollout"), &json!("new-checkout")), "{last:#}");
}

#[test]
fn what_is_released_next_is_judged_by_its_own_lot() {
    let site = Site::new();
    site.put("/v1/services/site/split", json!({ "v1": 100, "v2": 0 })).unwrap();
    let load = site.load(400);
    let plan = json!({"steps": [50, 100], "bake": "10m", "judge": {"slower": false, "warm_up": "0s"}});
    let versions = json!({"service": "site", "to": "v2", "plan": plan});
    let flag = json!({"flag": "new-checkout", "to": "on", "plan": plan});
    for next in [&versions, &flag, &versions, &flag] {
        let rollout = id(&site.operator.start(next.clone()));
        let both = |rollout: &Value| {
            ["candidate", "baseline"].iter().all(|side| rollout["evidence"][0][side]["requests"].as_u64() > Some(50))
        };
        site.operator.until(rollout, "requests of both sides are judged", both);
        site.operator.order(rollout, "abort").unwrap();
        site.operator.until(rollout, "it is over", |rollout| rollout["phase"] == "finished");
    }
    load.end();
}

#[test]
fn a_flag_is_flipped_at_once_and_watched_by_what_the_services_did_before() {
    let site = Site::new();
    let load = site.load(400);
    load.await_more(600);
    let judge = json!({"requests_min": 10, "slower": false});
    let plan = json!({"strategy": "blue_green", "watch": "300ms", "keep": "0s", "judge": judge});
    let rollout = site.start(&plan);
    assert_eq!(site.launched(), 100.0, "in one swap");
    let over = site.operator.until_ended(rollout, "completed");
    assert!(over["evidence"][0]["errors_max"]["at_most"].as_f64().is_some(), "{over:#}");
    site.put("/v1/flags/new-checkout", json!({"rule": "launch", "serve": {"off": 100}})).unwrap();
    site.on.failing.store(300, SeqCst);
    let plan = json!({"strategy": "blue_green", "watch": "10m", "judge": {"slower": false}});
    let rollout = site.start(&plan);
    let over = site.operator.until_ended(rollout, "rolled_back");
    let words = last_words(&over);
    assert!(words.contains("more than the allowed") && words.contains("new-checkout=on"), "{words}");
    assert_eq!((site.launched(), site.split()), (0.0, [70.0, 30.0]), "back in one swap");
    load.end();
}

#[test]
fn a_start_says_which_requests_count_and_speaks_of_variants() {
    let site = Site::new();
    let load = site.load(50);
    load.await_more(100);
    let dry = site.operator.dry_run(json!({"flag": "new-checkout", "plan": {"steps": [1, 100], "bake": "1s"}}));
    let forecast = dry["forecast"]["text"].as_str().unwrap();
    assert!(forecast.contains("at the most (only those count that rule launch draws)"), "{dry:#}");
    let warnings = dry["warnings"].to_string();
    assert!(warnings.contains("on the new variant at") && !warnings.contains("version"), "{dry:#}");
    load.end();
}

#[test]
fn a_slow_flag_is_taken_back_by_its_own_latency() {
    let site = Site::new();
    site.off.delay_ms.store(4, SeqCst);
    site.on.delay_ms.store(60, SeqCst);
    let load = site.load(150);
    let rollout = site.start(&json!({"steps": [50, 100], "bake": "10m"}));
    let over = site.operator.until_ended(rollout, "rolled_back");
    let words = last_words(&over);
    assert!(words.contains("took more than"), "{words}");
    let [on, off] = ["candidate_ms", "baseline_ms"].map(|arm| over["evidence"][0][arm][0].as_f64().unwrap());
    // A busy machine is late with both alike.
    assert!(on > 55.0 && off < on - 20.0, "each arm has its own: {on} {off}");
    load.end();
}

#[test]
fn whom_a_rule_before_it_picks_is_no_evidence() {
    let site = Site::new();
    let rollout = site.start(&json!({"steps": [50, 100], "bake": "10m"}));
    eventually("the workers count", || {
        site.ask(1, "");
        site.operator.rollout(rollout)["evidence"][0]["baseline"]["requests"] != 0
            || site.operator.rollout(rollout)["evidence"][0]["candidate"]["requests"] != 0
    });
    for user in 0..200 {
        assert_eq!(site.ask(user, "x-email: ann@example.com\r\n"), 503);
        assert_eq!(site.ask(user, ""), 200);
    }
    let all = |view: &Value| {
        let of = |arm: &str| view["evidence"][0][arm]["requests"].as_u64().unwrap();
        of("candidate") + of("baseline")
    };
    let view = site.operator.until(rollout, "judged", |view| all(view) >= 200);
    let counts = ["candidate", "baseline"].map(|arm| view["evidence"][0][arm]["failures"].as_u64().unwrap());
    assert_eq!(counts, [0, 0], "{view:#}");
    assert!((60..140).contains(&view["evidence"][0]["candidate"]["requests"].as_u64().unwrap()), "{view:#}");
}

#[test]
fn an_operators_hand_on_the_flag_pauses_its_release_and_one_on_the_split_does_not() {
    let site = Site::new();
    let rollout = site.start(&json!({"steps": [20, 100], "bake": "10m"}));
    let split = site.put("/v1/services/site/split", json!({"v1": 50, "v2": 50})).unwrap();
    assert!(!split["warnings"].to_string().contains("rolled out"), "{split:#}");
    assert_eq!(site.operator.rollout(rollout)["phase"], "going");
    let flag = "/v1/flags/new-checkout";
    let set = site.put(flag, json!({"rule": "launch", "serve": {"on": 30, "off": 70}})).unwrap();
    let says = "new-checkout is being rolled out: this pauses the rollout; resume or abort it";
    assert!(set["warnings"].as_array().unwrap().contains(&json!(says)), "{set:#}");
    let paused = site.operator.rollout(rollout);
    assert_eq!(
        (&paused["phase"], &paused["command"]),
        (&json!("paused"), &json!("pointsman rollout resume new-checkout"))
    );
    assert_eq!(paused["paused_because"], "the flag was changed by hand");
    assert_eq!(site.launched(), 30.0, "the operator's hand wins");
    site.operator.order(rollout, "resume").unwrap();
    assert_eq!(site.launched(), 20.0);
    site.put(flag, json!({"enabled": false})).unwrap();
    assert_eq!(site.operator.rollout(rollout)["phase"], "paused", "the kill switch too");
    let refused = site.operator.order(rollout, "resume").unwrap_err().to_string();
    assert!(refused.contains("pointsman flag enable new-checkout"), "{refused}");
    assert_eq!(site.operator.order(rollout, "abort").unwrap()["ending"], "aborted");
    assert_eq!((site.launched(), site.split()), (0.0, [50.0, 50.0]));
}

#[test]
fn what_cannot_be_released_is_refused_and_nothing_changes() {
    let site = Site::new();
    let flag = |flag: &str, more: Value| {
        let mut body = json!({"flag": flag});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let rolling = json!({"to": "on", "plan": {"strategy": "rolling"}});
    let cases = [
        (flag("new-chekout", json!({})), "new-checkout"),
        (flag("theme", json!({})), "follows the service site"),
        (flag("bare", json!({})), "no rule of bare"),
        (flag("unlisted", json!({})), "no service lists"),
        (flag("half", json!({})), "one variant with everything"),
        (flag("killed", json!({})), "pointsman flag enable killed"),
        (flag("new-checkout", json!({"to": "purple"})), "unknown variant \"purple\""),
        (flag("new-checkout", json!({"to": "off"})), "has everything already"),
        (flag("new-checkout", rolling), "a flag has no endpoints of its own"),
        (flag("new-checkout", json!({"service": "site"})), "more than one of service, group and flag"),
        (json!({"to": "on"}), "neither a service nor a group nor a flag"),
    ];
    for (body, wanted) in cases {
        let error = site.operator.try_start(body.clone()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{body}: {error}");
    }
    assert_eq!((site.launched(), site.proxy.status()["rollout"].is_null()), (0.0, true));
    let rollout = site.start(&json!({"steps": [20, 100], "bake": "10m"}));
    site.put("/v1/services/site/split", json!({"v1": 100, "v2": 0})).unwrap();
    let error = site.operator.try_start(json!({"service": "site", "to": "v2"})).unwrap_err().to_string();
    assert!(error.contains(&format!("rollout {rollout} to on, which is not over")), "{error}");
    site.operator.order(rollout, "abort").unwrap();
    let version = id(&site.operator.start(json!({"service": "site", "to": "v2", "plan": {"bake": "10m"}})));
    let error = site.operator.try_start(flag("new-checkout", json!({}))).unwrap_err().to_string();
    assert!(error.contains(&format!("rollout {version} to v2, which is not over")), "{error}");
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
fn a_release_goes_on_after_a_restart_and_the_command_line_says_what_it_is_of() {
    let (on, off) = (Arc::<Mood>::default(), Arc::<Mood>::default());
    let origin = with_flag(&on, &off);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = folder.path().join("pointsman.db");
    let flags = FLAGS.replace("service = \"site\"", "service = \"shop\"");
    let more = format!("flags = [\"new-checkout\"]\n{flags}\n[state]\npath = \"{}\"\n", state.display());
    std::fs::write(&path, config(origin.address(), origin.address(), &more)).unwrap();
    let mut process = Process::start(&path);
    let start = ["rollout", "start", "new-checkout", "--flag", "--to", "on", "--steps", "20,100", "--bake", "10m"];
    let dry = say(&process, &[&start[..], &["--dry-run"]].concat());
    assert!(dry.starts_with("rollout 1 of flag new-checkout to on would begin\n"), "{dry}");
    let begun = say(&process, &start);
    assert!(begun.starts_with("rollout 1 of flag new-checkout to on has begun\n"), "{begun}");
    let status = "rollout 1 of flag new-checkout: off -> on, going at 20 %, stage 1 of 2";
    assert!(say(&process, &["rollout", "status", "new-checkout"]).starts_with(status));
    assert!(say(&process, &["status", "shop"]).contains(&format!("  {status}")));
    assert!(process.end().success());
    let mut process = Process::start(&path);
    let operator = Operator(process.admin.clone());
    let there = operator.until(1, "known again", |view| view["phase"] == "going");
    assert!(last_words(&there).contains("goes on after a restart, the stage begins again"), "{there:#}");
    let serve = |process: &Process| process.get("/v1/flags/new-checkout")["rules"][1]["serve"]["on"].clone();
    assert_eq!(serve(&process), 20.0);
    on.failing.store(300, SeqCst);
    let load = Load::start(visitors(process.listener, &["/"], 300, false));
    operator.until_ended(1, "rolled_back");
    load.end();
    assert_eq!(serve(&process), 0.0);
    assert!(process.end().success());
}

//! What a caller of the admin API cannot do: have the proxy run programs or send requests that the config file does not
//! name, in any form of a plan, and whatever an earlier build has stored; or come from a page of another site.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http::Method;
use pointsman::cli::client::{Call, CallError};
use pointsman::testing::admin::{AccessRole, AccessSettings, AccessToken, Address};
use pointsman::testing::control::Store;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::control::{Control, token_file};
use crate::support::load::Load;
use crate::support::process::{Process, config};
use crate::support::release::{Operator, id, last_words, version, visitors};
use crate::support::spec::services;
use crate::support::{Origin, Proxy, Reply, Seen, eventually};

/// A receiver that notes who asks, and agrees.
fn listener() -> (Origin, Arc<Mutex<Vec<Seen>>>) {
    let asked = Arc::<Mutex<Vec<Seen>>>::default();
    let noted = Arc::clone(&asked);
    let origin = Origin::forgetful(move |seen| {
        noted.lock().unwrap().push(seen.clone());
        Reply::ok("secret")
    });
    (origin, asked)
}

/// The config of a service `site` whose versions are these origins, with more lines at the end.
fn text(v1: &Origin, v2: &Origin, more: &str) -> String {
    format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[services.site]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n{more}\n",
        v1.address(),
        v2.address()
    )
}

/// `where` of each problem of a refusal, sorted, and all of its text.
#[track_caller]
fn refused(answer: Result<Value, CallError>) -> (u16, Vec<String>, String) {
    let Err(CallError::Refused { status, problem }) = answer else { panic!("want a refusal: {answer:?}") };
    let mut places: Vec<String> =
        problem["problems"].as_array().unwrap().iter().map(|item| item["where"].as_str().unwrap().to_owned()).collect();
    places.sort();
    (status.as_u16(), places, problem.to_string())
}

/// A service whose release runs a command that leaves `ran`, and asks `origin`.
fn marker(origin: &Origin, ran: &std::path::Path) -> String {
    let address = origin.address();
    format!(
        "[services.marker]\npaths = [\"/marker\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
         versions.v1.endpoints = [\"{address}\"]\nversions.v2.endpoints = [\"{address}\"]\n\
         [services.marker.rollout]\nstrategy = \"rolling\"\nwatch = \"0s\"\nsmoke = [{{ path = \"/marked\" }}]\n\
         upgrade = {{ command = [\"/bin/sh\", \"-c\", \"echo ran >> {}\"] }}\n",
        ran.display()
    )
}

fn start_dry(operator: &Operator, body: Value) -> Result<Value, CallError> {
    operator.0.call(Call { method: Method::POST, path: "/v1/rollouts?dry_run=true", body: Some(body), if_match: None })
}

#[test]
fn a_call_that_names_what_is_run_or_asked_is_refused_and_nothing_happens() {
    let ((v1, _), (v2, candidate)) = (version("v1"), version("v2"));
    let (inner, asked) = listener();
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let (marked, marks) = listener();
    let marker_ran = folder.path().join("marker");
    let more = format!(
        "[services.shop]\npaths = [\"/shop\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
         [groups.both]\nservices = [\"site\", \"shop\"]\n{}",
        v1.address(),
        v2.address(),
        marker(&marked, &marker_ran)
    );
    let proxy = Proxy::start(&text(&v1, &v2, &more));
    let operator = Operator::at(proxy.admin);
    let command = json!({ "command": ["/bin/sh", "-c", format!("echo ran >> {}", ran.display())] });
    let webhook = json!({ "url": format!("http://{}/inner", inner.address()) });
    let smoke = json!([{ "path": "/inner", "headers": { "host": "inner" } }]);
    let rolling = |key: &str, value: &Value| json!({ "strategy": "rolling", "watch": "0s", key: value });
    let plans = [
        (json!({ "strategy": "rolling", "upgrade": command }), vec!["plan.upgrade"]),
        (json!({ "upgrade": { "webhook": webhook } }), vec!["plan.upgrade"]),
        (rolling("undo", &command), vec!["plan.undo", "plan.upgrade"]),
        (rolling("smoke", &smoke), vec!["plan.smoke", "plan.upgrade"]),
        (json!({ "upgrade": "acknowledge" }), vec!["plan.upgrade"]),
        (json!({ "webhook": webhook }), vec!["plan.webhook"]),
        (
            json!({ "webhook": webhook, "steps": [{ "weight": 5, "gate": "webhook" }, 100] }),
            vec!["plan.steps[1].gate", "plan.webhook"],
        ),
        (json!({ "steps": [{ "weight": 5, "webhook": webhook }, 100] }), vec!["plan.steps[1].webhook"]),
        (json!({ "strategy": "blue_green", "smoke": smoke }), vec!["plan.smoke"]),
        (json!({ "smoke": null, "undo": null }), vec!["plan.smoke", "plan.undo"]),
        (json!({ "rollback": { "gradual": "1s", "command": ["sh"] } }), vec!["plan.rollback.command"]),
        (
            json!({ "judge": { "query": "http://inner/" }, "notify": { "url": "http://inner/" } }),
            vec!["plan.judge.query", "plan.notify"],
        ),
    ];
    for (plan, wanted) in plans {
        for target in [("service", "site"), ("group", "both")] {
            let body = json!({ target.0: target.1, "to": "v2", "plan": plan });
            for answer in [operator.try_start(body.clone()), start_dry(&operator, body.clone())] {
                let (status, places, text) = refused(answer);
                assert_eq!((status, places), (422, wanted.iter().map(ToString::to_string).collect()), "{body}: {text}");
                let told = !wanted.iter().any(|place| place.ends_with("upgrade") || place.ends_with("webhook"));
                assert!(told || text.contains("config file"), "{body}: {text}");
            }
        }
    }
    // Everything that is wrong comes at once, whichever part finds it.
    let body =
        json!({ "service": "site", "to": "v9", "reason": 7, "plan": { "bake": "x", "bakes": 1, "upgrade": command } });
    let (status, places, text) = refused(operator.try_start(body));
    assert_eq!((status, places.join(" ")), (422, "plan.bake plan.bakes plan.upgrade reason to".to_owned()), "{text}");
    assert_eq!(operator.0.call(Call::get("/v1/rollouts")).unwrap(), json!({ "rollouts": [] }));
    // What the file names is run and asked afterwards; what was to happen before has happened by then.
    let last = id(&operator.start(json!({ "service": "marker", "to": "v2" })));
    operator.until_ended(last, "completed");
    assert!(marker_ran.exists() && !marks.lock().unwrap().is_empty(), "the file's own command and request");
    assert!(!ran.exists() && asked.lock().unwrap().is_empty(), "something was run or asked");
    assert_eq!(candidate.calls.load(std::sync::atomic::Ordering::SeqCst), 0, "the candidate was asked");
}

#[test]
fn what_the_file_names_survives_when_a_call_changes_numbers() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let (gate, asked) = listener();
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let (rolled, smoked) = listener();
    let both = rolled.address();
    let more = format!(
        "[services.site.rollout]\nsteps = [{{ weight = 5, gate = \"webhook\" }}, 100]\nbake = \"10m\"\n\
         webhook = {{ url = \"http://{}/gate\" }}\njudge = {{ warm_up = \"0s\", requests_min = 1, slower = false }}\n\
         [services.rolled]\npaths = [\"/rolled\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
         versions.v1.endpoints = [\"{both}\"]\nversions.v2.endpoints = [\"{both}\"]\n\
         [services.rolled.rollout]\nstrategy = \"rolling\"\nwatch = \"10m\"\nsmoke = [{{ path = \"/smoked\" }}]\n\
         upgrade = {{ command = [\"/bin/sh\", \"-c\", \"echo $1 >> {}\", \"sh\", \"{{to}}\"] }}\n\
         judge = {{ requests_min = 1 }}\n",
        gate.address(),
        ran.display()
    );
    let proxy = Proxy::start(&text(&v1, &v2, &more));
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 200, true));
    let plan = json!({ "bake": "200ms", "judge": { "requests_min": 2 } });
    let canary = id(&operator.start(json!({ "service": "site", "to": "v2", "plan": plan })));
    operator.until(canary, "past its gate", |rollout| rollout["weight"] == 100.0);
    assert!(
        asked.lock().unwrap().iter().any(|seen| seen.line().starts_with("POST /gate")),
        "the file's gate was asked"
    );
    // Steps of a call may refer to what the file has.
    operator.until_ended(canary, "completed");
    load.end_well();
    proxy.put("/v1/services/site/split", r#"{"v1": 100}"#);
    let steps = json!({ "steps": [{ "weight": 50, "bake": "0s", "gate": "webhook" }, 100] });
    let dry = start_dry(&operator, json!({ "service": "site", "to": "v2", "plan": steps })).unwrap();
    assert_eq!(dry["rollout"]["stages"][1]["what"], "webhook", "{dry:#}");
    let plan = json!({ "batch": 2, "drain_timeout": "1s" });
    let rolling = id(&operator.start(json!({ "service": "rolled", "to": "v2", "plan": plan })));
    operator.until(rolling, "joined", |rollout| rollout["weight"] == 100.0);
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "v2\n", "the file's command ran");
    assert!(smoked.lock().unwrap().iter().any(|seen| seen.target() == "/smoked"), "the file's smoke request was sent");
    operator.order(rolling, "abort").unwrap();
}

/// A stored rollout as an earlier build has left it: with hooks of a caller, and without a word on where they come
/// from.
fn as_an_earlier_build(database: &std::path::Path, hooks: &[(&str, Value)]) {
    let store = Connection::open(database).unwrap();
    let state: String = store.query_row("SELECT state FROM rollouts WHERE id = 1", [], |row| row.get(0)).unwrap();
    let mut state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["hooks_from_file"], true, "{state:#}");
    state.as_object_mut().unwrap().remove("hooks_from_file");
    for (key, value) in hooks {
        state["plan"][*key] = value.clone();
    }
    store.execute("UPDATE rollouts SET state = ?1 WHERE id = 1", [state.to_string()]).unwrap();
}

/// A proxy with its state in a folder, and what it is started from.
struct Stored {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Stored {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pointsman.toml");
        Self { folder, path }
    }

    fn write(&self, v1: &Origin, v2: &Origin, rollout: &str) {
        let state = format!("[state]\npath = \"{}\"\n", self.database().display());
        std::fs::write(&self.path, config(v1.address(), v2.address(), &format!("{state}{rollout}"))).unwrap();
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("pointsman.db")
    }

    fn start(&self) -> (Process, Operator) {
        let process = Process::start(&self.path);
        let operator = Operator(process.admin.clone());
        (process, operator)
    }
}

#[test]
fn hooks_that_an_earlier_build_took_from_a_caller_are_not_run_after_a_restart() {
    let (v1, _) = version("v1");
    let stored = Stored::new();
    let ran = stored.folder.path().join("ran");
    let command = json!({ "command": ["/bin/sh", "-c", format!("echo ran >> {}", ran.display())] });
    let rolling = "[services.shop.rollout]\nstrategy = \"rolling\"\nwatch = \"10m\"\n";
    // It stops in the middle: an operator has to acknowledge the upgrade.
    stored.write(&v1, &v1, &format!("{rolling}upgrade = \"acknowledge\"\n"));
    let (mut process, operator) = stored.start();
    let rollout = id(&operator.start(json!({ "service": "shop", "to": "v2" })));
    operator.until(rollout, "waiting", |rollout| rollout["task"] == "upgrade");
    process.end();
    as_an_earlier_build(&stored.database(), &[("upgrade", command.clone())]);

    let (mut process, operator) = stored.start();
    let paused = operator.until(rollout, "paused", |rollout| rollout["phase"] == "paused");
    assert!(last_words(&paused).contains("upgrade") && last_words(&paused).contains("config file"), "{paused:#}");
    process.tells(&["rollout of before is paused", "upgrade"]);
    // Resuming it all the same runs no program either, neither there nor on the way back.
    operator.order(rollout, "resume").unwrap();
    let stuck =
        operator.until(rollout, "stuck", |rollout| rollout["events"].to_string().contains("stuck on the way back"));
    assert!(last_words(&stuck).contains("config file"), "{stuck:#}");
    process.end();
    assert!(!ran.exists(), "the stored program ran");

    // What the file says today may run, and the release goes back.
    let hook = format!("upgrade = {{ command = [\"/bin/sh\", \"-c\", \"echo ran >> {}\"] }}\n", ran.display());
    stored.write(&v1, &v1, &format!("{rolling}{hook}"));
    let (mut process, operator) = stored.start();
    operator.order(rollout, "resume").unwrap();
    operator.until_ended(rollout, "task_failed");
    assert!(ran.exists());
    process.end();
}

#[test]
fn a_stored_gate_of_a_caller_is_not_asked_and_not_open_either() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let (inner, asked) = listener();
    let stored = Stored::new();
    stored.write(&v1, &v2, "[services.shop.rollout]\nbake = \"10m\"\nsteps = [5, 100]\n");
    let (mut process, operator) = stored.start();
    let rollout = id(&operator.start(json!({ "service": "shop", "to": "v2" })));
    process.end();
    let hooks = [
        ("webhook", json!({ "url": format!("http://{}/inner", inner.address()) })),
        ("steps", json!([{ "weight": 5, "bake": "0s", "gate": "webhook" }, 100])),
        ("judge", json!({ "requests_min": 1 })),
    ];
    as_an_earlier_build(&stored.database(), &hooks);
    let (mut process, operator) = stored.start();
    operator.until(rollout, "paused", |rollout| rollout["phase"] == "paused");
    operator.order(rollout, "promote").unwrap();
    let waits = operator.until(rollout, "at its gate", |rollout| rollout["task"] == "webhook");
    assert_eq!(waits["weight"], 5.0, "{waits:#}");
    eventually("the gate is barred", || process.told(&["task of a rollout has failed", "config file"]));
    assert_eq!(operator.rollout(rollout)["weight"], 5.0);
    assert!(asked.lock().unwrap().is_empty(), "the stored address was asked");
    assert_eq!(operator.order(rollout, "abort").unwrap()["ending"], "aborted");
    process.end();
}

#[test]
fn the_command_line_says_why_too() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let proxy = Proxy::start(&text(&v1, &v2, ""));
    let admin = format!("http://{}", proxy.admin);
    let hook = "upgrade={\"command\": [\"true\"]}";
    let arguments = ["--admin", &admin, "rollout", "start", "site", "--set", "strategy=rolling", "--set", hook];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman")).args(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("422") && errors.contains("--set upgrade") && errors.contains("config file"), "{errors}");
}

#[tokio::test]
async fn the_description_lists_what_a_call_may_change() {
    let control = Control::start();
    let document = control.get("/v1/openapi.json").await.json();
    let described = document["components"]["schemas"]["PlanBody"]["properties"].as_object().unwrap();
    let body = r#"{"service": "shop", "plan": {"frobnicate": 1}}"#;
    let refusal = control.send("POST /v1/rollouts?dry_run=true", body).await.json();
    let wanted = refusal["problems"][0]["wanted"].as_str().unwrap();
    let mut taken: Vec<_> = wanted.trim_start_matches("one of ").split(", ").collect();
    taken.sort_unstable();
    assert_eq!(described.keys().map(String::as_str).collect::<Vec<_>>(), taken, "{refusal:#}");
}

/// Every call of the API that is not only a look, from its own description, with names and numbers put in.
async fn writes(control: &Control) -> Vec<(String, String)> {
    let document = control.get("/v1/openapi.json").await.json();
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{service}", "shop")
            .replace("{version}", "v1")
            .replace("{address}", "127.0.0.1:1")
            .replace("{order}", "pause")
            .replace("{id}", "1")
            .replace("{flag}", "new")
            .replace("{experiment}", "button")
            .replace("{revision}", "1");
        let methods = methods.as_object().unwrap().keys().map(|method| method.to_uppercase());
        calls.extend(methods.filter(|method| method != "GET").map(|method| (method, path.clone())));
    }
    assert!(calls.len() >= 10, "{calls:?}");
    calls
}

#[tokio::test]
async fn no_page_of_another_site_can_make_any_call() {
    let control = Control::start();
    let port = control.port();
    let json = "content-type: application/json\r\n";
    for (method, path) in writes(&control).await {
        let line = format!("{method} {path}");
        // What a form or a script can send without asking first.
        for simple in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "text/plain; application/json",
            "",
        ] {
            if method != "DELETE" {
                let header = if simple.is_empty() { String::new() } else { format!("content-type: {simple}\r\n") };
                control.call(&line, &header, "{}").await.refusal(415);
            }
        }
        for origin in ["https://evil.example", "null", "http://localhost:1", &format!("http://evil.example:{port}")] {
            control.call(&line, &format!("{json}origin: {origin}\r\n"), "{}").await.refusal(403);
        }
        // A name that was bound to our address.
        let rebound = format!(
            "{line} HTTP/1.1\r\nhost: evil.example:{port}\r\n{json}content-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        control.raw(&rebound).await.refusal(403);
        // Whether it may send JSON is what a browser asks before it does.
        let preflight = "origin: https://evil.example\r\naccess-control-request-method: POST\r\n\
                         access-control-request-headers: content-type\r\n";
        let reply = control.call(&format!("OPTIONS {path}"), preflight, "").await;
        reply.refusal(403);
        assert!(reply.header("access-control-allow-origin").is_none(), "{reply:?}");
    }
    assert_eq!(control.table().revision, 1);
}

#[tokio::test]
async fn who_may_only_look_can_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = token_file(&folder, "board", "looks-only-and-nothing-else");
    let tokens = vec![AccessToken { name: "board".to_owned(), role: AccessRole::Read, file }];
    let settings = AccessSettings { tokens, ..AccessSettings::default() };
    let address = Address::Tcp(([127, 0, 0, 1], 0).into());
    let services = services(&[("shop", "v1=95 v2=5")]);
    let control = Control::with(services, Store::in_memory().unwrap(), &address, &settings);
    let json = "content-type: application/json\r\n";
    let token = format!("{json}authorization: Bearer looks-only-and-nothing-else\r\n");
    let document = Control::start();
    for (method, path) in writes(&document).await {
        let line = format!("{method} {path}");
        if path == "/v1/gitops/hook" {
            // It is signed, and needs no token; this proxy has no repository.
            control.call(&line, json, "{}").await.refusal(404);
            continue;
        }
        control.call(&line, json, "{}").await.refusal(401);
        if !matches!(&*path, "/v1/explain" | "/v1/simulate") && !path.ends_with("/evaluate") {
            control.call(&line, &token, "{}").await.refusal(403);
        }
    }
    assert_eq!(control.table().revision, 1);
}

//! `POST /v1/simulate`: what it says and to whom, with which traffic, and that it is bounded in every direction.

use std::fs;
use std::process::Command;
use std::time::Duration;

use pointsman::testing::stats::CodeClass;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::control::{Control, Reply};
use crate::support::event_stream::EventStream;
use crate::support::process::{Process, config};
use crate::support::{Origin, client, eventually, eventually_within, with};

const PATH: &str = "/v1/simulate";

/// How long what has the lowest priority of all may take on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// A proxy before two origins, whose config has these lines below its service.
struct Simulating {
    process: Process,
    folder: TempDir,
    _origins: [Origin; 2],
}

impl Simulating {
    fn start(more: &str) -> Self {
        let origins = [Origin::saying("v1"), Origin::saying("v2")];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pointsman.toml");
        fs::write(&path, config(origins[0].address(), origins[1].address(), more)).unwrap();
        Self { process: Process::start(&path), folder, _origins: origins }
    }

    fn ask(&self, body: &Value) -> EventStream {
        EventStream::post(self.process.admin_address, PATH, &[], body)
    }

    /// The result of all that was asked for. Others come before it, so a busy machine may not do it in the time that a
    /// call has, whose result says so; then it is asked for again.
    fn whole_result(&self, body: &Value) -> Value {
        let mut result = Value::Null;
        eventually_within(LONG, "all of it is simulated", || {
            result = self.result(body);
            result["complete"] == true
        });
        result
    }

    /// The result, after at least one word on how far it is.
    fn result(&self, body: &Value) -> Value {
        let mut stream = self.ask(body);
        assert_eq!(stream.status, 200, "{}", stream.head);
        let mut seen = 0;
        loop {
            let event = stream.event().expect("a result");
            assert!(event.id.is_empty(), "it cannot be resumed");
            if event.name == "result" {
                assert!(seen > 0, "it says how far it is first");
                assert!(stream.event().is_none(), "the result is the last");
                return event.data;
            }
            assert_eq!(event.name, "progress");
            assert!(event.data["runs"].as_u64() <= event.data["of"].as_u64(), "{}", event.data);
            seen += 1;
        }
    }

    /// One that does not end by itself before its budget.
    fn endless(&self) -> EventStream {
        let mut stream = self.ask(&json!({ "rate": 1, "runs": 10_000 }));
        assert_eq!(stream.status, 200, "{}", stream.head);
        stream.event().expect("the first word");
        stream
    }
}

#[test]
fn the_api_and_the_command_line_say_the_same() {
    let simulating = Simulating::start("[services.shop.rollout]\nsteps = [{ weight = 20, bake = \"1m\" }, 100]\n");
    let path = simulating.folder.path().join("pointsman.toml");
    let by_command = |arguments: &[&str]| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let output =
            command.args(["simulate", "--json", "--runs", "5", "--seed", "7"]).args(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let own = |mut result: Value| {
        for added in ["simulating_seconds", "traffic", "forecast"] {
            assert!(!result.as_object_mut().unwrap().remove(added).expect(added).is_null(), "{added}");
        }
        result
    };
    let of_command = by_command(&["--candidate-errors", "5%", "--steps", "10,100"]);
    let body = json!({ "candidate_errors": "5%", "steps": [10, 100], "runs": 5, "seed": 7 });
    let of_api = own(simulating.whole_result(&body));
    assert_eq!(of_api, of_command);
    assert_eq!(of_api["endings"], json!({ "rolled back: errors": 1.0 }), "{of_api}");
    assert_eq!(of_api["plan"], "10 -> 100 %, 10 min each");
    // The plan of a service, with traffic that is said.
    let of_command = by_command(&[
        "--config",
        path.to_str().unwrap(),
        "--rate",
        "100",
        "--baseline-errors",
        "1%",
        "--candidate-errors",
        "40%",
    ]);
    let body = json!({
        "service": "shop", "rate": 100, "baseline_errors": 0.01, "candidate_errors": 0.4, "runs": 5, "seed": 7,
    });
    let of_api = own(simulating.whole_result(&body));
    assert_eq!(of_api, of_command);
    assert_eq!((&of_api["plan"], &of_api["complete"]), (&json!("20 -> 100 %, 60 s each"), &json!(true)));
    let sentences = of_api["sentences"].as_array().unwrap();
    assert!(sentences.iter().any(|text| text.as_str().unwrap().starts_with("Users stay")), "{sentences:?}");
}

#[test]
fn what_is_not_done_in_time_is_left_out_and_it_is_said() {
    let simulating = Simulating::start("");
    let result = simulating.result(&json!({ "rate": 1, "runs": 10_000, "budget": "300ms" }));
    // Ten seconds are what a call has that says nothing.
    assert!((0.3..9.0).contains(&result["simulating_seconds"].as_f64().unwrap()), "{result}");
    assert_eq!((&result["complete"], &result["asked"]), (&json!(false), &json!(10_000)));
    let (done, said) =
        (result["runs"].as_u64().unwrap(), result["sentences"].as_array().unwrap().last().unwrap().as_str().unwrap());
    let wanted = match done {
        0 => "No release was over when the time was up".to_owned(),
        done => format!("The time was up after {done} of 10000 releases"),
    };
    assert!(done < 10_000 && said.starts_with(&wanted), "{result}");
}

#[test]
fn there_are_two_at_once_and_one_whose_client_leaves_makes_room() {
    let simulating = Simulating::start("");
    let (first, second) = (simulating.endless(), simulating.endless());
    let begun = Instant::now();
    let third = simulating.ask(&json!({ "runs": 1 }));
    assert_eq!(third.status, 503, "{}", third.head);
    assert!(third.head.contains("retry-after: 2"), "{}", third.head);
    // They take what the machine has to spare.
    let process = simulating.process.id();
    let nice = |stat: &str| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().to_owned();
    let usual = nice(&fs::read_to_string(format!("/proc/{process}/stat")).unwrap());
    eventually("two threads that others come before", || {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let stats: Vec<_> =
            tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok()).collect();
        let (simulate, others): (Vec<_>, Vec<_>) = stats.iter().partition(|stat| stat.contains("(simulation)"));
        assert!(others.iter().all(|stat| nice(stat) == usual), "{others:?}");
        simulate.len() == 2 && simulate.iter().all(|stat| nice(stat) == "19")
    });
    drop(first);
    eventually("a free place", || simulating.ask(&json!({ "candidate_errors": 1, "runs": 1 })).status == 200);
    assert!(begun.elapsed() < Duration::from_secs(9), "the budget has ended it: {:?}", begun.elapsed());
    drop(second);
}

#[test]
fn absurd_calls_are_told_all_that_is_wrong_with_them() {
    let simulating = Simulating::start("");
    let refused =
        |body: Value| simulating.process.send(http::Method::POST, PATH, body).expect_err("it is absurd").to_string();
    let told = refused(json!({
        "service": "shop", "runs": 1_000_000_000, "users": 1_000_000_000, "rate": 1e99, "budget": "99h",
        "plan": { "steps": [10, 5], "upgrade": { "command": ["sh"] } }, "to": "v9",
    }));
    for place in [
        "runs: found 1000000000, want 1 to 10000",
        "users: ",
        "rate: ",
        "budget: ",
        "plan.steps[2]: ",
        "plan.upgrade: ",
        "to: ",
    ] {
        assert!(told.contains(place), "{place} in {told}");
    }
    let told = refused(json!({ "service": "shpo" }));
    assert!(told.contains("did you mean \"shop\""), "{told}");
    let stream = EventStream::post(simulating.process.admin_address, "/v1/simulate?dry_run", &[], &json!({}));
    assert_eq!(stream.status, 422, "it has nothing to change");
    assert_eq!(EventStream::open(simulating.process.admin_address, PATH, &[]).status, 405);
}

#[test]
fn who_may_read_may_simulate_and_others_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "looks-only").unwrap();
    let simulating =
        Simulating::start(&format!("[admin.tokens.board]\nrole = \"read\"\nfile = \"{}\"\n", token.display()));
    let body = json!({ "candidate_errors": 1, "runs": 1 });
    let ask = |lines: &[String]| EventStream::post(simulating.process.admin_address, PATH, lines, &body).status;
    assert_eq!(ask(&[]), 401);
    assert_eq!(ask(&["Authorization: Bearer looks-only".to_owned()]), 200);
    assert_eq!(ask(&["Authorization: Bearer looks-only".to_owned(), "Origin: https://evil.example".to_owned()]), 403);
}

#[test]
fn a_simulation_does_not_keep_the_process_and_requests_are_served_beside_it() {
    let mut simulating = Simulating::start("");
    let mut streams = [simulating.endless(), simulating.endless()];
    for user in 0..20 {
        let answer = client::send(simulating.process.listener, with(&[&format!("X-User-Id: user-{user}")]));
        assert_eq!(answer.status, 200);
    }
    assert!(simulating.process.end().success());
    // Their time was not over.
    for stream in &mut streams {
        while let Some(event) = stream.event() {
            assert_eq!(event.name, "progress");
        }
    }
    assert!(!simulating.process.told(&["ended early"]) && !simulating.process.told(&["panic"]));
}

/// The result in the text of a stream.
fn result_in(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{reply:?}");
    let line = reply.text.lines().skip_while(|line| *line != "event: result").nth(1).expect("a result");
    serde_json::from_str(line.strip_prefix("data: ").expect("data")).expect("JSON")
}

fn answer(control: &Control, version: &str, class: CodeClass, count: usize, micros: u64) {
    let table = control.table();
    let version = table.service_named("shop").unwrap().version_named(version).unwrap();
    (0..count).for_each(|_| version.stats.cell(0).answered(class, micros));
}

#[tokio::test]
async fn a_service_is_simulated_with_its_traffic_of_this_moment() {
    let control = Control::start();
    let line = format!("POST {PATH}");
    let asked = Instant::now();
    // As often as it takes to simulate all of it.
    let simulate = async |body: &str| loop {
        let result = result_in(&control.send(&line, body).await);
        if result["complete"] == true {
            return result;
        }
        assert!(asked.elapsed() < LONG, "{result}");
    };
    let idle = simulate(r#"{"service": "shop", "runs": 1, "plan": {"bake": "1s", "hold_max": "1m"}}"#).await;
    assert_eq!(idle["traffic"]["rate"], 0.0, "{idle}");
    assert_eq!(idle["endings"], json!({ "paused: held too long": 1.0 }));
    assert!(idle["forecast"]["text"].as_str().unwrap().contains("does not end"), "{idle}");
    // A minute ago: each second 500 requests, of which the candidate had few, slow ones of which half fail.
    let begun = Instant::now().checked_sub(Duration::from_secs(12)).unwrap();
    for second in 0..=12 {
        answer(&control, "v1", CodeClass::Success, 485, 10_000);
        answer(&control, "v1", CodeClass::ServerError, 5, 10_000);
        answer(&control, "v2", CodeClass::Success, 5, 40_000);
        answer(&control, "v2", CodeClass::ServerError, 25, 40_000);
        control.admin.live.look(&control.table(), begun + Duration::from_secs(second));
    }
    let seen = simulate(r#"{"service": "shop", "runs": 3}"#).await;
    let traffic = &seen["traffic"];
    let number = |name: &str| traffic[name].as_f64().unwrap();
    assert!((200.0..=530.0).contains(&number("rate")), "{traffic}");
    assert!((number("baseline_errors") - 5.0 / 490.0).abs() < 1e-3, "{traffic}");
    assert!((number("candidate_errors") - 25.0 / 30.0).abs() < 1e-3, "{traffic}");
    assert!((3.5..4.5).contains(&number("slower")), "{traffic}");
    assert_eq!((&traffic["services"], &traffic["endpoints"]), (&json!(1), &json!(2)));
    assert!(seen["seconds_to_roll_back"]["median"].as_f64().unwrap() < 10.0, "{seen}");
    // The other way round, what is slow and fails is the baseline.
    let back =
        result_in(&control.send(&line, r#"{"service": "shop", "to": "v1", "runs": 1, "budget": "300ms"}"#).await);
    assert!((back["traffic"]["candidate_errors"].as_f64().unwrap() - 5.0 / 490.0).abs() < 1e-3, "{back}");
    // What is said comes first.
    let said = simulate(r#"{"service": "shop", "candidate_errors": 0, "slower": 1, "rate": 70, "runs": 1}"#).await;
    assert_eq!((&said["traffic"]["rate"], &said["traffic"]["candidate_errors"]), (&json!(70.0), &json!(0.0)));
    assert!(said["forecast"]["text"].as_str().unwrap().starts_with("at 70.0 requests/s"), "{said}");
}

#[tokio::test]
async fn a_version_or_plan_that_there_is_not_is_refused() {
    let control = Control::start();
    let send = async |body: &str| control.send(&format!("POST {PATH}"), body).await;
    assert_eq!(send(r#"{"service": "shpo"}"#).await.refusal(404), ["service: unknown service \"shpo\""]);
    assert_eq!(send(r#"{"group": "all"}"#).await.refusal(404), ["group: unknown group \"all\""]);
    assert_eq!(send(r#"{"flag": "dark"}"#).await.refusal(404), ["flag: unknown flag \"dark\""]);
    let wrong = send(r#"{"service": "shop", "to": "v9", "steps": [10, 5], "runs": 0}"#).await.refusal(422);
    assert_eq!(wrong, ["runs: 0", "steps[2]: 5 after 10", "to: unknown version \"v9\""]);
    let large = send(r#"{"users": 1000, "rate": 1000000}"#).await.refusal(422);
    assert_eq!(large, ["rate: 1000000 requests a second of users in all"]);
}

#[test]
fn groups_and_flags_are_simulated_with_their_plans() {
    let more = "flags = [\"dark\"]\n[services.shop.rollout]\nbake = \"1m\"\n\
                [flags.dark]\nrules = [{ serve = { off = 100, on = 0 } }]\n\
                [flags.dark.rollout]\nsteps = [30, 100]\nbake = \"2m\"\n\
                [services.cart]\npaths = [\"/cart\"]\nsplit = { v1 = 100 }\nsticky = [\"header:x-user-id\"]\n\
                [services.cart.versions]\nv1.endpoints = [\"127.0.0.1:1\"]\nv2.endpoints = [\"127.0.0.1:2\"]\n\
                [groups.both]\nservices = [\"shop\", \"cart\"]\n\
                [groups.both.rollout]\nsteps = [40, 100]\nbake = \"3m\"\n";
    let simulating = Simulating::start(more);
    let path = simulating.folder.path().join("pointsman.toml");
    let asked = |target: &str, name: &str, to: &str| {
        let body = json!({ target: name, "to": to, "rate": 100, "candidate_errors": 0.5, "runs": 3, "seed": 7 });
        let of_api = simulating.whole_result(&body);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args([
            "simulate",
            "--json",
            "--runs",
            "3",
            "--seed",
            "7",
            "--rate",
            "100",
            "--candidate-errors",
            "50%",
        ]);
        command.args(["--baseline-errors", "0%", "--config"]).arg(&path).args([&format!("--{target}"), name]);
        let output = command.output().unwrap();
        let of_command: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!(of_api["endings"], of_command["endings"], "{target}");
        assert_eq!(of_api["seconds_to_roll_back"], of_command["seconds_to_roll_back"], "{target}");
        assert_eq!((&of_api["plan"], &of_api["world"]), (&of_command["plan"], &of_command["world"]), "{target}");
        of_api
    };
    let flag = asked("flag", "dark", "on");
    assert_eq!(flag["plan"], "30 -> 100 %, 2 min each");
    assert_eq!(flag["seconds_to_roll_back_without_tolerance"], Value::Null, "bursts are not tolerated of a flag");
    let group = asked("group", "both", "v2");
    assert_eq!((&group["plan"], &group["traffic"]["services"]), (&json!("40 -> 100 %, 3 min each"), &json!(2)));
    let wrong = simulating.ask(&json!({ "flag": "dark", "to": "nonsense" }));
    assert_eq!(wrong.status, 422, "{}", wrong.head);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let output = command.args(["simulate", "--flag", "darkk", "--config"]).arg(&path).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(64) && errors.contains("--flag: found \"darkk\", want one of dark"),
        "{errors}"
    );
}

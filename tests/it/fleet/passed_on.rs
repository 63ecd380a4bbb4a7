//! Calls that are for the leader, made at another replica.

use std::time::Duration;

use serde_json::{Value, json};

use super::place::Place;
use crate::support::client::{self, Answer};
use crate::support::eventually_within;
use crate::support::process::Process;

/// A lease and an election, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Callers with tokens, faults on purpose, and a plan that waits.
const MORE: &str = "[admin.tokens.ada]\nfile = \"ada.token\"\nrole = \"operate\"\n\
    [admin.tokens.bob]\nfile = \"bob.token\"\nrole = \"read\"\n\
    [chaos]\nenabled = true\n[chaos.experiments.slow]\ntarget = { service = \"other\" }\n\
    fault = { latency = { fixed = \"10ms\" } }\nduration = \"10m\"\nhypothesis = { errors = {} }\n\
    [services.other]\npaths = [\"/other\"]\nsticky = [\"header:x-user-id\"]\nsplit = { v1 = 100 }\n\
    versions.v1.endpoints = [\"127.0.0.1:9\"]\n\
    [services.shop.rollout]\nsteps = [10, 100]\nbake = \"1h\"\n";

struct Team {
    all: Vec<Process>,
    _place: Place,
}

impl Team {
    fn new() -> Self {
        let place = Place::new();
        for name in ["ada", "bob", "eve"] {
            let file = place.folder.path().join(format!("{name}.token"));
            std::fs::write(&file, token(name)).unwrap();
            crate::support::pki::set_mode(&file, 0o600);
        }
        let all = (1..=3).map(|number| {
            let name = format!("edge-{number}");
            let at = Place::at(&place.etcd.url()).replace("20s", "100ms");
            Process::start(&place.write(&name, &place.config(&name, &at, MORE)))
        });
        let team = Self { all: all.collect(), _place: place };
        for replica in &team.all {
            eventually_within(LONG, "all are there", || {
                let fleet = get(replica, "/v1/fleet");
                fleet["replicas"].as_array().is_some_and(|all| all.len() == 3) && fleet["leader"].is_string()
            });
        }
        team
    }

    /// The leader, and two others.
    fn leader_first(&self) -> [&Process; 3] {
        let leader = |replica: &Process| get(replica, "/v1/fleet")["leader"].as_str().map(str::to_owned);
        let mut first = None;
        eventually_within(LONG, "one leads, and all know it", || {
            first = leader(&self.all[0]);
            let known = |replica: &Process| leader(replica) == first;
            self.all.iter().all(known) && self.all.iter().any(|replica| leads(replica) && Some(name(replica)) == first)
        });
        let mut sorted: Vec<_> = self.all.iter().collect();
        sorted.sort_by_key(|replica| Some(name(replica)) != first);
        sorted.try_into().ok().unwrap()
    }
}

fn token(name: &str) -> String {
    format!("token-of-{name}-that-is-long-enough")
}

fn ask(replica: &Process, line: &str, head: &str, body: &str) -> Answer {
    let (host, length) = (replica.admin_address, body.len());
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{head}\r\n{body}"
    );
    client::Client::to(host).patient(LONG).ask(request)
}

/// A call of a person.
fn post(replica: &Process, name: &str, path: &str, body: &Value) -> Answer {
    ask(replica, &format!("POST {path}"), &format!("Authorization: Bearer {}\r\n", token(name)), &body.to_string())
}

fn get(replica: &Process, path: &str) -> Value {
    let head = format!("Authorization: Bearer {}\r\n", token("bob"));
    serde_json::from_str(&ask(replica, &format!("GET {path}"), &head, "").text()).unwrap_or_default()
}

fn name(replica: &Process) -> String {
    get(replica, "/v1/fleet")["name"].as_str().unwrap().to_owned()
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[test]
fn a_call_for_the_leader_is_answered_by_it_wherever_it_is_made() {
    let team = Team::new();
    let [leader, second, third] = team.leader_first();
    let name_of_leader = name(leader);
    let start = json!({ "service": "shop", "to": "v2", "reason": "from elsewhere" });
    let tried = post(second, "ada", "/v1/rollouts?dry_run=true", &start);
    assert_eq!(tried.status, 200, "{}", tried.text());
    let begun = post(second, "ada", "/v1/rollouts", &start);
    assert_eq!((begun.status, begun.header("pointsman-replica")), (200, Some(&*name_of_leader)), "{}", begun.text());
    let rollout = &json_of(&begun)["rollout"];
    let place = format!("/v1/rollouts/{}", rollout["id"]);
    assert_eq!(rollout["author"], "ada", "{rollout:#}");
    // What the leader refuses is refused, in its words.
    let again = post(third, "ada", "/v1/rollouts", &start);
    assert_eq!((again.status, again.header("pointsman-replica")), (409, Some(&*name_of_leader)), "{}", again.text());
    let paused = post(third, "ada", &format!("{place}/pause"), &json!({ "reason": "wait" }));
    assert_eq!((paused.status, &json_of(&paused)["phase"]), (200, &json!("paused")), "{}", paused.text());
    assert_eq!(get(leader, &place)["phase"], "paused");

    // Runs of chaos are numbered by each replica.
    let fault = post(third, "ada", "/v1/chaos", &json!({ "experiment": "slow" }));
    assert!(fault.status == 421 && fault.text().contains(&*name_of_leader), "{}", fault.text());
    let fault = post(leader, "ada", "/v1/chaos", &json!({ "experiment": "slow" }));
    assert_eq!((fault.status, fault.header("location")), (201, Some("/v1/chaos/1")), "{}", fault.text());
}

#[test]
fn a_call_that_is_not_let_in_or_was_passed_on_before_or_is_no_call_goes_no_further() {
    let team = Team::new();
    let [leader, second, _] = team.leader_first();
    let start = json!({ "service": "shop", "to": "v2" });
    for (name, status) in [("bob", 403), ("eve", 401)] {
        let refused = post(second, name, "/v1/rollouts", &start);
        assert_eq!((refused.status, refused.header("pointsman-replica")), (status, None), "{refused:?}");
    }
    let head = format!("Authorization: Bearer {}\r\nPointsman-Passed-By: edge-9\r\n", token("ada"));
    let refused = ask(second, "POST /v1/rollouts", &head, &start.to_string());
    assert!(refused.status == 421 && refused.text().contains(&name(leader)), "{refused:?}");
    let head = format!("Authorization: Bearer {}\r\n", token("ada"));
    for (body, status) in
        [("{", 400), ("[]", 422), ("", 400), (&*format!("{{\"a\": \"{}\"}}", "x".repeat(70_000)), 413)]
    {
        let refused = ask(second, "POST /v1/rollouts", &head, body);
        assert_eq!(refused.status, status, "{refused:?}");
    }
    assert_eq!(get(leader, "/v1/rollouts")["rollouts"], json!([]));
    assert!(leads(leader) && !leads(second));
}

fn leads(replica: &Process) -> bool {
    get(replica, "/v1/fleet")["leads"] == true
}

#[test]
fn a_leader_that_is_not_reached_is_named_and_one_that_does_not_answer_may_have_done_it() {
    let mut team = Team::new();
    let start = json!({ "service": "shop", "to": "v2" });
    let [leader, second, _] = team.leader_first();
    leader.signal("STOP");
    let lost = post(second, "ada", "/v1/rollouts", &start);
    assert!(
        lost.status == 503 && lost.text().contains("fleet_unknown") && lost.text().contains("it may have been done"),
        "{lost:?}"
    );
    leader.signal("CONT");
    // Another team: its lease may end at this very moment.
    team = Team::new();
    let name_of_leader = name(team.leader_first()[0]);
    let number = team.all.iter().position(|replica| name(replica) == name_of_leader).unwrap();
    team.all.remove(number).kill();
    // Until its lease ends it is the leader, and there is no one.
    let refused = post(&team.all[0], "ada", "/v1/rollouts", &start);
    assert!(refused.status == 421 && refused.text().contains(&name_of_leader), "{refused:?}");
}

//! The judge of the leader knows what users meet on all replicas.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use pointsman::cli::client::AdminClient;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::place::{Place, fleet, know_each_other, on_v2, shift};
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::release::{Mood, Operator, id, last_words, version, visitors};
use crate::support::{client, eventually, eventually_within};

/// A lease, and a rollout on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A fleet of three whose second version has a mood.
struct Fleet {
    _place: Place,
    mood: Arc<Mood>,
    /// The leader first.
    all: Vec<Process>,
}

impl Fleet {
    fn start() -> Self {
        let ((v1, _), (v2, mood)) = (version("v1"), version("v2"));
        let place = Place::of(v1, v2);
        let start = |name: &str| {
            let text = place.config(name, &Place::at(&place.etcd.url()), "");
            Process::start(&place.write(name, &text))
        };
        let mut all: Vec<_> = ["edge-1", "edge-2", "edge-3"].map(start).into();
        know_each_other(&all.iter().collect::<Vec<_>>());
        eventually_within(LONG, "one leads", || all.iter().any(|replica| fleet(replica)["leads"] == true));
        all.sort_by_key(|replica| fleet(replica)["leads"] != true);
        Self { _place: place, mood, all }
    }

    fn operator(&self) -> Operator {
        Operator(self.all[0].admin.clone())
    }

    /// A rollout of the second version, with this plan.
    fn roll_out(&self, plan: &Value) -> u64 {
        id(&self.operator().start(json!({ "service": "shop", "to": "v2", "plan": plan })))
    }
}

/// What was counted of the candidate, summed over what each replica says of itself.
fn counted(replica: &Process, what: &str) -> u64 {
    let said = replica.get("/v1/evidence");
    let rollouts = said["rollouts"].as_array().unwrap().iter();
    let services = rollouts.flat_map(|rollout| rollout["services"].as_array().unwrap());
    let epochs = services.flat_map(|service| service["epochs"].as_array().unwrap());
    epochs.map(|epoch| epoch["arms"][0][what].as_u64().unwrap()).sum()
}

fn plan(judge: &Value) -> Value {
    let mut plan = json!({ "steps": [10, 100], "bake": "10m", "judge": { "warm_up": "0s", "routes": false } });
    plan["judge"].as_object_mut().unwrap().extend(judge.as_object().unwrap().clone());
    plan
}

#[test]
fn a_version_that_fails_on_replicas_that_do_not_lead_is_turned_back_for_all() {
    let fleet = Fleet::start();
    let id = fleet.roll_out(&plan(&json!({})));
    fleet.mood.failing.store(200, SeqCst);
    // The leader is not asked.
    let users = fleet.all[1..].iter().flat_map(|replica| visitors(replica.listener, &["/"], 200, false)).collect();
    let load = Load::start(users);
    let over = fleet.operator().until_ended(id, "rolled_back");
    drop(load);
    assert_eq!(counted(&fleet.all[0], "requests"), 0, "the leader itself has seen none of it");
    let found = &over["events"].as_array().unwrap().last().unwrap()["evidence"][0]["candidate"];
    assert!(found["failures"].as_u64().unwrap() >= 3, "{over:#}");
    for replica in &fleet.all {
        assert_eq!(on_v2(replica, 50), [0_u32; 0], "{}", last_words(&over));
    }
}

#[test]
fn at_1000_requests_a_second_over_three_replicas_a_fault_is_found_in_seconds() {
    let fleet = Fleet::start();
    let id = fleet.roll_out(&plan(&json!({})));
    let users = fleet.all.iter().flat_map(|replica| visitors(replica.listener, &["/"], 333, false)).collect();
    let load = Load::start(users);
    fleet.operator().until_judged(id, 30);
    let before = load.asked();
    let began = Instant::now();
    fleet.mood.failing.store(200, SeqCst);
    let over = fleet.operator().until_ended(id, "rolled_back");
    // The leader has said so when all have it; from then on no user meets it any more.
    eventually("no user is on it", || {
        let calls = fleet.mood.calls.load(SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        calls == fleet.mood.calls.load(SeqCst)
    });
    let first = fleet.mood.first_failed().unwrap();
    let last = fleet.mood.last_asked().unwrap();
    let rate = (load.asked() - before) as f64 / began.elapsed().as_secs_f64();
    println!(
        "{rate:.0} requests a second; from the first failure to the last request on v2: {:?}; {} failures: {}",
        last.saturating_duration_since(first),
        fleet.mood.failed.load(SeqCst),
        last_words(&over)
    );
    drop(load);
    let found = &over["events"].as_array().unwrap().last().unwrap()["evidence"][0];
    let own = counted(&fleet.all[0], "requests");
    assert!(found["candidate"]["requests"].as_u64().unwrap() > own, "it is not the leader's alone: {found:#}");
}

#[test]
fn a_user_who_fails_on_all_replicas_is_counted_once_and_all_their_requests_are() {
    let fleet = Fleet::start();
    let id = fleet.roll_out(&plan(&json!({ "requests_min": 1000 })));
    let user = on_v2(&fleet.all[0], 100)[0];
    fleet.mood.failing.store(1_000, SeqCst);
    let ask = |replica: &Process| {
        client::send(replica.listener, format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: u{user}\r\n\r\n")).status
    };
    for replica in &fleet.all {
        eventually("it counts", || {
            ask(replica);
            counted(replica, "failures") >= 3
        });
    }
    let all = fleet.all.iter().map(|replica| counted(replica, "failures")).sum::<u64>();
    let over = fleet
        .operator()
        .until(id, "told of all", |view| view["evidence"][0]["candidate"]["failures"].as_u64() == Some(all));
    let found = &over["evidence"][0]["candidate"];
    assert_eq!(found["counted_failures"], 1, "{over:#}");
    let by_replica = fleet.all.iter().map(|replica| counted(replica, "counted_failures")).sum::<u64>();
    assert!(by_replica >= 2, "each has counted the user: {by_replica}");
}

#[test]
fn a_replica_that_is_silent_holds_the_next_step_and_what_it_has_said_stays() {
    let fleet = Fleet::start();
    let plan = json!({ "steps": [50, 100], "bake": "4s",
        "judge": { "warm_up": "0s", "routes": false, "requests_min": 20, "slower": false } });
    let id = fleet.roll_out(&plan);
    let users = fleet.all[..2].iter().flat_map(|replica| visitors(replica.listener, &["/"], 50, true)).collect();
    let load = Load::start(users);
    let mut user = 0;
    eventually("it counts", || {
        user += 1;
        client::send(fleet.all[2].listener, format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\n\r\n"));
        counted(&fleet.all[2], "requests") >= 10
    });
    let said = || fleet.all.iter().map(|replica| counted(replica, "requests")).sum::<u64>();
    fleet.operator().until_judged(id, said());
    let name = own_name(&fleet.all[2]);
    fleet.all[2].signal("STOP");
    let over = fleet.operator().until_ended_within(LONG, id, "completed");
    fleet.all[2].signal("CONT");
    load.end_well();
    let verdicts = over["verdicts"].as_array().unwrap();
    let held = verdicts.iter().find(|verdict| verdict["why"] == "silent_replica");
    let text = held.unwrap_or_else(|| panic!("it was held: {over:#}"))["text"].as_str().unwrap();
    assert!(text.contains(&format!("{name} has not said what it has counted for")), "{text}");
}

#[test]
fn replicas_let_each_other_in_by_a_token_and_say_so_when_they_do_not() {
    let tokens = "[admin.tokens.fleet]\nfile = \"fleet.token\"\nrole = \"operate\"\n";
    let ((v1, _), (v2, mood)) = (version("v1"), version("v2"));
    let place = Place::of(v1, v2);
    let secret = place.folder.path().join("fleet.token");
    std::fs::write(&secret, "a-secret-of-the-fleet-0123456789").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let at = Place::at(&place.etcd.url());
    let write = |name: &str, more: &str| place.write(name, &place.config(name, &format!("{at}\n{more}"), tokens));
    for (token, ending) in [("", "aborted"), ("token_file = \"fleet.token\"", "rolled_back")] {
        let start = |name: &str| {
            let mut process = Process::start(&write(name, token));
            let token = Some("a-secret-of-the-fleet-0123456789".to_owned());
            process.admin = AdminClient::new(&process.admin_address.to_string(), token).unwrap();
            process
        };
        let mut all: Vec<_> = ["edge-1", "edge-2"].map(start).into();
        know_each_other(&all.iter().collect::<Vec<_>>());
        eventually_within(LONG, "one leads", || all.iter().any(fleet_leads));
        all.sort_by_key(|replica| !fleet_leads(replica));
        shift(&all[0], 0).ok();
        mood.failing.store(0, SeqCst);
        let operator = Operator(all[0].admin.clone());
        let id = id(&operator.start(json!({ "service": "shop", "to": "v2", "plan": plan(&json!({})) })));
        if ending == "aborted" {
            eventually_within(LONG, "the leader says why", || {
                all[0].told(&["a replica does not say what it has counted", "fleet.token_file"])
            });
            operator.order(id, "abort").unwrap();
        } else {
            mood.failing.store(500, SeqCst);
            let load = Load::start(visitors(all[1].listener, &["/"], 100, false));
            operator.until(id, "over", |view| view["phase"] == "finished");
            drop(load);
        }
        assert_eq!(operator.until_ended(id, ending)["ending"], ending);
        for replica in &mut all {
            replica.end();
        }
    }
}

#[test]
fn a_replica_that_is_said_to_be_where_another_one_is_does_not_count_as_it() {
    let place = Place::new();
    let first = place.start("edge-1");
    eventually_within(LONG, "it leads", || fleet_leads(&first));
    let at = Place::at(&place.etcd.url()) + &format!("\nadvertise = \"http://{}\"", first.admin_address);
    let second = Process::start(&place.write("edge-2", &place.config("edge-2", &at, "")));
    know_each_other(&[&first, &second]);
    let operator = Operator(first.admin.clone());
    let id = id(&operator.start(json!({ "service": "shop", "to": "v2", "plan": plan(&json!({})) })));
    eventually("it says so", || {
        first.told(&["a replica does not say what it has counted", "found another replica", "fleet.advertise"])
    });
    for user in 0..100 {
        client::send(first.listener, format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\n\r\n"));
    }
    let all = counted(&first, "requests");
    operator.until_judged(id, all);
    let found = operator.rollout(id);
    assert_eq!(found["evidence"][0]["candidate"]["requests"], all, "none is counted twice: {found:#}");
}

fn own_name(replica: &Process) -> String {
    fleet(replica)["name"].as_str().unwrap().to_owned()
}

fn fleet_leads(replica: &Process) -> bool {
    fleet(replica)["leads"] == true
}

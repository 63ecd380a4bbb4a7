//! What a fleet does once and not on each replica: notifications, statuses, commits, and faults on purpose.

use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::etcd::Etcd;
use super::place::{Place, fleet, know_each_other, leads, of_user, refusal_of_passed, revision, shift};
use crate::support::git_place::{GitPlace, is, metrics};
use crate::support::process::Process;
use crate::support::shared_repository::SharedRepository;
use crate::support::{Origin, Reply, Seen, eventually, eventually_within};

/// A lease and an election, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A server that takes what it is told.
struct Listener {
    origin: Origin,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Listener {
    fn new() -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let noted = Arc::clone(&seen);
        let origin = Origin::with(move |request| {
            noted.lock().unwrap().push(request.clone());
            Reply::raw("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}").close()
        });
        Self { origin, seen }
    }

    /// The bodies of those whose request line has these words.
    fn told(&self, words: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let read = |seen: &Seen| serde_json::from_str(&seen.text()).unwrap_or_else(|error| panic!("{error}"));
        seen.iter().filter(|seen| seen.line().contains(words)).map(read).collect()
    }
}

/// Three replicas that follow one repository, all with the same keys.
struct Team {
    /// Ended after the replicas.
    all: Vec<Process>,
    shared: SharedRepository,
    forge: Listener,
    ops: Listener,
    fails: Arc<AtomicBool>,
    _etcd: Etcd,
    v2: Origin,
}

impl Team {
    fn new() -> Self {
        let (forge, ops, etcd) = (Listener::new(), Listener::new(), Etcd::start());
        let fails = Arc::<AtomicBool>::default();
        let v2 = Origin::with({
            let fails = Arc::clone(&fails);
            let failure = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
            move |_| if fails.load(Relaxed) { Reply::raw(failure) } else { Reply::ok("v2") }
        });
        let shared = SharedRepository::new(|place| with_canary(place, &v2, &ops, 0));
        shared.place.write("forge.token", "a-token-of-some-length-for-the-forge\n");
        let mut team = Self { all: Vec::new(), shared, forge, ops, fails, _etcd: etcd, v2 };
        team.all = (1..=3).map(|number| team.start(number)).collect();
        know_each_other(&team.all.iter().collect::<Vec<_>>());
        team
    }

    fn start(&self, number: u32) -> Process {
        let folder = self.shared.place.folder();
        let (etcd, forge) = (Place::at(&self._etcd.url()), self.forge.origin.address());
        let text = format!(
            "[admin]\naddress = \"127.0.0.1:0\"\n[state]\npath = \"edge-{number}.db\"\n\
             [fleet]\nname = \"edge-{number}\"\n{etcd}\n\
             [gitops]\nrepository = {:?}\ninterval = \"1s\"\nwrite_back = \"commit\"\n\
             [gitops.status]\nforge = \"github\"\napi = \"http://{forge}\"\nproject = \"shop/traffic\"\n\
             token_file = \"forge.token\"\n",
            self.shared.url()
        );
        let path = folder.join(format!("edge-{number}.toml"));
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.arg("run").arg("--config").arg(path);
        Process::start_command(command)
    }

    #[track_caller]
    fn all_have(&self, state: &str, commit: &str) {
        for replica in &self.all {
            eventually_within(LONG, "all follow", || is(replica, state, commit));
        }
    }

    /// What the forge was told of a commit, by state.
    fn statuses(&self, commit: &str, state: &str) -> usize {
        self.forge.told(commit).iter().filter(|told| told["state"] == state).count()
    }

    /// What people were told of a rollout.
    fn told(&self, event: &str) -> usize {
        self.ops.told("POST").iter().filter(|told| told["event"] == event).count()
    }
}

fn with_canary(place: &GitPlace, v2: &Origin, ops: &Listener, share: u32) -> String {
    let text = place.config(share);
    let old = text.lines().last().unwrap().to_owned();
    let rollout = "rollout = { steps = [50, 100], judge = { warm_up = \"0s\", slower = false } }";
    let (v2, ops) = (v2.address(), ops.origin.address());
    text.replace(&old, &format!("versions.v2.endpoints = [\"{v2}\"]\n{rollout}"))
        + &format!("[notify.ops]\nurl = \"http://{ops}/\"\n")
}

/// The one that leads, which all know.
fn leader(all: &[Process]) -> usize {
    eventually_within(LONG, "one leads, and all know it", || {
        let leader = all.iter().find(|replica| leads(replica)).map(|replica| fleet(replica)["name"].clone());
        leader.is_some_and(|name| all.iter().all(|replica| fleet(replica)["leader"] == name))
    });
    all.iter().position(leads).unwrap()
}

/// A canary is turned back; with `kill` by another leader than the one that began it.
fn one_rollout_turned_back(kill: bool) {
    let mut team = Team::new();
    let first = team.shared.newest();
    team.all_have("synced", &first);
    let leads = leader(&team.all);
    team.all[leads].send(Method::POST, "/v1/rollouts", json!({"service": "shop", "to": "v2"})).unwrap();
    team.shared.place.commit_text(&with_canary(&team.shared.place, &team.v2, &team.ops, 60), "Give v2 more");
    let canary = team.shared.publish();
    team.all_have("synced", &canary);
    eventually("the rollout is paused", || !team.all[leads].get("/v1/rollouts/1")["paused_because"].is_null());
    eventually("it is told", || team.told("paused") == 1 && team.statuses(&canary, "success") == 1);
    if kill {
        team.all.remove(leads).kill();
    }
    let leads = leader(&team.all);
    let resumed = || team.all[leads].send(Method::POST, "/v1/rollouts/1/resume", json!({})).is_ok();
    eventually_within(LONG, "it goes on", resumed);
    team.fails.store(true, Relaxed);
    let mut users = 0..;
    eventually_within(LONG, "v2 is turned back", || {
        for (user, replica) in users.by_ref().take(150).zip(team.all.iter().cycle()) {
            of_user(replica.listener, user);
        }
        !team.all[leads].get("/v1/rollouts/1")["finished_at_ms"].is_null()
    });
    eventually_within(LONG, "it is written", || team.shared.subject() == "shop: v1=100 v2=0");
    let written = team.shared.newest();
    team.all_have("synced", &written);
    // One more, which comes after whatever else would come of the first.
    let other = (leads + 1) % team.all.len();
    shift(&team.all[other], 20).unwrap();
    eventually_within(LONG, "a shift on another replica is written", || team.shared.subject() == "shop: v1=80 v2=20");
    let last = team.shared.newest();
    team.all_have("synced", &last);
    eventually_within(LONG, "it is told", || team.statuses(&last, "success") == 1);

    assert_eq!(team.shared.count(), "5", "{}", team.shared.ask(&["log", "--format=%s", "main"]));
    for event in ["started", "paused", "rolled_back"] {
        assert_eq!(team.told(event), 1, "{event}: {:#?}", team.ops.told("POST"));
    }
    let told: Vec<_> = [(&canary, "failure"), (&written, "success"), (&last, "success")]
        .map(|(commit, state)| team.statuses(commit, state))
        .into();
    assert_eq!(told, [1, 1, 1], "{:#?}", team.forge.told("POST"));
    // By that one alone; after a kill it is one of the others.
    for (number, replica) in team.all.iter().enumerate() {
        let all = metrics(replica);
        let by = all.lines().find_map(|line| line.strip_prefix("pointsman_gitops_commits_written_total "));
        assert_eq!(by, Some(if number == leads { "2" } else { "0" }), "{}", fleet(replica)["name"]);
    }
}

#[test]
fn one_rollout_turned_back_is_one_notification_one_status_and_one_commit() {
    one_rollout_turned_back(false);
}

#[test]
fn one_rollout_turned_back_is_told_once_also_by_the_next_leader() {
    one_rollout_turned_back(true);
}

#[test]
fn weights_that_are_set_for_a_time_go_back_by_one_revision() {
    let place = Place::new();
    let all = place.start_three();
    let body = json!({ "v1": 60, "v2": 40, "ttl": "1s" });
    all[1].send(Method::PUT, "/v1/services/shop/split", body).unwrap();
    eventually("they are back", || all.iter().all(|replica| revision(replica) == 3));
    shift(&all[0], 10).unwrap();
    assert!(all.iter().all(|replica| revision(replica) == 4), "all three had them go back, and one did");
}

#[test]
fn faults_on_purpose_are_for_the_leader_and_end_with_it() {
    let place = Place::new();
    let chaos = "[chaos]\nenabled = true\n[chaos.experiments.slow]\ntarget = { service = \"shop\" }\n\
                 fault = { latency = { fixed = \"10ms\" } }\nduration = \"10m\"\nhypothesis = { errors = {} }\n";
    let start = |number: u32| {
        let name = format!("edge-{number}");
        Process::start(&place.write(&name, &place.config(&name, &Place::at(&place.etcd.url()), chaos)))
    };
    let mut all: Vec<_> = (1..=3).map(start).collect();
    know_each_other(&all.iter().collect::<Vec<_>>());
    let first = leader(&all);
    let name = fleet(&all[first])["name"].as_str().unwrap().to_owned();
    for other in all.iter().filter(|replica| !leads(replica)) {
        for (path, body) in [
            ("/v1/chaos", json!({ "experiment": "slow" })),
            ("/v1/chaos?dry_run=true", json!({ "experiment": "slow" })),
            ("/v1/chaos/1/stop", json!({})),
            ("/v1/chaos/stop", json!({})),
        ] {
            let why = refusal_of_passed(other, path, &body);
            assert!(why.contains("421") && why.contains(&name), "{path}: {why}");
        }
    }
    let begun = all[first].send(Method::POST, "/v1/chaos", json!({ "experiment": "slow" })).unwrap();
    assert_eq!(begun["state"], "baseline", "{begun}");
    // One that does not hear of etcd any more does not lead, by its own clock.
    place.etcd.signal("STOP");
    let ended = || all[first].get("/v1/chaos/1")["ended_by"] == "leader";
    eventually_within(LONG, "it ends with its time as a leader", ended);
    place.etcd.signal("CONT");
    let next = {
        eventually_within(LONG, "one leads again", || all.iter().any(leads));
        leader(&all)
    };
    all[next].send(Method::POST, "/v1/chaos", json!({ "experiment": "slow" })).unwrap();
    all.swap_remove(next).kill();
    let next = leader(&all);
    all[next].send(Method::POST, "/v1/chaos", json!({ "experiment": "slow" })).unwrap();
    let stopped = all[next].send(Method::POST, "/v1/chaos/stop", json!({})).unwrap();
    assert_eq!(stopped["stopped"].as_array().map(Vec::len), Some(1), "{stopped}");
}

//! One replica leads, and another one when it is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use pointsman::cli::client::Call;
use serde_json::{Value, json};

use super::place::{Beside, Place, fleet, of_user, refusal_of_passed, replicas, shift};
use crate::support::process::Process;
use crate::support::{eventually, eventually_within};

/// A lease and an election, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn leader(replica: &Process) -> Option<String> {
    fleet(replica)["leader"].as_str().map(str::to_owned)
}

fn leading(all: &[Process]) -> Vec<usize> {
    (0..all.len()).filter(|number| fleet(&all[*number])["leads"] == true).collect()
}

#[test]
fn there_is_one_leader_and_another_one_when_it_is_killed_or_ends() {
    let place = Place::new();
    let mut all = place.start_three();
    for ends_well in [false, true] {
        let was = one_leads(&all);
        let name = leader(&all[was]).unwrap();
        let mut old = all.remove(was);
        if ends_well {
            old.end();
        } else {
            old.kill();
        }
        eventually_within(LONG, "another one leads", || {
            let now = leading(&all);
            assert!(now.len() <= 1, "at most one");
            now.len() == 1 && leader(&all[now[0]]).is_some_and(|leader| leader != name)
        });
    }
}

/// A plan whose steps take some seconds.
const STEPS: &str = "[services.shop.rollout]\nsteps = [10, 50, 100]\nbake = \"2s\"\n\
    judge = { warm_up = \"0s\", requests_min = 20, slower = false }\n";

/// A rollout; null where it is not known yet.
fn rollout(replica: &Process, number: u64) -> Value {
    let path = format!("/v1/rollouts/{number}");
    replica.admin.call(Call { method: Method::GET, path: &path, body: None, if_match: None }).unwrap_or_default()
}

fn start(place: &Place, name: &str) -> Process {
    let text = place.config(name, &Place::at(&place.etcd.url()), STEPS);
    Process::start(&place.write(name, &text))
}

/// How often the leader is killed in the middle of a rollout. The target of the long figures sets more.
fn kills() -> u64 {
    std::env::var("FLEET_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Waits until one leads and all know it.
fn one_leads(all: &[Process]) -> usize {
    eventually_within(LONG, "one leads, and all know it", || {
        let now = leading(all);
        assert!(now.len() <= 1, "at most one");
        now.len() == 1 && all.iter().all(|replica| leader(replica) == leader(&all[now[0]]))
    });
    leading(all)[0]
}

fn texts(rollout: &Value) -> Vec<String> {
    rollout["events"].as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap().to_owned()).collect()
}

/// When replicas took themselves for the leader, by their own records.
#[derive(Default)]
struct Terms(Vec<Term>);

/// From when to when one did.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Term {
    begun: Timestamp,
    ended: Timestamp,
    name: String,
}

impl Terms {
    /// Takes in the record of a replica that ends now.
    fn take(&mut self, replica: &Process) {
        let at = |line: String| line.split_whitespace().next().unwrap().parse::<Timestamp>().unwrap();
        let name = fleet(replica)["name"].as_str().unwrap().to_owned();
        let begun = replica.lines(&["this replica leads the fleet"]).into_iter().map(at);
        let mut ended = replica.lines(&["this replica does not lead the fleet any more"]).into_iter().map(at);
        let term = |begun| Term { begun, ended: ended.next().unwrap_or_else(Timestamp::now), name: name.clone() };
        self.0.extend(begun.map(term));
    }

    /// One after the other: the time from the end of each term to the next one.
    #[track_caller]
    fn are_apart(mut self) -> Vec<f64> {
        self.0.sort();
        let pauses = self.0.windows(2).map(|pair| {
            assert!(pair[0].ended < pair[1].begun, "two took themselves for the leader: {pair:?}");
            pair[0].ended.until(pair[1].begun).unwrap().total(jiff::Unit::Second).unwrap()
        });
        pauses.collect()
    }
}

/// A rollout is begun, its leader is killed `after` that, and the next one ends it.
fn killed_once(place: &Place, all: &mut Vec<Process>, after: Duration, terms: &mut Terms) -> Vec<String> {
    let first = one_leads(all);
    let name = leader(&all[first]).unwrap();
    let other = (first + 1) % 3;
    let body = json!({ "service": "shop", "to": "v2" });
    let why = refusal_of_passed(&all[other], "/v1/rollouts", &body);
    assert!(why.contains("421") && why.contains(&name), "it says whom to ask: {why}");
    let listeners: Vec<_> = all.iter().map(|replica| replica.listener).collect();
    let stop = AtomicBool::new(false);
    let events = thread::scope(|scope| {
        let _ended = Beside(&stop);
        // Users, on the replicas that are not killed.
        scope.spawn(|| {
            for user in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let got = of_user(listeners[(first + 1 + user as usize % 2) % 3], user);
                assert!(got.is_some(), "no user sees that a leader is gone");
                thread::sleep(Duration::from_millis(2));
            }
        });
        let started = all[first].send(Method::POST, "/v1/rollouts", body).unwrap();
        let number = started["rollout"]["id"].as_u64().unwrap();
        eventually("the others show it", || rollout(&all[other], number)["weight"].as_f64() >= Some(10.0));
        thread::sleep(after);
        terms.take(&all[first]);
        all.remove(first).kill();
        let next = one_leads(all);
        eventually_within(LONG * 3, "the next leader ends it", || {
            all.iter().all(|replica| rollout(replica, number)["phase"] == "finished")
        });
        texts(&rollout(&all[next], number))
    });
    for replica in all.iter() {
        assert_eq!(of_user(replica.listener, 1).as_deref(), Some("v2"));
    }
    all.push(start(place, &name));
    shift(&all[0], 0).unwrap();
    events
}

#[test]
fn a_rollout_whose_leader_is_killed_is_ended_by_the_next_one_and_no_step_goes_unjudged() {
    let place = Place::new();
    let mut all: Vec<_> = ["edge-1", "edge-2", "edge-3"].map(|name| start(&place, name)).into();
    for replica in &all {
        eventually("all are there", || replicas(replica) == 3);
    }
    let (mut goes_on, mut terms) = (0, Terms::default());
    for kill in 0..kills() {
        // The steps take some four seconds: spread over them, and the same in each run.
        let after = Duration::from_millis(kill * 1_777 % 4_500);
        let events = killed_once(&place, &mut all, after, &mut terms);
        assert!(events.iter().any(|text| text.contains("completed")), "{events:?}");
        goes_on += events.iter().filter(|text| text.contains("goes on after a restart")).count();
        let steps = events.iter().filter(|text| text.starts_with("advanced")).collect::<Vec<_>>();
        let judged = |text: &&&String| text.contains(" of ") && text.contains("failed");
        assert!(steps.iter().all(|text| judged(&text)), "each step has what it was judged on: {events:?}");
        println!("killed after {after:?}: {events:#?}");
    }
    all.iter().for_each(|replica| terms.take(replica));
    let pauses = terms.are_apart();
    assert!(pauses.len() as u64 >= kills(), "a term after each: {pauses:?}");
    let longest = pauses.iter().copied().fold(0.0, f64::max);
    println!("one leader at a time by the record of each, {longest:.1} s without one at the most");
    println!("{} kills, {goes_on} rollouts gone on with by another leader", kills());
    assert!(goes_on > 0, "some were killed in the middle");
}

//! Another version of etcd, and what another client reads in it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::etcd::Etcd;
use super::place::{Place, fleet, history, is_together, leads, on_v2, refusal, revision, shift};
use crate::support::external_tools::python;
use crate::support::{eventually, eventually_within};

/// A lease and what comes after it, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// What another client finds below the prefix of a place.
fn read_by_another(python: &Path, etcd: &Etcd) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/etcd_reader.py");
    let output = Command::new(python).args([script, &etcd.port().to_string(), "/pointsman/test"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn another_client_reads_what_a_fleet_has_in_etcd() {
    let Some(python) = python("what a fleet has in etcd, by another client") else { return };
    let place = Place::new();
    let all = place.start_three();
    eventually_within(LONG, "one leads", || all.iter().any(leads));
    shift(&all[0], 30).unwrap();
    let found = read_by_another(&python, &place.etcd);
    let state = &found["values"]["live/state"];
    assert_eq!((&state["format"], &state["revision"]), (&json!(1), &json!(2)), "{state:#}");
    // A tenth of a per cent is a hundred slots, and the runs of all of them are there.
    let runs = state["services"]["shop"]["runs"].as_str().unwrap().to_owned();
    let share: u32 =
        runs.split(' ').filter_map(|run| run.strip_prefix("v2*")).map(|count| count.parse::<u32>().unwrap()).sum();
    assert_eq!(share, 30_000, "{runs}");
    let last = &found["values"]["revisions/00000000000000000002"];
    assert!(last.to_string().contains("shop"), "{last:#}");
    let leases = found["leases"].as_object().unwrap();
    let held: Vec<_> = leases.keys().map(String::as_str).collect();
    assert_eq!(held, ["live/leader", "live/members/edge-1", "live/members/edge-2", "live/members/edge-3"]);
    assert!(leases.values().all(|left| (1..=10).contains(&left.as_i64().unwrap())), "{leases:?}");
    let member = &found["values"]["live/members/edge-2"];
    assert_eq!((&member["name"], &member["revision"]), (&json!("edge-2"), &json!(2)), "{member:#}");
    // At rest nothing is written: a lease is no write of a key.
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(read_by_another(&python, &place.etcd)["versions"], found["versions"]);
}

/// There is no such package for other machines.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_story_of_a_fleet_on_a_newer_etcd() {
    let Some(python) = python("a newer etcd") else { return };
    let mut place = Place::with(Etcd::start_newer(&python));
    let mut all = place.start_three();
    let version = read_by_another(&python, &place.etcd)["version"].as_str().unwrap().to_owned();
    assert!(version.starts_with("3.5."), "{version}");
    for number in 0..5 {
        let answer = shift(&all[number % 3], 10 * u32::try_from(number).unwrap() + 5).unwrap();
        assert_eq!(answer["fleet"]["lagging"], json!([]), "{answer}");
    }
    let users = on_v2(&all[0], 300);
    assert!(all.iter().all(|replica| on_v2(replica, 300) == users));
    assert_eq!(history(&all[0]), history(&all[2]));
    // A replica sleeps, and what it has missed is forgotten.
    all[2].signal("STOP");
    let lagging = Place::at(&place.etcd.url()).replace("20s", "100ms");
    place.write("edge-1", &place.config("edge-1", &lagging, ""));
    eventually_within(LONG, "its lease ends", || {
        shift(&all[0], 50).ok();
        fleet(&all[0])["replicas"].as_array().unwrap().len() == 2
    });
    place.etcd.compact();
    all[2].signal("CONT");
    eventually_within(LONG, "it catches up", || is_together(&all[2]) && revision(&all[2]) == revision(&all[0]));
    // Gone and back.
    place.etcd.end();
    for replica in &all {
        eventually("it is noticed", || !is_together(replica));
        assert!(refusal(shift(replica, 1)).contains("503"));
    }
    place.etcd.start_again();
    for replica in &all {
        eventually_within(LONG, "it is over by itself", || is_together(replica));
    }
    // Another leader.
    eventually_within(LONG, "one leads", || all.iter().any(leads));
    let first = all.iter().position(leads).unwrap();
    all.remove(first).kill();
    eventually_within(LONG, "another one leads", || all.iter().any(leads));
    // An old copy.
    let copy = place.etcd.copy();
    eventually_within(LONG, "the dead one is out", || shift(&all[0], 77).is_ok());
    let users = on_v2(&all[0], 300);
    place.etcd.restore(&copy);
    for replica in &all {
        let is_refused = || fleet(replica)["why"].as_str().is_some_and(|why| why.contains("was restored from a copy"));
        eventually_within(LONG, "it goes back", is_refused);
    }
    all[1].send(Method::POST, "/v1/fleet/restore", json!({})).unwrap();
    for replica in &all {
        eventually_within(LONG, "all follow", || is_together(replica));
        assert_eq!(on_v2(replica, 300), users);
    }
}

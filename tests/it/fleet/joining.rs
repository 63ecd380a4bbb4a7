//! Replicas that come, with a history of their own or after a long time, and fleets beside each other.

use serde_json::json;

use super::place::{Place, fleet, history, is_together, revision, shift};
use crate::support::process::Process;
use crate::support::{eventually, eventually_within};
use std::time::Duration;

/// Coming back, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_replica_with_a_history_of_its_own_takes_that_of_the_fleet_and_keeps_its_own_aside() {
    let place = Place::new();
    let alone = place.config("edge-2", "", "").replace("[fleet]\nname = \"edge-2\"\n\n", "");
    let replica = Process::start(&place.write("edge-2", &alone));
    for number in 0..5 {
        shift(&replica, 10 * number + 1).unwrap();
    }
    replica.kill();
    let first = place.start("edge-1");
    shift(&first, 77).unwrap();
    let second = place.start("edge-2");
    assert_eq!(history(&second), history(&first));
    assert_eq!(second.get("/v1/services/shop")["versions"][1]["weight"], 77.0);
    let aside =
        std::fs::read_dir(place.folder.path()).unwrap().filter_map(|file| file.ok()?.file_name().into_string().ok());
    let aside: Vec<_> = aside.filter(|name| name.contains("before-fleet")).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    second.tells(&["its own history is kept in another file"]);
    // Once is enough.
    second.kill();
    let second = place.start("edge-2");
    assert_eq!(history(&second), history(&first));
}

#[test]
fn a_fleet_begins_with_the_history_of_its_first_replica() {
    let place = Place::new();
    let alone = place.config("edge-1", "", "").replace("[fleet]\nname = \"edge-1\"\n\n", "");
    let replica = Process::start(&place.write("edge-1", &alone));
    for number in 0..5 {
        shift(&replica, 10 * number + 1).unwrap();
    }
    let before = history(&replica);
    replica.kill();
    let (first, second) = (place.start("edge-1"), place.start("edge-2"));
    assert_eq!(history(&first), before);
    assert_eq!(history(&second), before);
}

#[test]
fn one_that_was_away_for_long_has_what_is_in_force_and_as_much_of_the_history_as_is_kept() {
    let place = Place::new();
    let (first, second) = (place.start("edge-1"), place.start("edge-2"));
    second.kill();
    for number in 0..120 {
        shift(&first, number % 100).unwrap();
    }
    let second = place.start("edge-2");
    assert_eq!(revision(&second), revision(&first));
    assert_eq!(history(&second), history(&first));
    // Of what etcd does not have any more there is a hole, and no wrong row.
    second.kill();
    shift(&first, 31).unwrap();
    place.etcd.must(&["del", "--prefix", "/pointsman/test/revisions/"]);
    shift(&first, 32).unwrap();
    let second = place.start("edge-2");
    assert_eq!(revision(&second), revision(&first));
    assert_eq!(second.get("/v1/services/shop")["versions"][1]["weight"], 32.0);
    // What it changed is told from what is known of the time before.
    let last = |replica: &Process| history(replica)[0].split(" [").next().unwrap().to_owned();
    assert_eq!(last(&second), last(&first));
    let answer = shift(&second, 33).unwrap();
    assert_eq!(answer["fleet"]["lagging"], json!([]), "{answer}");
}

#[test]
fn two_fleets_on_one_etcd_do_not_see_each_other() {
    let place = Place::new();
    let first = place.start("edge-1");
    let other = Place::at(&place.etcd.url()).replace("/pointsman/test", "/pointsman/test2");
    let second = Process::start(&place.write("edge-2", &place.config("edge-2", &other, "")));
    for replica in [&first, &second] {
        eventually("each is alone", || {
            is_together(replica) && fleet(replica)["replicas"].as_array().unwrap().len() == 1
        });
    }
    shift(&first, 40).unwrap();
    assert_eq!((revision(&first), revision(&second)), (2, 1));
}

#[test]
fn configs_that_differ_are_named_and_a_version_that_a_replica_does_not_have_is_told() {
    let place = Place::new();
    let (first, second) = (place.start("edge-1"), place.start("edge-2"));
    assert_eq!(fleet(&first)["differing"], json!([]));
    let more = "versions.v3.endpoints = [\"127.0.0.1:9\"]\n";
    place.write("edge-1", &place.config("edge-1", &Place::at(&place.etcd.url()), more));
    eventually("the file is read", || first.get("/v1/services/shop")["versions"].as_array().unwrap().len() == 3);
    eventually("it is told", || fleet(&second)["differing"] == json!(["edge-1"]));
    let body = json!({ "v1": 90, "v3": 10, "force": true });
    first.send(http::Method::PUT, "/v1/services/shop/split", body).unwrap();
    eventually("the other says what it cannot have", || {
        let replicas = fleet(&first)["replicas"].clone();
        replicas[1]["misfits"][0].as_str().is_some_and(|why| why.contains("services.shop") && why.contains("v3=10"))
    });
    assert_eq!(second.get("/v1/services/shop")["versions"][0]["weight"], 100.0, "it serves what it can");
    let why = super::place::refusal(shift(&second, 50));
    assert!(why.contains("not all of it is in this config"), "{why}");
    place.write("edge-2", &place.config("edge-2", &Place::at(&place.etcd.url()), more));
    eventually_within(LONG, "with the file it follows", || {
        second.get("/v1/services/shop")["versions"][2]["weight"] == 10.0
    });
}

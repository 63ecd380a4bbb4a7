//! The room of the fleet: who is there, who lags, why this replica is apart, and the way back after an old etcd.

use http::Method;
use serde_json::json;

use super::every_room::is_for_all;
use crate::fleet::place::{Place, fleet, is_together, know_each_other, revision, shift};
use crate::support::browser::Browser;
use crate::support::event_stream::EventStream;
use crate::support::process::Process;
use crate::support::{eventually, eventually_within};
use std::time::Duration;

const ROOM: &str = "#/fleet";

/// What etcd needs to come back, and replicas to find it, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Three replicas that wait for no other one for long, and say where they are.
fn three(place: &Place) -> Vec<Process> {
    let start = |number: u32| {
        let name = format!("edge-{number}");
        let at = Place::at(&place.etcd.url()).replace("20s", "100ms");
        let at = format!("{at}\nadvertise = \"http://192.0.2.{number}:9900\"");
        Process::start(&place.write(&name, &place.config(&name, &at, "")))
    };
    let all: Vec<_> = (1..=3).map(start).collect();
    know_each_other(&all.iter().collect::<Vec<_>>());
    all
}

#[test]
fn replicas_are_seen_and_a_state_that_etcd_has_lost_is_put_there_again() {
    let Some(browser) = Browser::shared("the fleet in the console") else { return };
    let mut place = Place::new();
    let all = three(&place);
    let room = format!("http://{}/{ROOM}", all[0].admin_address);
    eventually_within(LONG, "one leads", || fleet(&all[0])["leader"].is_string());
    let leader = fleet(&all[0])["leader"].as_str().unwrap().to_owned();
    let tab = browser.console(all[0].admin_address, ROOM);
    tab.shows("link", "Fleet");
    tab.reads("main", "together(.|\\n)*This is edge-1(.|\\n)*in force on all 3 before it is answered");
    tab.reads("main tbody tr:first-child", "edge-1 \\(this one(.|\\n)*ago");
    tab.reads("main tbody", &format!("{leader} \\(([^)]*, )?leads\\)"));
    tab.shows("link", "http://192.0.2.3:9900");
    is_for_all(browser, &tab, &room, "together");

    all[2].signal("STOP");
    shift(&all[1], 30).unwrap();
    tab.reads("main tbody", "edge-3(.|\\n)*1, 1 behind");
    let more = "versions.v3.endpoints = [\"127.0.0.1:9\"]\n";
    let at = Place::at(&place.etcd.url()).replace("20s", "100ms") + "\nadvertise = \"http://192.0.2.2:9900\"";
    place.write("edge-2", &place.config("edge-2", &at, more));
    tab.reads("main tbody", "edge-2(.|\\n)*, not as here");
    is_for_all(browser, &tab, &room, "one lags and one differs");
    let split = json!({ "v1": 70, "v2": 29, "v3": 1, "force": true });
    eventually("the file is read", || all[1].send(Method::PUT, "/v1/services/shop/split", split.clone()).is_ok());
    tab.reads("main", "What a config lacks(.|\\n)*edge-1: services.shop(.|\\n)*v3=1");
    is_for_all(browser, &tab, &room, "a version is missing");
    all[2].signal("CONT");
    shift(&all[1], 40).unwrap();
    tab.reads("main tbody tr:last-child", "edge-3(.|\\n)*\\b4\\b");

    let copy = place.etcd.copy();
    shift(&all[0], 60).unwrap();
    place.etcd.restore(&copy);
    tab.reads("main", "apart(.|\\n)*refuses changes(.|\\n)*was restored from a copy");
    is_for_all(browser, &tab, &room, "apart");
    tab.click("button", "Put this replica’s state there");
    let shown = tab.reads("dialog", "revision 5");
    assert!(shown.contains("pointsman fleet restore"), "{shown}");
    tab.is_accessible("the dialog of a restore");
    assert!(!is_together(&all[0]), "looking changes nothing");
    tab.click_in("dialog", "button", "Put it there");
    tab.ask("await", json!({ "css": "dialog[open]", "state": "hidden" }));
    tab.reads("main", "together(.|\\n)*This is edge-1");
    for replica in &all {
        eventually_within(LONG, "all follow", || is_together(replica) && revision(replica) == 5);
    }
    tab.end();
}

#[test]
fn a_fleet_in_which_nothing_happens_is_no_news_for_a_console() {
    let place = Place::new();
    let all = three(&place);
    eventually_within(LONG, "one leads", || fleet(&all[0])["leader"].is_string());
    let mut stream = EventStream::open(all[0].admin_address, "/v1/events", &[]);
    let snapshot = stream.event().expect("a snapshot");
    let known = snapshot.data["fleet"].as_object().expect("a fleet");
    assert_eq!(known["replicas"].as_array().unwrap().len(), 3, "{snapshot:?}");
    // What grows by itself would be a change each second, and what each beat changes one every three.
    assert!(!known.contains_key("heard_seconds") && !known.contains_key("heard_at"), "{snapshot:?}");
}

//! What happens when etcd is gone, paused, forgetful, or back from an old copy: what is in force stays in force.

use http::Method;
use serde_json::{Value, json};

use super::etcd::Etcd;
use super::place::{Place, fleet, history, is_together, know_each_other, of_user, on_v2, refusal, revision, shift};
use crate::support::pki::Ca;
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{eventually, eventually_within};
use std::time::Duration;

/// A lease and what comes after it, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn without_etcd_the_last_traffic_is_served_and_changes_are_refused_until_it_is_back() {
    let mut place = Place::new();
    let all = place.start_three();
    shift(&all[0], 30).unwrap();
    let users = on_v2(&all[0], 100);
    place.etcd.end();
    for replica in &all {
        eventually("it is noticed", || !is_together(replica));
        let why = refusal(shift(replica, 90));
        assert!(why.contains("503") && why.contains("etcd does not answer"), "{why}");
        assert!(why.contains("what is in force stays in force"), "{why}");
        assert_eq!(on_v2(replica, 100), users);
    }
    // One that starts meanwhile serves what it has, also what only its file says.
    let mut all = all;
    all.remove(2).kill();
    let new = "[services.new]\npaths = [\"/new\"]\nsplit = { a = 100 }\nversions.a.endpoints = [\"127.0.0.1:9\"]\n";
    let text = place.config("edge-3", &Place::at(&place.etcd.url()), new);
    let third = Process::start(&place.write("edge-3", &text));
    assert_eq!(on_v2(&third, 100), users);
    assert_eq!(third.get("/v1/services/new")["versions"][0]["weight"], 100.0);
    let before = revision(&all[0]);
    place.etcd.start_again();
    all.push(third);
    for replica in &all {
        eventually_within(LONG, "they come back by themselves", || {
            is_together(replica) && revision(replica) == before + 1
        });
    }
    assert_eq!(history(&all[0]), history(&all[2]), "the new service is a revision now");
    let answer = shift(&all[1], 60).unwrap();
    assert_eq!(answer["fleet"]["lagging"], json!([]), "{answer}");
    // Each state was logged once, however often was tried.
    assert_eq!(all[0].count(&["the fleet is not followed"]), 1);
}

#[test]
fn a_replica_that_is_cut_off_is_named_and_comes_back_with_everything() {
    let place = Place::new();
    let etcd = ([127, 0, 0, 1], place.etcd.port()).into();
    let relay = Relay::start(etcd, "");
    let apart = |name: &str, url: &str| {
        let text = place.config(name, &Place::at(url).replace("20s", "100ms"), "");
        Process::start(&place.write(name, &text))
    };
    let here = apart("edge-1", &place.etcd.url());
    let there = apart("edge-2", &format!("http://{}", relay.address()));
    eventually("both are there", || fleet(&here)["replicas"].as_array().unwrap().len() == 2);
    relay.cut();
    let answer = shift(&here, 50).unwrap();
    assert_eq!(answer["fleet"]["lagging"], json!(["edge-2"]), "{answer}");
    assert_eq!(of_user(there.listener, 1).as_deref(), Some("v1"), "it serves what it has");
    eventually_within(LONG, "its lease ends", || fleet(&here)["replicas"].as_array().unwrap().len() == 1);
    for number in 0..20 {
        shift(&here, number).unwrap();
    }
    relay.mend(etcd);
    eventually_within(LONG, "it is back", || revision(&there) == revision(&here) && is_together(&there));
    assert_eq!(history(&there), history(&here), "nothing of the history is missing");
}

#[test]
fn an_etcd_that_is_paused_and_one_that_forgets_lose_nothing() {
    let place = Place::new();
    let all = place.start_three();
    place.etcd.signal("STOP");
    for replica in &all {
        eventually_within(LONG, "silence is noticed", || !is_together(replica));
        assert_eq!(of_user(replica.listener, 1).as_deref(), Some("v1"));
    }
    place.etcd.signal("CONT");
    for replica in &all {
        eventually_within(LONG, "it is over", || is_together(replica));
    }
    // A replica sleeps while revisions are made and forgotten.
    all[2].signal("STOP");
    for number in 0..20 {
        shift(&all[0], 40 + number).ok();
    }
    place.etcd.compact();
    all[2].signal("CONT");
    eventually_within(LONG, "it catches up", || is_together(&all[2]) && revision(&all[2]) == revision(&all[0]));
    assert_eq!(history(&all[2]), history(&all[0]));
}

#[test]
fn an_etcd_from_an_old_copy_is_refused_until_somebody_says_what_is_right() {
    let mut place = Place::new();
    let all = place.start_three();
    shift(&all[0], 10).unwrap();
    let copy = place.etcd.copy();
    shift(&all[0], 60).unwrap();
    let users = on_v2(&all[0], 100);
    place.etcd.restore(&copy);
    for replica in &all {
        let is_refused = || fleet(replica)["why"].as_str().is_some_and(|why| why.contains("was restored from a copy"));
        eventually_within(LONG, "it goes back", is_refused);
        assert!(refusal(shift(replica, 99)).contains("pointsman fleet restore"));
        assert_eq!(on_v2(replica, 100), users, "what was acknowledged stays in force");
    }
    let answer = all[1].send(Method::POST, "/v1/fleet/restore", json!({})).unwrap();
    assert_eq!(answer["state"], "together", "{answer}");
    for replica in &all {
        eventually_within(LONG, "all follow", || is_together(replica) && revision(replica) == 3);
    }
    let answer = shift(&all[2], 61).unwrap();
    assert_eq!(answer["fleet"]["lagging"], json!([]), "{answer}");
    assert!(all.iter().all(|replica| revision(replica) == 4));
    assert_eq!(history(&all[0]), history(&all[1]));
}

#[test]
fn a_replica_that_has_missed_what_was_acknowledged_cannot_be_what_is_right() {
    let mut place = Place::new();
    let etcd = ([127, 0, 0, 1], place.etcd.port()).into();
    let relay = Relay::start(etcd, "");
    let replica = |name: &str, url: &str| {
        let text = place.config(name, &Place::at(url).replace("20s", "100ms"), "");
        Process::start(&place.write(name, &text))
    };
    let here = replica("edge-1", &place.etcd.url());
    let there = replica("edge-2", &format!("http://{}", relay.address()));
    know_each_other(&[&here, &there]);
    shift(&here, 10).unwrap();
    eventually("both have it", || revision(&there) == 2);
    let copy = place.etcd.copy();
    relay.cut();
    shift(&here, 60).unwrap();
    place.etcd.restore(&copy);
    relay.mend(([127, 0, 0, 1], place.etcd.port()).into());
    let restore = |replica: &Process| replica.send(Method::POST, "/v1/fleet/restore", json!({}));
    eventually_within(LONG, "who has more says so all the same", || {
        let has_more = |member: &Value| member["name"] == "edge-1" && member["revision"] == 3;
        fleet(&there)["replicas"].as_array().unwrap().iter().any(has_more) && revision(&there) == 2
    });
    let why = refusal(restore(&there));
    assert!(why.contains("found revision 3 on edge-1, and 2 on this replica"), "{why}");
    let answer = restore(&here).unwrap();
    assert_eq!(answer["state"], "together", "{answer}");
    eventually_within(LONG, "the other follows", || is_together(&there) && revision(&there) == 3);
}

#[test]
fn an_etcd_with_users_lets_in_who_has_the_password_also_after_tokens_have_ended() {
    let mut etcd = Etcd::start_with(&["--auth-token-ttl", "2"]);
    etcd.close();
    let place = Place::with(etcd);
    let user = |file: &str| Place::at(&place.etcd.url()) + &format!("\nuser = \"pointsman\"\npassword_file = {file:?}");
    std::fs::write(place.folder.path().join("good"), "secret\n").unwrap();
    std::fs::write(place.folder.path().join("bad"), "wrong\n").unwrap();
    let (code, said) = super::place::ends_at_once(&place.write("bad", &place.config("bad", &user("bad"), "")));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("etcd refuses this replica") && said.contains("fleet.password_file"), "{said}");
    let (code, said) =
        super::place::ends_at_once(&place.write("no", &place.config("no", &Place::at(&place.etcd.url()), "")));
    assert!(code == Some(1) && said.contains("fleet.user"), "{code:?}: {said}");
    let replica = Process::start(&place.write("edge-1", &place.config("edge-1", &user("good"), "")));
    eventually("it is in", || is_together(&replica));
    // Longer than a token lasts.
    std::thread::sleep(Duration::from_secs(4));
    shift(&replica, 20).unwrap();
    assert!(is_together(&replica), "{}", fleet(&replica));
}

#[test]
fn what_is_no_etcd_and_a_second_replica_of_a_name_are_told_at_the_start() {
    let place = Place::new();
    let first = place.start("edge-1");
    eventually("its name is taken", || is_together(&first));
    let elsewhere = format!("http://{}", first.listener);
    let text = place.config("other", &Place::at(&elsewhere), "");
    let (code, said) = super::place::ends_at_once(&place.write("other", &text));
    assert!(code == Some(1) && said.contains("want the JSON gateway of etcd"), "{code:?}: {said}");
    let text =
        place.config("other", &Place::at(&place.etcd.url()), "").replace("name = \"other\"", "name = \"edge-1\"");
    let (code, said) = super::place::ends_at_once(&place.write("other", &text));
    assert!(code == Some(1) && said.contains("found another replica named edge-1"), "{code:?}: {said}");
    assert!(said.contains("set fleet.name"), "{said}");
    let text = place.config("other", &Place::at("http://127.0.0.1:1"), "");
    let (code, said) = super::place::ends_at_once(&place.write("other", &text));
    assert!(code == Some(1) && said.contains("etcd does not answer"), "{code:?}: {said}");
    assert!(said.contains("this replica has nothing of the fleet yet"), "{said}");
}

#[test]
fn etcd_by_tls_with_certificates_of_its_clients() {
    let ca = Ca::new("etcd authority");
    let place = Place::with(Etcd::start_secure(&ca));
    let at = Place::at(&place.etcd.url());
    let tls = |own: &str| format!("{at}\ntls = {{ ca = {:?}{own} }}", ca.file());
    // Whom etcd does not know does not get in, and whom we do not know is not asked.
    let (code, said) = super::place::ends_at_once(&place.write("none", &place.config("none", &tls(""), "")));
    assert!(code == Some(1) && said.contains("etcd does not answer"), "{code:?}: {said}");
    let other = Ca::new("another authority");
    let text = place.config("other", &tls("").replace(&format!("{:?}", ca.file()), &format!("{:?}", other.file())), "");
    let (code, said) = super::place::ends_at_once(&place.write("other", &text));
    assert!(code == Some(1) && said.contains("etcd does not answer"), "{code:?}: {said}");
    let own = format!(", {}", place.etcd.of_clients().toml());
    let start = |name: &str| Process::start(&place.write(name, &place.config(name, &tls(&own), "")));
    let (first, second) = (start("edge-1"), start("edge-2"));
    know_each_other(&[&first, &second]);
    shift(&first, 35).unwrap();
    assert_eq!(revision(&second), revision(&first));
    assert_eq!(on_v2(&second, 100), on_v2(&first, 100));
}

#[test]
fn one_member_of_three_may_be_gone_and_with_two_nothing_changes() {
    let mut members = Etcd::three();
    let place = Place::new();
    let urls: Vec<_> = members.iter().map(Etcd::url).collect();
    let at = format!("etcd = {urls:?}\nprefix = \"/pointsman/three\"\nwait = \"20s\"");
    let start = |name: &str| Process::start(&place.write(name, &place.config(name, &at, "")));
    let all = [start("edge-1"), start("edge-2")];
    for (number, member) in (0_u32..).zip(&mut members) {
        member.end();
        for (share, replica) in [(10 + number, &all[0]), (60 + number, &all[1])] {
            // A change that was sent to the member that is gone may have to be repeated: that is said.
            eventually_within(LONG, "changes go on", || shift(replica, share).is_ok());
            eventually_within(LONG, "on both", || revision(&all[0]) == revision(&all[1]));
        }
        member.start_again();
    }
    let users = on_v2(&all[0], 100);
    members[0].end();
    members[1].end();
    for replica in &all {
        eventually_within(LONG, "there is no majority", || !is_together(replica));
        assert!(refusal(shift(replica, 1)).contains("503"));
        assert_eq!(on_v2(replica, 100), users);
    }
    // They are well together only.
    members[0].resume();
    members[1].start_again();
    for replica in &all {
        eventually_within(LONG, "it is over by itself", || is_together(replica));
    }
    shift(&all[0], 90).unwrap();
}

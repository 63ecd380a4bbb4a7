//! Replicas that share one traffic: a change is in force on all of them before its caller is answered, and every user
//! is on the same side everywhere.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use http::Method;
use serde_json::{Value, json};

use super::place::{Beside, Place, fleet, history, know_each_other, of_user, on_v2, refusal, revision, shift};
use crate::support::{client, eventually, process::Process};

/// How many flips are made. The target of the long figures sets more.
fn flips() -> u64 {
    std::env::var("FLEET_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

#[test]
fn after_an_answered_flip_no_replica_serves_the_version_of_before_and_no_request_fails() {
    let place = Place::new();
    let all = place.start_three();
    let listeners: Vec<_> = all.iter().map(|replica| replica.listener).collect();
    let (stop, asked, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let _ended = Beside(&stop);
        // A client that goes round.
        scope.spawn(|| {
            for user in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let listener = listeners[user as usize % listeners.len()];
                asked.fetch_add(1, Ordering::Relaxed);
                if of_user(listener, user).is_none() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for flip in 0..flips() {
            let to = if flip % 2 == 0 { "v2" } else { "v1" };
            let by = &all[usize::try_from(flip).unwrap() % all.len()];
            let answer = by.send(Method::POST, "/v1/services/shop/flip", json!({ "to": to })).unwrap();
            assert_eq!(answer["fleet"]["replicas"], 3, "{answer}");
            assert_eq!(answer["fleet"]["lagging"], json!([]), "{answer}");
            for (replica, listener) in all.iter().zip(&listeners) {
                let got = of_user(*listener, 1);
                assert_eq!(got.as_deref(), Some(to), "flip {flip} on {}", fleet(replica)["name"]);
            }
        }
    });
    let (asked, failed) = (asked.into_inner(), failed.into_inner());
    println!("{} flips on 3 replicas, {asked} requests beside them, {failed} failed", flips());
    assert_eq!(failed, 0, "of {asked}");
    assert!(all.iter().all(|replica| revision(replica) == flips() + 1));
    assert_eq!(history(&all[0]), history(&all[2]), "revisions are one history");
}

/// The users of all replicas, who must be the same ones.
#[track_caller]
fn one_side(all: &[Process], users: u32) -> Vec<u32> {
    let found: Vec<_> = thread::scope(|scope| {
        let each: Vec<_> = all.iter().map(|replica| scope.spawn(move || on_v2(replica, users))).collect();
        each.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.iter().all(|one| *one == found[0]), "{:?} users", found.iter().map(Vec::len).collect::<Vec<_>>());
    found[0].clone()
}

#[test]
fn ten_thousand_users_are_on_the_same_side_on_all_replicas() {
    let place = Place::new();
    let all = place.start_three();
    shift(&all[1], 30).unwrap();
    let first = one_side(&all, 10_000);
    assert!(first.len() > 2_700 && first.len() < 3_300, "about 3,000 of 10,000: {}", first.len());
    shift(&all[2], 60).unwrap();
    let more = one_side(&all, 10_000);
    assert!(more.len() > 5_700 && first.iter().all(|user| more.binary_search(user).is_ok()), "who has moved stays");
    all[0].send(Method::POST, "/v1/rollback", json!({})).unwrap();
    assert_eq!(one_side(&all, 10_000), first, "a rollback brings the same ones back");
}

#[test]
fn a_cookie_that_one_replica_sets_counts_on_all_others_and_on_those_that_come() {
    let place = Place::new();
    let start = |name: &str| {
        let text = place.config(name, &Place::at(&place.etcd.url()), "");
        let text = text.replace("sticky = [\"header:x-user-id\"]", "sticky = [\"cookie\"]");
        Process::start(&place.write(name, &text))
    };
    let mut all: Vec<_> = ["edge-1", "edge-2"].map(start).into();
    know_each_other(&all.iter().collect::<Vec<_>>());
    shift(&all[0], 50).unwrap();
    let ask = |replica: &Process, cookie: &str| {
        client::send(replica.listener, format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n"))
    };
    let users: Vec<_> = (0..100)
        .map(|number| {
            let answer = ask(&all[number % 2], "");
            let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned();
            (format!("Cookie: {cookie}\r\n"), answer.text())
        })
        .collect();
    assert!(users.iter().any(|(_, got)| got == "v1") && users.iter().any(|(_, got)| got == "v2"));
    all.push(start("edge-3"));
    know_each_other(&all.iter().collect::<Vec<_>>());
    for (cookie, got) in &users {
        for replica in &all {
            let answer = ask(replica, cookie);
            assert_eq!((answer.text(), answer.header("set-cookie")), (got.clone(), None), "{cookie}");
        }
    }
    shift(&all[2], 80).unwrap();
    for (cookie, got) in &users {
        let now = all.iter().map(|replica| ask(replica, cookie).text()).collect::<Vec<_>>();
        assert!(now.iter().all(|one| *one == now[0]), "{cookie}: {now:?}");
        assert!(got == "v1" || now[0] == "v2", "who has moved stays");
    }
}

#[test]
fn one_change_at_a_time_over_all_replicas_and_if_match_holds() {
    let place = Place::new();
    let all = place.start_three();
    shift(&all[0], 10).unwrap();
    let seen = revision(&all[1]);
    shift(&all[2], 20).unwrap();
    let call = |replica: &Process| {
        let body = Some(json!({ "v1": 1, "v2": 99 }));
        let path = "/v1/services/shop/split";
        replica.admin.call(pointsman::cli::client::Call { method: Method::PUT, path, body, if_match: Some(seen) })
    };
    assert!(refusal(call(&all[1])).contains("412"), "another replica has changed it since");
    // All at once: each is a revision of its own, planned on the one before it.
    let answers: Vec<Value> = thread::scope(|scope| {
        let each = (0..12_u32).map(|number| {
            let replica = &all[number as usize % 3];
            scope.spawn(move || shift(replica, 30 + number).unwrap())
        });
        each.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut revisions: Vec<_> = answers.iter().map(|answer| answer["revision"].as_u64().unwrap()).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (seen + 2..seen + 14).collect::<Vec<_>>());
    assert_eq!(history(&all[0]), history(&all[1]));
    assert_eq!(history(&all[0]), history(&all[2]));
}

#[test]
fn drains_flags_and_mirrors_are_shared_too() {
    let place = Place::new();
    let more = "[flags.dark]\nvariants = { off = false, on = true }\ndefault = \"off\"\n";
    let start = |name: &str| {
        let text = place.config(name, &Place::at(&place.etcd.url()), more);
        Process::start(&place.write(name, &text))
    };
    let (first, second) = (start("edge-1"), start("edge-2"));
    know_each_other(&[&first, &second]);
    let endpoint = first.get("/v1/services/shop")["versions"][0]["endpoints"][0]["address"].clone();
    let endpoint = endpoint.as_str().unwrap();
    let path = format!("/v1/services/shop/versions/v1/endpoints/{endpoint}");
    first.send(Method::PUT, &path, json!({ "state": "drained", "force": true })).unwrap();
    second.send(Method::PUT, "/v1/flags/dark", json!({ "enabled": false })).unwrap();
    first.send(Method::PUT, "/v1/services/shop/mirror", json!({ "to": "v2", "share": 10 })).unwrap();
    for replica in [&first, &second] {
        let service = replica.get("/v1/services/shop");
        assert_eq!(service["versions"][0]["endpoints"][0]["state"], "drained", "{service}");
        assert_eq!(replica.get("/v1/flags/dark")["enabled"], false);
        assert_eq!(replica.get("/v1/services/shop/mirror")["to"], "v2");
    }
    assert_eq!(history(&first), history(&second));
}

#[test]
fn a_file_counts_once_for_the_fleet_and_an_older_one_takes_nothing_back() {
    let place = Place::new();
    let all = place.start_three();
    let with = |name: &str, split: &str| {
        let text = place.config(name, &Place::at(&place.etcd.url()), "");
        place.write(name, &text.replace("{ v1 = 100, v2 = 0 }", split))
    };
    let half = "{ v1 = 50, v2 = 50 }";
    // The first replica gets the file of a new release.
    with("edge-1", half);
    eventually("the file is in force everywhere", || all.iter().all(|replica| revision(replica) == 2));
    // An operator goes on from there, before the others have the file.
    shift(&all[1], 70).unwrap();
    with("edge-2", half);
    with("edge-3", half);
    for replica in &all[1..] {
        replica.tells(&["the config is in force", "changed=false"]);
    }
    assert!(all.iter().all(|replica| revision(replica) == 3), "the later ones say nothing new");
    // One that starts with an old file, and an empty disk, says nothing either.
    let mut all = all;
    all.remove(2).kill();
    std::fs::remove_file(place.folder.path().join("edge-3.db")).unwrap();
    let path = with("edge-4", "{ v1 = 100, v2 = 0 }");
    let fourth = Process::start(&path);
    assert_eq!(revision(&fourth), 3);
    assert_eq!(fourth.get("/v1/services/shop")["versions"][1]["weight"], 70.0);
}

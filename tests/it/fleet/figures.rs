//! What a fleet costs, and that it outlives what takes long. `make fleet` makes it larger, and shows the figures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use http::Method;
use serde_json::json;

use super::place::{Beside, Place, fleet, is_together, know_each_other, leads, of_user, replicas};
use super::simulated::Simulated;
use crate::support::client;
use crate::support::process::Process;
use crate::support::{eventually, eventually_within};

/// A lease and what comes after it, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A number that the target of the long figures sets.
fn set(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A counter of etcd.
fn counter(place: &Place, name: &str) -> f64 {
    let etcd = format!("127.0.0.1:{}", place.etcd.port());
    let answer = client::send(etcd.parse().unwrap(), format!("GET /metrics HTTP/1.1\r\nHost: {etcd}\r\n\r\n")).text();
    let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// What the threads of a process have used of processors, in milliseconds.
fn used_ms(process: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let used = |thread: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    threads.filter_map(used).sum::<u64>() as f64 / 1e6
}

fn flip(leader: &Process, number: u64) -> u64 {
    let to = if number.is_multiple_of(2) { "v2" } else { "v1" };
    let answer = leader.send(Method::POST, "/v1/services/shop/flip", json!({ "to": to })).unwrap();
    assert_eq!(answer["fleet"]["lagging"], json!([]), "{answer}");
    // That it has it itself, it tells the others beside the answer.
    eventually("all is written", || fleet(leader)["lagging"] == json!([]));
    answer["fleet"]["waited_ms"].as_u64().unwrap()
}

#[test]
fn at_rest_nothing_is_written_and_a_flip_is_two_keys_and_one_of_each_replica() {
    let (rest, flips) = (Duration::from_secs(set("FLEET_REST", 7)), set("FLEET_COST_FLIPS", 5));
    for members in [1, 3, set("FLEET_SIMULATED", 8)] {
        let place = Place::new();
        let leader = place.start("edge-1");
        know_each_other(&[&leader]);
        let _others = Simulated::start(place.etcd.port(), "/pointsman/test", usize::try_from(members - 1).unwrap());
        eventually_within(LONG, "all are there", || replicas(&leader) as u64 == members && leads(&leader));
        flip(&leader, 0);
        let puts = || counter(&place, "etcd_mvcc_put_total");
        let etcd = place.etcd.id();
        let (written, used, of_etcd) = (puts(), used_ms(leader.id()), used_ms(etcd));
        thread::sleep(rest);
        let seconds = rest.as_secs_f64();
        let at_rest = puts() - written;
        let (used, of_etcd) = ((used_ms(leader.id()) - used) / seconds, (used_ms(etcd) - of_etcd) / seconds);
        println!(
            "{members} replicas at rest: {at_rest} keys written in {seconds} s; processors: leader {:.2} %, etcd {:.2} %",
            used / 10.0,
            of_etcd / 10.0
        );
        assert_eq!(at_rest, 0.0, "{members} replicas at rest");
        let (written, used, of_etcd) = (puts(), used_ms(leader.id()), used_ms(etcd));
        let mut waited: Vec<_> = (1..=flips).map(|number| flip(&leader, number)).collect();
        waited.sort_unstable();
        let each = |sum: f64| sum / flips as f64;
        let (writes, median) = (puts() - written, waited[waited.len() / 2]);
        println!(
            "{members} replicas, a flip: {:.1} keys written, on all after {median} ms (median), {} ms at the most; \
             processors: leader {:.1} ms, etcd {:.1} ms",
            each(writes),
            waited[waited.len() - 1],
            each(used_ms(leader.id()) - used),
            each(used_ms(etcd) - of_etcd)
        );
        assert_eq!(each(writes), (members + 2) as f64, "the state, the revision, and what each replica has");
    }
}

#[test]
fn no_request_fails_while_etcd_is_paused_for_longer_than_all_leases() {
    let place = Place::new();
    let all = place.start_three();
    eventually_within(LONG, "one leads", || all.iter().any(leads));
    let listeners: Vec<_> = all.iter().map(|replica| replica.listener).collect();
    let (stop, asked, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let _ended = Beside(&stop);
        scope.spawn(|| {
            for user in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let got = of_user(listeners[user as usize % listeners.len()], user);
                asked.fetch_add(1, Ordering::Relaxed);
                failed.fetch_add(u64::from(got.as_deref() != Some("v1")), Ordering::Relaxed);
            }
        });
        place.etcd.signal("STOP");
        for replica in &all {
            eventually_within(LONG, "silence is noticed", || !is_together(replica));
        }
        // By their own clocks none leads any more.
        eventually_within(LONG, "none leads", || !all.iter().any(leads));
        thread::sleep(Duration::from_secs(set("FLEET_PAUSE", 1)));
        let before = asked.load(Ordering::Relaxed);
        place.etcd.signal("CONT");
        for replica in &all {
            eventually_within(LONG, "it is over", || is_together(replica));
        }
        eventually_within(LONG, "one leads, and users were served", || {
            all.iter().any(leads) && asked.load(Ordering::Relaxed) > before
        });
    });
    let (asked, failed) = (asked.into_inner(), failed.into_inner());
    println!("etcd paused for {} s and more: {asked} requests, {failed} failed", set("FLEET_PAUSE", 1));
    assert!(failed == 0 && asked > 0, "{failed} of {asked}");
    flip(&all[0], 0);
    assert_eq!(fleet(&all[1])["revision"], fleet(&all[0])["revision"]);
}

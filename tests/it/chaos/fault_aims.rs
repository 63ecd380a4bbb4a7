//! To whom and when a fault is done, and what saves its users: zones and endpoints, versions, the shield, baselines and
//! ends, and cookies.

use std::sync::Arc;

use pointsman::testing::stats::FaultSlice;
use pointsman::testing::table::spec::fault::{FaultKind, FaultTarget};
use pointsman::testing::table::{EndpointAddress, FaultInForce};
use serde_json::json;

use super::injected::{abort, counted, fault, put, setup, target, user, visit};
use crate::support::spec::name;
use crate::support::{Origin, Setup, client, eventually, with};

#[test]
fn a_zone_that_is_dead_is_failed_over_and_its_endpoints_stay_what_they_are() {
    let (near, far) = (Origin::saying("near"), Origin::saying("far"));
    let zones = format!("zones = {{ \"{}\" = \"a\", \"{}\" = \"b\" }}", near.address(), far.address());
    let setup = setup(Setup::endpoints(&[&[near.address(), far.address()]])).version(&zones);
    let proxy = setup.top("[proxy]\nworkers = 1").start();
    let (fault_user, control) = (user(FaultSlice::Fault), user(FaultSlice::Control));
    // There are connections to both.
    eventually("both are asked", || {
        assert_eq!(visit(&proxy, &fault_user, "/"), 200);
        !near.seen().is_empty() && !far.seen().is_empty()
    });
    let zone = FaultTarget { zone: Some(name("a")), ..target() };
    let endpoint = FaultTarget { endpoint: Some(EndpointAddress::Ip(near.address())), ..target() };
    for target in [zone, endpoint] {
        proxy.put_faults(&[Arc::new(fault(FaultKind::Refuse, target))]);
        let before = near.seen().len();
        let mut client = proxy.client();
        for _ in 0..30 {
            let answer = client.ask(with(&[&format!("X-User: {fault_user}")]));
            assert_eq!((answer.status, answer.text().as_str()), (200, "far"));
        }
        assert_eq!(near.seen().len(), before);
        eventually("the control slice is at both", || {
            assert_eq!(visit(&proxy, &control, "/"), 200);
            near.seen().len() > before
        });
    }
    let endpoints = &proxy.status()["versions"][0]["endpoints"];
    let told = [0, 1].map(|index| [&endpoints[index]["state"], &endpoints[index]["zone"]]);
    assert_eq!(told, [[&json!("ready"), &json!("a")], [&json!("ready"), &json!("b")]]);
    // Some of the requests would have gone there first.
    assert!(proxy.metric("pointsman_upstream_failures_total", &["reason=\"connect\""]) > 0.5);
}

#[test]
fn the_shield_saves_users_of_a_faulted_version_and_that_is_what_is_counted() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let setup = setup(Setup::to(&[&v1, &v2])).service("shield = { stable = \"v1\" }").split(&[0, 100]);
    let proxy = setup.start();
    let of_v2 = FaultTarget { version: Some(name("v2")), ..target() };
    let fault_user = user(FaultSlice::Fault);
    for kind in [abort(503), FaultKind::Reset] {
        proxy.put_faults(&[Arc::new(fault(kind, of_v2.clone()))]);
        let answer = client::send(proxy.address, with(&[&format!("X-User: {fault_user}")]));
        assert_eq!((answer.status, answer.text().as_str()), (200, "v1"));
    }
    assert!(v2.seen().is_empty() && v1.seen().len() == 2);
    eventually("both are counted", || counted(&proxy, "fault", "ok") > 1.5);
    assert!(counted(&proxy, "fault", "failed") < 0.5);
    // Users of v1 are in no slice of it.
    let of_v1 = FaultTarget { version: Some(name("v1")), ..target() };
    proxy.put_faults(&[Arc::new(fault(abort(503), of_v1))]);
    assert_eq!(visit(&proxy, &fault_user, "/"), 200);
    assert_eq!(v2.seen().len(), 1);
}

#[test]
fn a_baseline_and_a_fault_whose_time_is_over_do_nothing() {
    let origin = Origin::saying("hello");
    let proxy = setup(Setup::to(&[&origin])).start();
    let [fault_user, control] = [FaultSlice::Fault, FaultSlice::Control].map(user);
    let over = FaultInForce { until_ms: 0, ..fault(abort(503), target()) };
    let baseline = FaultInForce { injecting: false, ..fault(abort(503), target()) };
    for (fault, counts) in [(over, 0.0), (baseline, 1.0)] {
        proxy.put_faults(&[Arc::new(fault)]);
        assert_eq!([visit(&proxy, &fault_user, "/"), visit(&proxy, &control, "/")], [200; 2]);
        eventually("as many are counted", || {
            ["fault", "control"].iter().all(|slice| (counted(&proxy, slice, "ok") - counts).abs() < 1e-9)
        });
    }
}

#[test]
fn a_user_who_gets_a_cookie_stays_in_the_slice() {
    let origin = Origin::saying("hello");
    let proxy = Setup::to(&[&origin]).service("sticky = [\"cookie\"]").start();
    put(&proxy, abort(503));
    let mut statuses = [0; 2];
    for _ in 0..30 {
        let first = client::send(proxy.address, with(&[]));
        let cookie = first.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
        let again = client::send(proxy.address, with(&[&format!("Cookie: {cookie}")]));
        assert_eq!(again.status, first.status);
        statuses[usize::from(first.status == 503)] += 1;
    }
    assert!(statuses.iter().all(|count| *count > 0), "{statuses:?}");
}

//! Draining by name: whatever the name stands for is out, now and later.

use super::names::{ONE, TWO, await_body, endpoints, origins, proxy_of, says};
use crate::support::dns::{Dns, Says};
use crate::support::{Proxy, eventually, get};

/// Drains, or makes ready; `which` is what stands for the endpoint.
fn set(proxy: &Proxy, which: &str, body: &str) -> serde_json::Value {
    proxy.put(&format!("/v1/services/site/versions/v1/endpoints/{which}"), body)
}

/// Also the last one.
const DRAIN: &str = r#"{"state": "drain", "force": true}"#;
const READY: &str = r#"{"state": "ready"}"#;

#[test]
fn a_drained_name_takes_its_addresses_out_now_and_later() {
    let (one, two, port) = origins();
    let dns = Dns::saying(says(&[ONE]));
    let proxy = proxy_of(&dns, port, "");
    let name = format!("backend.test:{port}");
    let mut slow = proxy.client();
    slow.write(get("/slow"));
    eventually("it is under way", || !one.seen().is_empty());
    let drained = set(&proxy, &name, DRAIN);
    assert_eq!((&drained["changed"], &drained["in_flight"]), (&true.into(), &1.into()), "{drained}");
    assert_eq!(drained["difference"][0]["endpoints"][0]["address"], name.as_str());
    assert_eq!(drained["warnings"][0], "site v1 has 100 % and no usable endpoint now");
    let view = &proxy.status()["versions"][0]["endpoints"][0];
    assert_eq!(view["reason"], format!("with {name}, draining, 1 in flight"));
    assert_eq!(proxy.client().ask(get("/")).status, 503);
    let waited = set(&proxy, &name, r#"{"state": "drain", "wait": "60s"}"#);
    assert_eq!((&waited["changed"], &waited["in_flight"]), (&false.into(), &0.into()), "{waited}");
    assert_eq!(slow.answer().text(), "one", "what is under way ends in peace");
    dns.says(says(&[ONE, TWO]));
    eventually("it stands for another one", || endpoints(&proxy).len() == 2);
    assert_eq!(endpoints(&proxy), [format!("{ONE}:{port} drained"), format!("{TWO}:{port} drained")]);
    assert_eq!(proxy.client().ask(get("/")).status, 503);
    assert!(two.seen().is_empty(), "an address that came later gets nothing either");
    let ready = set(&proxy, &name, READY);
    assert_eq!((&ready["changed"], &ready["warnings"]), (&true.into(), &serde_json::Value::Null), "{ready}");
    await_body(&proxy, "one");
    await_body(&proxy, "two");
}

#[test]
fn a_name_and_one_of_its_addresses_are_drained_apart() {
    let (one, two, port) = origins();
    let dns = Dns::saying(says(&[ONE, TWO]));
    let proxy = proxy_of(&dns, port, "");
    let (name, address) = (format!("backend.test:{port}"), format!("{TWO}:{port}"));
    for which in [&address, &name] {
        assert_eq!(set(&proxy, which, DRAIN)["changed"], true);
    }
    let refused = set(&proxy, &address, READY);
    assert_eq!(refused["status"], 409, "{refused}");
    assert!(refused["problems"][0]["remedy"].as_str().unwrap().starts_with(&format!("make {name} ready")), "{refused}");
    assert_eq!(set(&proxy, &name, READY)["changed"], true);
    assert_eq!(endpoints(&proxy), [format!("{ONE}:{port} ready"), format!("{TWO}:{port} drained")]);
    assert!((0..20).all(|_| proxy.client().ask(get("/")).text() == "one"));
    assert_eq!(set(&proxy, &address, READY)["changed"], true);
    await_body(&proxy, "two");
    drop((one, two));
}

#[test]
fn a_name_that_stands_for_nothing_yet_is_drained_too() {
    let (one, _two, port) = origins();
    let dns = Dns::saying(Says::NoName);
    let proxy = proxy_of(&dns, port, "");
    let name = format!("backend.test:{port}");
    let drained = set(&proxy, &name.to_uppercase(), r#"{"state": "drain", "wait": "1h", "force": true}"#);
    assert_eq!((&drained["changed"], &drained["in_flight"]), (&true.into(), &0.into()), "{drained}");
    assert_eq!(endpoints(&proxy), [format!("{name} drained")]);
    dns.says(says(&[ONE]));
    eventually("it stands for one", || endpoints(&proxy) == [format!("{ONE}:{port} drained")]);
    assert!(one.seen().is_empty());
    set(&proxy, &name, READY);
    await_body(&proxy, "one");
}

#[test]
fn what_is_no_endpoint_is_refused_with_those_that_are() {
    let (one, _two, port) = origins();
    let dns = Dns::saying(says(&[ONE]));
    let proxy = proxy_of(&dns, port, "");
    let unknown = set(&proxy, "other.test:80", DRAIN);
    assert_eq!(
        (&unknown["status"], &unknown["problems"][0]["found"]),
        (&404.into(), &"unknown endpoint other.test:80".into())
    );
    assert_eq!(unknown["problems"][0]["wanted"], format!("one of {ONE}:{port}, backend.test:{port}"));
    let neither = set(&proxy, "nonsense", DRAIN);
    assert_eq!(neither["status"], 404);
    let wanted = neither["problems"][0]["wanted"].as_str().unwrap();
    assert!(wanted.contains("an address or a name with a port"), "{neither}");
    drop(one);
}

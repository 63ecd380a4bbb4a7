//! Endpoints by name: resolved at the start and again, without dropping anything.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::dns::{Dns, Says};
use crate::support::process::Process;
use crate::support::{Client, Origin, Proxy, Reply, eventually, eventually_within, get};

pub(super) const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
pub(super) const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Five times what it takes to find out that a name server is silent, and to ask again.
const SILENCE: Duration = Duration::from_secs(30);

/// Origins on one port of these addresses, each saying its own.
pub(super) fn origins() -> (Origin, Origin, u16) {
    let slow = |body: &'static str| {
        move |seen: &crate::support::Seen| match seen.target() {
            "/slow" => {
                Reply::default().pause(6_000).then(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{body}"))
            }
            _ => Reply::ok(body),
        }
    };
    for _ in 0..50 {
        let first = TcpListener::bind((ONE, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        // Another program may have the same port of the other address.
        if let Ok(second) = TcpListener::bind((TWO, port)) {
            return (Origin::on(first, slow("one")), Origin::on(second, slow("two")), port);
        }
    }
    panic!("no port is free on both addresses")
}

/// A proxy whose only version is `backend.test:port`, by this name server.
pub(super) fn proxy_of(dns: &Dns, port: u16, version: &str) -> Proxy {
    Proxy::start(&format!(
        "[proxy]\nresolver = \"{}\"\n[listeners.public]\naddress = \"127.0.0.1:0\"\n\
         [services.site.versions.v1]\nendpoints = [\"backend.test:{port}\"]\n{version}",
        dns.address()
    ))
}

pub(super) fn says(addresses: &[Ipv4Addr]) -> Says {
    Says::Addresses(addresses.to_vec(), 1)
}

/// `address state` of each endpoint.
pub(super) fn endpoints(proxy: &Proxy) -> Vec<String> {
    let status = proxy.status();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let endpoints = status["versions"][0]["endpoints"].as_array().unwrap();
    endpoints.iter().map(|endpoint| format!("{} {}", text(&endpoint["address"]), text(&endpoint["state"]))).collect()
}

pub(super) fn await_body(proxy: &Proxy, body: &str) {
    eventually(body, || proxy.client().ask(get("/")).text() == body);
}

#[test]
fn a_name_is_followed_and_what_is_under_way_ends_in_peace() {
    let (one, two, port) = origins();
    let dns = Dns::saying(says(&[ONE]));
    let proxy = proxy_of(&dns, port, "");
    await_body(&proxy, "one");
    let revision = proxy.metric("pointsman_revision", &[]);
    let mut slow = proxy.client();
    slow.write(get("/slow"));
    eventually("it is under way", || one.seen().iter().any(|seen| seen.target() == "/slow"));
    dns.says(says(&[TWO]));
    await_body(&proxy, "two");
    let before = one.seen().len();
    assert!((0..20).all(|_| proxy.client().ask(get("/")).text() == "two"));
    assert_eq!(one.seen().len(), before, "nothing new for the address that is gone");
    assert_eq!(slow.answer().text(), "one");
    assert_eq!(endpoints(&proxy), [format!("{TWO}:{port} ready")]);
    assert!((proxy.metric("pointsman_revision", &[]) - revision).abs() < 0.5, "the traffic did not change");
    dns.says(says(&[TWO, ONE]));
    await_body(&proxy, "one");
    await_body(&proxy, "two");
    drop((one, two));
}

#[test]
fn a_name_that_does_not_resolve_is_no_reason_not_to_start() {
    let (one, _two, port) = origins();
    let dns = Dns::saying(Says::NoName);
    let proxy = proxy_of(&dns, port, "");
    eventually("it is asked for", || dns.queries() > 0);
    let refused = proxy.client().ask(get("/"));
    assert_eq!(refused.status, 503);
    eventually("the reason is known", || {
        proxy.status()["versions"][0]["endpoints"][0]["reason"] == "there is no such name"
    });
    assert_eq!(endpoints(&proxy), [format!("backend.test:{port} unresolved")]);
    dns.says(says(&[ONE]));
    await_body(&proxy, "one");
    drop(one);
}

#[test]
fn without_an_answer_the_last_one_stays() {
    let (one, _two, port) = origins();
    let dns = Dns::saying(says(&[ONE]));
    let proxy = proxy_of(&dns, port, "");
    await_body(&proxy, "one");
    for (nothing, count) in [(Says::Failure, 1), (Says::NoName, 1), (says(&[]), 1)] {
        dns.says(nothing);
        let queries = dns.queries();
        eventually("it was asked for again", || dns.queries() >= queries + count);
        assert_eq!(proxy.client().ask(get("/")).text(), "one");
    }
    assert_eq!(endpoints(&proxy), [format!("{ONE}:{port} ready")]);
    drop(one);
}

#[test]
fn addresses_of_a_name_are_checked_and_drained_like_others() {
    let (one, two, port) = origins();
    let dns = Dns::saying(says(&[ONE, TWO]));
    let health = "health = { path = \"/up\", interval = \"800ms\", timeout = \"750ms\", rise = 1, fall = 5 }";
    let proxy = proxy_of(&dns, port, health);
    let is_check = |seen: &&crate::support::Seen| seen.target() == "/up";
    eventually("both are checked", || {
        [&one, &two].iter().all(|origin| origin.seen().iter().filter(is_check).count() > 1)
    });
    // The first check decides alone, and may be late on a busy machine; of those after it five have to be.
    eventually("both are well", || endpoints(&proxy).iter().all(|endpoint| endpoint.ends_with(" ready")));
    let check = two.seen().iter().find(is_check).cloned().unwrap();
    assert_eq!(check.header("host"), Some(format!("backend.test:{port}").as_str()));
    let place = format!("/v1/services/site/versions/v1/endpoints/{}:{port}", IpAddr::from(TWO));
    let drained = proxy.put(&place, r#"{"state": "drain", "wait": "5s"}"#);
    assert_eq!((&drained["changed"], &drained["in_flight"]), (&true.into(), &0.into()), "{drained}");
    assert_eq!(endpoints(&proxy), [format!("{ONE}:{port} ready"), format!("{TWO}:{port} drained")]);
    assert!((0..20).all(|_| proxy.client().ask(get("/")).text() == "one"));
    dns.says(says(&[ONE]));
    eventually("it is gone", || endpoints(&proxy).len() == 1);
    dns.says(says(&[ONE, TWO]));
    eventually("it is back", || endpoints(&proxy).len() == 2);
    assert_eq!(endpoints(&proxy)[1], format!("{TWO}:{port} drained"), "who repairs it is not asked again");
    proxy.put(&place, r#"{"state": "ready"}"#);
    await_body(&proxy, "two");
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_again_by_tcp() {
    let (one, two, port) = origins();
    let dns = Dns::saying(Says::Many(vec![ONE, TWO]));
    let proxy = proxy_of(&dns, port, "");
    assert_eq!(endpoints(&proxy), [format!("{ONE}:{port} ready"), format!("{TWO}:{port} ready")]);
    assert!(dns.queries_by_tcp() > 0);
    await_body(&proxy, "one");
    await_body(&proxy, "two");
    dns.says(Says::Many(vec![TWO]));
    eventually("it is followed", || endpoints(&proxy).len() == 1);
    assert_eq!(proxy.client().ask(get("/")).text(), "two");
    drop((one, two));
}

/// The binary with one version `backend.test:port`, by this name server.
fn process_of(dns: &Dns, port: u16) -> (Process, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let text = format!(
        "[proxy]\nresolver = \"{}\"\n[admin]\naddress = \"127.0.0.1:0\"\n[listeners.public]\naddress = \"127.0.0.1:0\"\n\
         [services.site]\nversions.v1.endpoints = [\"backend.test:{port}\"]\n",
        dns.address()
    );
    std::fs::write(&path, text).unwrap();
    (Process::start(&path), folder)
}

fn ask(process: &Process) -> (u16, String) {
    let answer = Client::to(process.listener).ask(get("/"));
    (answer.status, answer.text())
}

#[test]
fn a_name_server_that_falls_silent_takes_nothing_away() {
    let (one, two, port) = origins();
    let dns = Dns::saying(says(&[ONE]));
    let (mut process, _folder) = process_of(&dns, port);
    assert_eq!(ask(&process), (200, "one".to_owned()));
    dns.says(Says::Silence);
    eventually_within(SILENCE, "it is told", || {
        process.told(&["WARN", "backend.test", "no answer", "its last addresses stay in use"])
    });
    assert_eq!(ask(&process), (200, "one".to_owned()));
    dns.says(says(&[TWO]));
    eventually_within(SILENCE, "it is asked again", || ask(&process).1 == "two");
    assert!(process.end().success());
    drop((one, two));
}

#[test]
fn a_silent_name_server_does_not_keep_a_process_from_starting() {
    let (one, _two, port) = origins();
    let dns = Dns::saying(Says::Silence);
    let begun = Instant::now();
    let (mut process, _folder) = process_of(&dns, port);
    assert!(begun.elapsed() < SILENCE, "{:?}", begun.elapsed());
    assert_eq!(ask(&process).0, 503);
    process.tells(&["WARN", "backend.test", "no answer", "no endpoint by it until it does"]);
    let endpoint = &process.get("/v1/services/site")["versions"][0]["endpoints"][0];
    assert_eq!(endpoint["state"], "unresolved");
    assert!(endpoint["reason"].as_str().unwrap().starts_with("no answer"), "{endpoint}");
    dns.says(says(&[ONE]));
    eventually_within(SILENCE, "it is asked again", || ask(&process).1 == "one");
    assert!(process.end().success());
    drop(one);
}

#[test]
fn a_file_with_a_new_name_is_in_force_when_the_name_is_known() {
    let (one, two, port) = origins();
    let dns = Dns::saying(Says::Addresses(vec![ONE], 60));
    let (mut process, folder) = process_of(&dns, port);
    let path = folder.path().join("pointsman.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    dns.says(Says::Addresses(vec![TWO], 60));
    dns.thinks(Duration::from_millis(300));
    std::fs::write(&path, text.replace("backend.test", "other.test")).unwrap();
    let mut answers = std::collections::BTreeSet::new();
    eventually("it is in force", || {
        answers.insert(ask(&process));
        answers.contains(&(200, "two".to_owned()))
    });
    assert_eq!(answers.len(), 2, "nothing but the old and the new: {answers:?}");
    assert!(process.end().success());
    drop((one, two));
}

#[test]
fn nobody_is_served_before_the_names_are_known() {
    let (one, _two, port) = origins();
    let dns = Dns::saying(Says::Addresses(vec![ONE], 60));
    dns.thinks(Duration::from_millis(300));
    let (mut process, _folder) = process_of(&dns, port);
    assert_eq!(ask(&process), (200, "one".to_owned()), "the first request");
    let (listener, over) = (process.listener, AtomicBool::new(false));
    let (asked, failed) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut asked, mut failed) = (0, Vec::new());
            while !over.load(SeqCst) {
                let answer = Client::to(listener).ask(get("/"));
                asked += 1;
                failed.extend((answer.status != 200).then(|| answer.text()));
            }
            (asked, failed)
        });
        let upgraded = process.upgrade();
        over.store(true, SeqCst);
        upgraded.unwrap();
        asking.join().unwrap()
    });
    assert!(asked > 0 && failed.is_empty(), "{} of {asked} failed: {failed:?}", failed.len());
    assert_eq!(ask(&process), (200, "one".to_owned()));
    assert!(process.wait_for_first().success());
    process.end();
    drop(one);
}

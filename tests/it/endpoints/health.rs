//! Active checks: what they say, what they are not (traffic), and how endpoints that die, hang, are cut off and come
//! back fare under load.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};

use crate::support::fault::{self, Fault};
use crate::support::{Client, Origin, Proxy, Reply, Seen, Setup, eventually, get};

/// Checks that find out in some four seconds. An endpoint that is well is not taken out when its machine stands still
/// for one of them, also not by the first check, which decides alone.
const QUICK: &str = "health = { path = \"/healthz?deep\", interval = \"800ms\", timeout = \"750ms\", rise = 2, fall = 4, jitter = 0.2 }";

fn is_check(seen: &Seen) -> bool {
    seen.header("user-agent").is_some_and(|agent| agent.starts_with("pointsman-health/"))
}

/// An origin whose answers to checks have the status in `health`, and that answers others with `body`.
fn judged(health: &Arc<AtomicU16>, body: &'static str) -> Origin {
    let health = Arc::clone(health);
    Origin::with(move |seen| match is_check(seen) {
        true => Reply::raw(format!("HTTP/1.1 {} Judged\r\nContent-Length: 0\r\n\r\n", health.load(SeqCst))).close(),
        false => Reply::ok(body),
    })
}

/// `state` and `reason` of an endpoint of the first version.
fn standing(proxy: &Proxy, address: SocketAddr) -> (String, String) {
    let status = proxy.status();
    let endpoints = status["versions"].as_array().unwrap().iter().flat_map(|v| v["endpoints"].as_array().unwrap());
    let endpoint = endpoints.clone().find(|endpoint| endpoint["address"] == address.to_string()).unwrap();
    let text = |key: &str| endpoint[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn await_state(proxy: &Proxy, address: SocketAddr, wanted: &str) {
    eventually(&format!("{address} is {wanted}"), || standing(proxy, address).0 == wanted);
}

/// Users that ask one after the other, each on a new connection, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    users: Vec<std::thread::JoinHandle<(usize, Vec<u16>)>>,
}

impl Load {
    fn start(address: SocketAddr, users: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let user = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut good, mut bad) = (0, Vec::new());
                while !stop.load(SeqCst) {
                    match Client::to(address).ask(get("/")).status {
                        200 => good += 1,
                        status => bad.push(status),
                    }
                }
                (good, bad)
            })
        };
        Self { users: (0..users).map(user).collect(), stop }
    }

    /// How many answers were good, and all others.
    fn stop(self) -> (usize, Vec<u16>) {
        self.stop.store(true, SeqCst);
        let ended: Vec<_> = self.users.into_iter().map(|user| user.join().unwrap()).collect();
        (ended.iter().map(|(good, _)| good).sum(), ended.into_iter().flat_map(|(_, bad)| bad).collect())
    }
}

/// How many answers of `count` say `body`.
fn answers(proxy: &Proxy, body: &str, count: usize) -> usize {
    (0..count).filter(|_| proxy.client().ask(get("/")).text() == body).count()
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_nothing_until_it_passes() {
    let (good, bad) = (Arc::new(AtomicU16::new(204)), Arc::new(AtomicU16::new(204)));
    let (one, two) = (judged(&good, "one"), judged(&bad, "two"));
    let proxy = Setup::endpoints(&[&[one.address(), two.address()]]).version(QUICK).start();
    eventually("both are asked", || one.seen().len() + two.seen().len() > 4);
    for address in [one.address(), two.address()] {
        await_state(&proxy, address, "ready");
    }
    assert_eq!(standing(&proxy, two.address()).1, "");
    bad.store(503, SeqCst);
    await_state(&proxy, two.address(), "unhealthy");
    assert_eq!(standing(&proxy, two.address()).1, "status 503");
    let endpoint = format!("endpoint=\"{}\"", two.address());
    assert!(proxy.metric("pointsman_endpoint_healthy", &[&endpoint]) < 0.5);
    assert_eq!(answers(&proxy, "one", 20), 20);
    bad.store(200, SeqCst);
    await_state(&proxy, two.address(), "ready");
    assert!(answers(&proxy, "two", 40) > 0);
}

#[test]
fn checks_are_requests_of_our_own_and_no_traffic() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).version(QUICK).start();
    eventually("it is asked", || origin.seen().len() >= 5);
    let check = origin.seen().pop().unwrap();
    assert_eq!(check.line(), "GET /healthz?deep HTTP/1.1");
    assert_eq!(check.header("host"), Some(origin.address().to_string().as_str()));
    assert_eq!(check.header("user-agent"), Some(concat!("pointsman-health/", env!("CARGO_PKG_VERSION"))));
    assert!(origin.connections() >= 4, "a connection for each");
    assert!(proxy.metric("pointsman_requests_total", &[]) < 0.5);
    assert!(proxy.metric("pointsman_connections", &["side=\"upstream\""]) < 0.5);
    assert_eq!(proxy.status()["versions"][0]["requests"], 0);
}

#[test]
fn method_host_and_statuses_are_as_configured() {
    let origin = Origin::raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let health = "health = { path = \"/up\", method = \"HEAD\", host = \"shop.example.com\", status = [\"3xx\", 404], \
                  interval = \"800ms\", timeout = \"750ms\", fall = 4 }";
    let proxy = Setup::to(&[&origin]).version(health).start();
    eventually("it is asked", || origin.seen().len() >= 3);
    let check = origin.last();
    assert_eq!((check.line(), check.header("host")), ("HEAD /up HTTP/1.1", Some("shop.example.com")));
    await_state(&proxy, origin.address(), "ready");
}

#[test]
fn a_version_whose_endpoints_all_fail_passes_its_share_on_or_refuses() {
    let (sick, well) = (Arc::new(AtomicU16::new(500)), Arc::new(AtomicU16::new(200)));
    for (on_unhealthy, status) in [("pass", 200), ("refuse", 503)] {
        let (one, two) = (judged(&sick, "one"), judged(&well, "two"));
        let setup = Setup::to(&[&one, &two]).split(&[90, 10]).version(QUICK);
        let proxy = setup.service(&format!("on_unhealthy = \"{on_unhealthy}\"\nsticky = [\"header:x-user\"]")).start();
        // A new one is taken for good; its first check tells at once.
        await_state(&proxy, one.address(), "unhealthy");
        let statuses: Vec<_> = (0..20).map(|_| proxy.client().ask(get("/")).status).collect();
        assert!(statuses.contains(&status), "{on_unhealthy}: {statuses:?}");
        assert!(status == 503 || statuses.iter().all(|found| *found == 200), "{statuses:?}");
        assert!(one.seen().iter().all(is_check), "no request is spent on it");
    }
}

#[test]
fn an_endpoint_that_dies_costs_what_was_in_flight_and_comes_back() {
    let users = 8;
    let stay = Origin::forgetful(|_| Reply::default().pause(5).then("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    // It keeps its port while it is away.
    let (address, _reserved) = fault::reserved();
    // By std, whose sockets let the address be bound again while old connections linger.
    let listener = TcpListener::bind(address).unwrap();
    let dies = Origin::on(listener, |_| Reply::default().pause(5).then("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let proxy = Setup::endpoints(&[&[stay.address(), address]]).version(QUICK).start();
    let load = Load::start(proxy.address, users);
    eventually("it is used", || dies.seen().iter().filter(|seen| !is_check(seen)).count() > 20);
    dies.stop();
    await_state(&proxy, address, "unhealthy");
    let (good, bad) = load.stop();
    assert!(good > 20 && bad.len() <= users, "{good} good answers, others: {bad:?}");

    let mut listener = None;
    eventually("the address is free", || {
        listener = TcpListener::bind(address).ok();
        listener.is_some()
    });
    let back = Origin::on(listener.unwrap(), |_| Reply::ok("back"));
    let load = Load::start(proxy.address, users);
    eventually("it is used again", || back.seen().iter().any(|seen| !is_check(seen)));
    assert_eq!(load.stop().1, [0; 0], "coming back costs nobody anything");
}

#[test]
fn an_endpoint_that_hangs_costs_what_it_had_and_comes_back() {
    let users = 8;
    let hangs = Arc::new(AtomicBool::new(false));
    let stay = Origin::forgetful(|_| Reply::ok("stay"));
    let flag = Arc::clone(&hangs);
    let moody = Origin::with(move |_| match flag.load(SeqCst) {
        true => Reply::default().hang(),
        false => Reply::ok("moody"),
    });
    let setup = Setup::endpoints(&[&[stay.address(), moody.address()]]).version(QUICK);
    // Longer than it takes to find out: no client meets the endpoint twice.
    let proxy = setup.service("response_timeout = \"8s\"").start();
    let load = Load::start(proxy.address, users);
    eventually("it is used", || moody.seen().iter().filter(|seen| !is_check(seen)).count() > 20);
    hangs.store(true, SeqCst);
    await_state(&proxy, moody.address(), "unhealthy");
    assert_eq!(standing(&proxy, moody.address()).1, "no answer within 750ms");
    let (_, bad) = load.stop();
    assert!(bad.len() <= users && bad.iter().all(|status| *status == 504), "{bad:?}");
    hangs.store(false, SeqCst);
    await_state(&proxy, moody.address(), "ready");
    assert!(answers(&proxy, "moody", 40) > 0);
}

#[test]
fn an_address_that_is_cut_off_or_mute_is_found_out_and_comes_back() {
    for (name, fault, complaint) in [
        ("refuses", Fault::refusing(), "no connection: "),
        ("mute", Fault::mute(), "no answer within 750ms"),
        ("cut off", Fault::black_hole(), "no answer within 750ms"),
    ] {
        let (address, stay) = (fault.address(), Origin::saying("stay"));
        let proxy = Setup::endpoints(&[&[stay.address(), address]]).version(QUICK).start();
        await_state(&proxy, address, "unhealthy");
        let (_, reason) = standing(&proxy, address);
        assert!(reason.starts_with(complaint), "{name}: {reason}");
        assert_eq!(answers(&proxy, "stay", 20), 20, "{name}");
        let back = fault.recover("back");
        await_state(&proxy, address, "ready");
        eventually(name, || answers(&proxy, "back", 10) > 0);
        drop(back);
    }
}

#[test]
fn checks_follow_the_config_and_do_not_outlive_it() {
    let origin = Origin::raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let proxy = Setup::to(&[&origin]).version(QUICK).start();
    await_state(&proxy, origin.address(), "unhealthy");
    // Another proxy with the same interval is the clock.
    let clock = Origin::raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ticking = Setup::to(&[&clock]).version(QUICK).start();
    proxy.end();
    let (seen, ticks) = (origin.seen().len(), clock.seen().len());
    eventually("the clock goes on", || clock.seen().len() >= ticks + 5);
    // One may have been on its way.
    assert!(origin.seen().len() <= seen + 1, "no check comes any more");
}

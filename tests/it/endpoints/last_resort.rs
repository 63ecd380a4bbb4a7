//! Endpoints that refuse connections for a while: the last ones of a version are tried all the same, those that are
//! back are found at once, and a version that blinks does not move its users.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use socket2::Socket;
use tokio::time::Instant;

use crate::support::fault::{self, Fault};
use crate::support::pki::Ca;
use crate::support::tls::TlsFront;
use crate::support::{Client, Origin, PATIENCE, Proxy, Reply, Setup, eventually, eventually_within, get, with};

/// How soon an endpoint that is back is used.
const SOON: Duration = Duration::from_millis(250);

/// What a busy machine may add.
const GRACE: Duration = Duration::from_millis(150);

/// Outages at a time. What is soon is so in most of them: a machine may stand still at the end of one.
const OUTAGES: usize = 3;

/// Fails unless most of these times after an outage are short.
#[track_caller]
fn assert_soon(mut late: Vec<Duration>) {
    println!("used after these times: {late:?}");
    late.sort_unstable();
    assert!(late[late.len() / 2] < SOON + GRACE, "{late:?}");
}

const FAILURES: &str = "pointsman_upstream_failures_total";

/// An application that goes and comes back at one address.
struct App {
    address: SocketAddr,
    origin: Option<Origin>,
    body: &'static str,
    /// It keeps the port while the application is away.
    _reserved: Socket,
}

impl App {
    fn start(body: &'static str) -> Self {
        let (address, reserved) = fault::reserved();
        // By std, whose sockets let the address be bound again while old connections linger.
        let listener = TcpListener::bind(address).unwrap();
        Self { address, origin: Some(Origin::on(listener, move |_| Reply::ok(body))), body, _reserved: reserved }
    }

    fn stop(&mut self) {
        self.origin.take().unwrap().stop();
        eventually("nobody listens", || TcpStream::connect(self.address).is_err());
    }

    /// Starts it, and gives the moment before.
    fn again(&mut self) -> Instant {
        let mut listener = None;
        eventually("the address is free", || {
            listener = TcpListener::bind(self.address).ok();
            listener.is_some()
        });
        let (before, body) = (Instant::now(), self.body);
        self.origin = Some(Origin::on(listener.unwrap(), move |_| Reply::ok(body)));
        before
    }
}

/// One answer: when it was asked for, its status and its text.
type Said = (Instant, u16, String);

/// Users that ask one after the other, a new one each few milliseconds on a connection of his own, until they are told
/// to stop.
struct Users {
    stop: Arc<AtomicBool>,
    /// How many have been answered.
    served: Arc<AtomicUsize>,
    said: std::thread::JoinHandle<Vec<Said>>,
}

impl Users {
    fn of(proxy: &Proxy) -> Self {
        let (stop, served, address) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), proxy.address);
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&served));
        let ask = move || {
            let mut said = Vec::new();
            while !stopped.load(SeqCst) {
                let (asked, user) = (Instant::now(), format!("x-user: {}", said.len()));
                let answer = Client::to(address).ask(with(&[&user]));
                said.push((asked, answer.status, answer.text()));
                counted.fetch_add(1, SeqCst);
                std::thread::sleep(Duration::from_millis(3));
            }
            said
        };
        Self { stop, served, said: std::thread::spawn(ask) }
    }

    fn stop(self) -> Vec<Said> {
        self.stop.store(true, SeqCst);
        self.said.join().unwrap()
    }
}

/// How many of the answers to what was asked within a time are as wanted, in a hundred, and how many there are.
fn share(said: &[Said], within: std::ops::Range<Instant>, wanted: impl Fn(u16, &str) -> bool) -> (usize, usize) {
    let asked: Vec<_> = said.iter().filter(|(asked, ..)| within.contains(asked)).collect();
    let good = asked.iter().filter(|(_, status, text)| wanted(*status, text)).count();
    (100 * good / asked.len().max(1), asked.len())
}

fn state(proxy: &Proxy, version: usize, endpoint: usize) -> (String, String) {
    let endpoint = &proxy.status()["versions"][version]["endpoints"][endpoint];
    let text = |key: &str| endpoint[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

#[test]
fn an_only_endpoint_is_away_for_no_longer_than_its_application() {
    for (down, lines) in [
        (1_000, ""),
        (4_000, ""),
        (1_000, "slow_start = \"1h\"\noutlier = { consecutive_failures = 1, ejection = \"1m\" }"),
    ] {
        let start = |_| {
            let app = App::start("app");
            let proxy = Setup::endpoints(&[&[app.address]]).service(lines).start();
            let users = Users::of(&proxy);
            eventually("it answers", || app.origin.as_ref().unwrap().seen().len() > 10);
            (app, proxy, users)
        };
        let mut all: Vec<_> = (0..OUTAGES).map(start).collect();
        all.iter_mut().for_each(|(app, ..)| app.stop());
        std::thread::sleep(Duration::from_millis(down));
        let late = all.into_iter().map(|(mut app, proxy, users)| {
            let back = app.again();
            std::thread::sleep(2 * SOON);
            let said = users.stop();
            let failed_last = said.iter().rev().find(|(_, status, _)| *status != 200).unwrap().0;
            eventually("it is ready", || state(&proxy, 0, 0) == ("ready".into(), String::new()));
            failed_last.saturating_duration_since(back)
        });
        assert_soon(late.collect());
    }
}

#[test]
fn a_request_is_enough_to_find_that_it_is_back() {
    // Faster than a connection of our own would be: within one of its rounds, at the first request after a trial's
    // turn.
    let mut app = App::start("app");
    let proxy = Setup::endpoints(&[&[app.address]]).start();
    assert_eq!(proxy.client().ask(get("/")).status, 200);
    app.stop();
    assert_eq!(proxy.client().ask(get("/")).status, 502);
    app.again();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(proxy.client().ask(get("/")).status, 200);
}

#[test]
fn what_is_tried_as_the_last_resort_is_bounded() {
    let dead = Fault::refusing();
    let proxy = Setup::endpoints(&[&[dead.address()]]).start();
    let began = Instant::now();
    let mut statuses = Vec::new();
    let tried = |statuses: &[u16]| statuses.iter().filter(|status| **status == 502).count();
    while began.elapsed() < Duration::from_secs(1) || tried(&statuses) < 5 && began.elapsed() < PATIENCE {
        let answer = proxy.client().ask(get("/"));
        if answer.status == 503 {
            answer.assert_refused(503, "no_endpoint");
            assert!(answer.header("retry-after").is_some());
        }
        statuses.push(answer.status);
    }
    let (tried, passed) = (tried(&statuses), began.elapsed());
    let most = 25.0 * passed.as_secs_f64();
    assert!(
        tried >= 5 && tried as f64 <= most && statuses.len() > tried,
        "{tried} of {} in {passed:?}",
        statuses.len()
    );
    proxy.await_metric(FAILURES, &["reason=\"connect\""], f64::from(u32::try_from(tried).unwrap()));
    let (state, reason) = state(&proxy, 0, 0);
    assert_eq!(state, "paused");
    assert!(reason.starts_with("no connection for ") && reason.contains("onnection refused"), "{reason}");
    let explained = proxy.explain("/");
    assert_eq!(explained["refused"], "connect_failed", "{explained}");
}

#[test]
fn a_black_hole_holds_few_requests() {
    let hole = Fault::black_hole();
    let proxy = Setup::endpoints(&[&[hole.address()]]).service("connect_timeout = \"1s\"").start();
    assert_eq!(proxy.client().ask(get("/")).status, 502);
    let (mut most, asked, began) = (0.0_f64, 200, Instant::now());
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..asked)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(2));
                scope.spawn(|| proxy.client().ask(get("/")).status)
            })
            .collect();
        while asking.iter().any(|asking| !asking.is_finished()) {
            most = most.max(proxy.metric("pointsman_endpoint_in_flight", &[]));
        }
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    // Counted and not timed: on a busy machine every request takes long, and then more are tried in all. Unbounded it
    // would be nearly all of them at a time.
    let tried = statuses.iter().filter(|status| **status != 503).count();
    let tried_max = (25.0 * began.elapsed().as_secs_f64()).max(100.0);
    assert!((0.5..120.0).contains(&most) && tried as f64 <= tried_max, "{most} at a time, {statuses:?}");
}

#[test]
fn of_several_endpoints_a_dead_one_costs_nobody_anything() {
    for fault in [Fault::refusing, Fault::black_hole] {
        let (one, two) = (Origin::saying("one"), Origin::saying("two"));
        let start = |_| {
            let dead = fault();
            let setup = Setup::endpoints(&[&[one.address(), dead.address(), two.address()]]);
            let setup = setup.top("[proxy]\nworkers = 1").service("connect_timeout = \"2s\"");
            (dead, setup.start(), 0)
        };
        let mut all: Vec<_> = (0..OUTAGES).map(start).collect();
        let began = Instant::now();
        // Longer than the longest pause was.
        while began.elapsed() < Duration::from_secs(5) {
            for (_, proxy, slow) in &mut all {
                let asked = Instant::now();
                assert_eq!(Client::to(proxy.address).ask(get("/")).status, 200);
                *slow += usize::from(asked.elapsed() > Duration::from_millis(1_900));
            }
        }
        let late = all.into_iter().map(|(dead, proxy, slow)| {
            assert!(slow <= 2, "{slow} requests waited for it");
            assert!(proxy.metric(FAILURES, &["reason=\"connect\""]) < 1.5, "one found out");
            assert_eq!(state(&proxy, 0, 1).0, "paused");
            let (back, before) = (dead.recover("back"), Instant::now());
            eventually("it is used again", || {
                Client::to(proxy.address).ask(get("/"));
                !back.seen().is_empty()
            });
            before.elapsed()
        });
        assert_soon(late.collect());
    }
}

#[test]
fn an_endpoint_that_takes_no_new_connections_is_used_on_those_that_are_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut head = [0; 4096];
        while stream.read(&mut head).is_ok_and(|count| count > 0) {
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let proxy = Setup::endpoints(&[&[address]]).top("[proxy]\nworkers = 1").start();
    let (mut one, mut other) = (proxy.client(), proxy.client());
    assert_eq!(one.ask(get("/")).status, 200);
    for _ in 0..20 {
        one.write(get("/"));
        assert!([502, 503].contains(&other.ask(get("/")).status), "there is no connection for it");
        assert_eq!(one.answer().status, 200, "this one is used");
    }
    // No other request finds it out: an answer on an old connection does not end the pause.
    eventually("it is found out", || state(&proxy, 0, 0).0 == "paused");
}

#[test]
fn a_canary_does_not_take_over_the_users_of_a_version_that_blinks() {
    let (mut app, canary) = (App::start("v1"), Origin::saying("v2"));
    let setup = Setup::endpoints(&[&[app.address], &[canary.address()]]).split(&[99, 1]);
    let proxy = setup.service("sticky = [\"header:x-user\"]").start();
    let users = Users::of(&proxy);
    eventually("it answers", || app.origin.as_ref().unwrap().seen().len() > 10);
    app.stop();
    let (down, served) = (Instant::now(), users.served.load(SeqCst));
    std::thread::sleep(Duration::from_secs(2));
    let status = proxy.status();
    std::thread::sleep(Duration::from_secs(3));
    eventually("enough users have asked", || users.served.load(SeqCst) > served + 220);
    let back = app.again();
    std::thread::sleep(Duration::from_secs(5));
    let said = users.stop();
    let again = said.iter().find(|(asked, _, text)| *asked > back && text == "v1").expect("it is used again").0;
    let (end, soon) = (Instant::now(), again.max(back + SOON + GRACE));
    let (canary_down, asked) = share(&said, down..back, |_, text| text == "v2");
    let (canary_after, _) = share(&said, soon..end, |_, text| text == "v2");
    let failed_after = said.iter().filter(|(asked, status, _)| *asked > soon && *status != 200).count();
    println!(
        "{canary_down} % of {asked} went to the canary meanwhile, {canary_after} % after; {failed_after} failed after"
    );
    assert!(canary_down <= 5 && asked > 200, "{canary_down} % of {asked} requests went to the canary");
    assert!(canary_after <= 3 && failed_after == 0, "{canary_after} % at the canary, {failed_after} failed");
    let weights: Vec<_> = [0, 1].map(|index| status["versions"][index]["effective_weight"].as_f64().unwrap()).into();
    assert_eq!(weights, [0.0, 2.0], "{status}");
    let reason = status["versions"][0]["effective_reason"].as_str().unwrap();
    assert!(reason.contains("refuse connections") && reason.contains("99.0 %"), "{reason}");
}

#[test]
fn a_version_that_stays_away_is_given_up() {
    let (dead, canary) = (Fault::refusing(), Origin::saying("v2"));
    let proxy = Setup::endpoints(&[&[dead.address()], &[canary.address()]]).split(&[99, 1]).start();
    let mut client = proxy.client();
    let good = |client: &mut Client| (0..20).filter(|_| client.ask(get("/")).status == 200).count();
    // Before the first of them finds out.
    let began = Instant::now();
    assert!(good(&mut client) <= 5, "it may be back in a moment");
    eventually_within(Duration::from_secs(20), "the canary answers for it", || good(&mut client) == 20);
    assert!(began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
    let back = dead.recover("v1");
    eventually("its users are back", || client.ask(get("/")).text() == "v1");
    drop(back);
}

/// Passes connections on to another address, and counts them.
fn relay(listener: TcpListener, target: SocketAddr) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, SeqCst);
            let onward = TcpStream::connect(target).unwrap();
            let (mut from, mut to) = (stream.try_clone().unwrap(), onward.try_clone().unwrap());
            std::thread::spawn(move || {
                std::io::copy(&mut from, &mut to).ok();
                to.shutdown(Shutdown::Write).ok();
            });
            std::thread::spawn(move || std::io::copy(&mut &onward, &mut &stream));
        }
    });
    count
}

#[test]
fn an_endpoint_is_back_when_its_handshake_is() {
    let (origin, ca, other) = (Origin::saying("ok"), Ca::new("ca"), Ca::new("other"));
    let right = ca.issue("right", "right", &["127.0.0.1"]);
    let wrong = other.issue("wrong", "wrong", &["127.0.0.1"]);
    let well = TlsFront::new(origin.address(), &right, None);
    let ill = TlsFront::new(origin.address(), &wrong, None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let tries = relay(listener, ill.address);
    let lines = format!("tls = {{ ca = \"{}\" }}", ca.file().display());
    let proxy = Setup::endpoints(&[&[well.address, address]]).version(&lines).start();
    eventually("it is paused", || {
        assert_eq!(Client::to(proxy.address).ask(get("/")).status, 200);
        state(&proxy, 0, 1).0 == "paused"
    });
    let before = proxy.metric(FAILURES, &["reason=\"connect\""]);
    let (began, tried) = (Instant::now(), tries.load(SeqCst));
    let tried = || tries.load(SeqCst) - tried;
    while began.elapsed() < Duration::from_secs(2) || tried() < 2 && began.elapsed() < PATIENCE {
        assert_eq!(Client::to(proxy.address).ask(get("/")).status, 200);
        assert_eq!(state(&proxy, 0, 1).0, "paused", "a connection alone is not enough");
    }
    assert!((proxy.metric(FAILURES, &["reason=\"connect\""]) - before).abs() < 0.5, "no request tries it");
    let (tried, passed) = (tried(), began.elapsed());
    assert!(tried >= 2 && tried as f64 <= 4.0 * passed.as_secs_f64(), "tried {tried} times in {passed:?}");
}

#[test]
fn an_endpoint_with_tls_that_comes_back_is_used_at_once() {
    let (origin, ca) = (Origin::saying("ok"), Ca::new("ca"));
    let front = TlsFront::new(origin.address(), &ca.issue("right", "right", &["127.0.0.1"]), None);
    let lines = format!("tls = {{ ca = \"{}\" }}", ca.file().display());
    let start = |_| {
        // A socket that refuses first, and passes the bytes on to the TLS server when it recovers.
        let dead = Fault::refusing();
        let proxy = Setup::endpoints(&[&[dead.address()]]).version(&lines).start();
        assert_eq!(proxy.client().ask(get("/")).status, 502);
        (dead, proxy)
    };
    let all: Vec<_> = (0..OUTAGES).map(start).collect();
    std::thread::sleep(Duration::from_secs(1));
    let late = all.into_iter().map(|(dead, proxy)| {
        let began = Instant::now();
        relay(dead.listen(), front.address);
        eventually("it is ready without a request", || state(&proxy, 0, 0).0 == "ready");
        let late = began.elapsed();
        assert_eq!(proxy.client().ask(get("/")).status, 200);
        late
    });
    assert_soon(late.collect());
}

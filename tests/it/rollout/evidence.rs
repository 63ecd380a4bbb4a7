//! Which requests are evidence, and when: those that hang, those that their clients give up, streams, and the second
//! page of a user.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::load::{Load, User, connect};
use crate::support::release::{Operator, id, last_words};
use crate::support::{Client, Origin, Reply, Setup};

/// How long a client waits for a response before it opens another connection. It leaves the old one open, unless it
/// hangs up.
const PATIENCE: Duration = Duration::from_millis(400);

/// What a version does wrong at this moment.
#[derive(Debug, Default)]
struct Trouble {
    /// Of a thousand requests, this many get no response.
    hanging: AtomicU64,
    /// Of a thousand requests, this many get the head of a response, whose body goes on for longer than a test.
    streaming: AtomicU64,
    /// Of a thousand requests, this many end their connection with the response.
    closing: AtomicU64,
    /// How much longer the second page takes, in milliseconds.
    checkout_ms: AtomicU64,
    calls: AtomicU64,
}

fn version(name: &'static str) -> (Origin, Arc<Trouble>) {
    let trouble = Arc::<Trouble>::default();
    let its = Arc::clone(&trouble);
    let reply = move |seen: &crate::support::Seen| {
        let of_thousand = its.calls.fetch_add(1, SeqCst) * 389 % 1_000;
        if of_thousand < its.hanging.load(SeqCst) {
            return Reply::default().hang();
        }
        if of_thousand < its.streaming.load(SeqCst) {
            return Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").pause(90_000);
        }
        if of_thousand < its.closing.load(SeqCst) {
            let text = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            return Reply::raw(text).close();
        }
        let late = if seen.target() == "/checkout" { its.checkout_ms.load(SeqCst) } else { 0 };
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        Reply::default().pause(late).then(text)
    };
    (Origin::forgetful(reply), trouble)
}

/// A client that asks at a steady pace for some users who come back. Each user's every tenth page is the checkout.
struct Shopper {
    proxy: SocketAddr,
    period: Duration,
    next: Instant,
    users: Vec<(u32, u32)>,
    client: Option<Client>,
    hangs_up: bool,
    waiting: Vec<Client>,
}

/// This many requests a second, by as many users.
fn shoppers(proxy: SocketAddr, per_second: u32, hangs_up: bool) -> Vec<Box<dyn User>> {
    const SHOPPERS: u32 = 20;
    let shopper = |number: u32| -> Box<dyn User> {
        let users = (0..per_second / SHOPPERS).map(|user| (user * SHOPPERS + number, 0)).collect();
        let (period, next) = (Duration::from_secs(1) * SHOPPERS / per_second, Instant::now());
        Box::new(Shopper { proxy, period, next, users, client: None, hangs_up, waiting: Vec::new() })
    };
    (0..SHOPPERS).map(shopper).collect()
}

impl User for Shopper {
    fn ask(&mut self, number: u64) -> Result<(), String> {
        std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next = (self.next + self.period).max(Instant::now());
        let mut client = match self.client.take().filter(|client| !client.is_over()) {
            Some(client) => client,
            None => Client::over(connect(self.proxy)?),
        };
        let count = self.users.len();
        let (user, pages) = &mut self.users[usize::try_from(number).unwrap() % count];
        *pages += 1;
        let path = if pages.is_multiple_of(10) { "/checkout" } else { "/" };
        client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\n\r\n"));
        match client.read_within(PATIENCE) {
            Some(answer) if answer.status == 200 => self.client = Some(client),
            Some(answer) => return Err(format!("{path}: {}", answer.status)),
            None if self.hangs_up => {}
            None => self.waiting.push(client),
        }
        Ok(())
    }
}

/// A step for long, with a short warm-up, and as long a burst tolerated. Pages are not judged by themselves: that may
/// find the same, and sooner.
fn plan(percent: u32, burst: &str) -> serde_json::Value {
    let judge = json!({"warm_up": "1s", "tolerate_burst": burst, "routes": false});
    json!({"steps": [percent, 100], "bake": "10m", "judge": judge})
}

/// A rollout under shoppers.
#[derive(Clone, Copy)]
struct Release {
    service: &'static str,
    per_second: u32,
    percent: u32,
    burst: &'static str,
    hangs_up: bool,
}

impl Release {
    /// Lets `goes_wrong` happen to v2, and returns how long it took to be turned back.
    fn turned_back(self, goes_wrong: impl Fn(&Trouble)) -> Duration {
        let ((v1, _), (v2, new)) = (version("v1"), version("v2"));
        let proxy = Setup::to(&[&v1, &v2]).service(self.service).start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(shoppers(proxy.address, self.per_second, self.hangs_up));
        load.await_more(u64::from(self.per_second));
        let plan = plan(self.percent, self.burst);
        let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan})));
        let judged =
            |rollout: &serde_json::Value| rollout["evidence"][0]["candidate"]["requests"].as_u64() >= Some(200);
        operator.until(rollout, "judged", judged);
        let begun = Instant::now();
        goes_wrong(&new);
        let over = operator.until_ended(rollout, "rolled_back");
        let took = begun.elapsed();
        println!("{took:?}: {}", last_words(&over));
        assert_eq!(over["evidence"][0]["why"], "latency", "{over:#}");
        load.end();
        took
    }
}

/// Each request counts for itself: a busy machine has bursts of its own.
const PLAIN: Release = Release { service: "", per_second: 300, percent: 10, burst: "0s", hangs_up: false };

#[test]
fn requests_that_hang_count_before_they_end() {
    // The timeout is a minute, and the endpoint hangs up after eighteen seconds: none of them has ended.
    let took = PLAIN.turned_back(|trouble| trouble.hanging.store(200, SeqCst));
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn a_client_that_gives_up_does_not_speak_for_the_version_that_hangs() {
    let took = Release { hangs_up: true, ..PLAIN }.turned_back(|trouble| trouble.hanging.store(200, SeqCst));
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn a_second_page_that_turns_slow_is_found_where_users_stay_on_their_version() {
    let sticky = "sticky = [\"header:x-user-id\"]";
    let took = Release { service: sticky, per_second: 400, percent: 20, ..PLAIN }
        .turned_back(|trouble| trouble.checkout_ms.store(300, SeqCst));
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn requests_that_wait_as_long_on_both_versions_do_no_harm() {
    let ((v1, old), (v2, new)) = (version("v1"), version("v2"));
    let proxy = Setup::to(&[&v1, &v2]).start();
    let operator = Operator::at(proxy.admin);
    // Long polls: one request in twenty waits for longer than its client does.
    [&old, &new].iter().for_each(|trouble| trouble.hanging.store(50, SeqCst));
    let load = Load::start(shoppers(proxy.address, 300, false));
    load.await_more(300);
    let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan(50, "1s")})));
    let judged = |rollout: &serde_json::Value| rollout["evidence"][0]["candidate"]["requests"].as_u64() >= Some(1_000);
    let found = operator.until(rollout, "judged", judged);
    assert_eq!(found["phase"], "going", "{found:#}");
    load.end();
}

#[test]
fn a_response_that_has_begun_is_not_overdue() {
    let ((v1, old), (v2, new)) = (version("v1"), version("v2"));
    let proxy = Setup::to(&[&v1, &v2]).start();
    let operator = Operator::at(proxy.admin);
    // Streams that only v2 has: how long they are is known when they end. They use up connections, and requests that
    // have to open one are slower, so v1 uses up as many.
    new.streaming.store(100, SeqCst);
    old.closing.store(100, SeqCst);
    let load = Load::start(shoppers(proxy.address, 300, false));
    load.await_more(300);
    let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan(50, "0s")})));
    let judged = |rollout: &serde_json::Value| rollout["evidence"][0]["candidate"]["requests"].as_u64() >= Some(400);
    let found = operator.until(rollout, "judged", judged);
    assert_eq!(found["phase"], "going", "{found:#}");
    load.end();
}

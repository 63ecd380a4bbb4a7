//! A client that chooses the keys of a sticky service, and so the version that it asks: what it can do to a rollout.

use std::net::SocketAddr;
use std::time::Duration;

use pointsman::testing::table::Slots;
use pointsman::testing::table::hash::Salt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::judge_live::runs;
use crate::support::load::{Load, User, connect};
use crate::support::release::{Operator, id, last_words};
use crate::support::spec::weights;
use crate::support::{Client, Origin, Proxy, Reply, Setup};

/// Honest requests a second, each by another user with an address of his own.
const HONEST: u32 = 300;

/// A version with the broken pages that the other one has, too; of a thousand of its good ones this many fail.
fn version(name: &'static str, failing: u64) -> Origin {
    let calls = std::sync::atomic::AtomicU64::new(0);
    Origin::forgetful(move |seen| {
        let status = match seen.target() {
            "/broken" => "500 Internal Server Error",
            "/missing" => "404 Not Found",
            "/slow" => return Reply::default().pause(400).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
            _ if calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) * 389 % 1_000 < failing => "503 Unavailable",
            _ => "200 OK",
        };
        Reply::raw(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
    })
}

/// Clients that ask at a steady pace, in turn for these pages and as one of these users.
struct Asking {
    proxy: SocketAddr,
    period: Duration,
    next: Instant,
    pages: &'static [&'static str],
    /// Those whose requests they are; without any each request is a new user's.
    keys: Vec<String>,
    /// Where all requests come from; without it each user has an address of his own.
    address: Option<&'static str>,
    client: Option<Client>,
    asked: u32,
    number: u32,
}

impl Asking {
    fn of(proxy: SocketAddr, per_second: u32, clients: u32) -> impl Iterator<Item = Self> {
        (0..clients).map(move |number| Self {
            proxy,
            period: Duration::from_secs(1) * clients / per_second,
            next: Instant::now(),
            pages: &["/"],
            keys: Vec::new(),
            address: None,
            client: None,
            asked: 0,
            number,
        })
    }
}

impl User for Asking {
    fn ask(&mut self, _: u64) -> Result<(), String> {
        std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next = (self.next + self.period).max(Instant::now());
        let asked = usize::try_from(self.asked).unwrap();
        let [_, b, c, d] = (self.number << 20 | self.asked).to_be_bytes();
        let own = format!("10.{b}.{c}.{d}");
        self.asked += 1;
        let page = self.pages[asked % self.pages.len()];
        let key = if self.keys.is_empty() { &own } else { &self.keys[asked % self.keys.len()] };
        let address = self.address.unwrap_or(&own);
        let client = self.client.take().filter(|client| !client.is_over());
        let mut client = client.map_or_else(|| connect(self.proxy).map(Client::over), Ok)?;
        let head = format!("GET {page} HTTP/1.1\r\nHost: a\r\nx-user-id: {key}\r\nX-Forwarded-For: {address}\r\n\r\n");
        let answer = client.write(head).read(false).map_err(|(end, _)| format!("no answer, {end:?}"))?;
        self.client = answer.header("connection").is_none().then_some(client);
        Ok(())
    }
}

/// A rollout of v2 beside honest users, at a part of the traffic and then all of it.
struct Release {
    proxy: Proxy,
    operator: Operator,
    rollout: u64,
    percent: u32,
    honest: Load,
    _origins: [Origin; 2],
}

impl Release {
    fn start(percent: u32, failing: u64, judge: &Value) -> Self {
        Self::start_baking(percent, failing, judge, "6s")
    }

    fn start_baking(percent: u32, failing: u64, judge: &Value, bake: &str) -> Self {
        let origins = [version("v1", 0), version("v2", failing)];
        let proxy = Setup::to(&[&origins[0], &origins[1]])
            .listener("trusted_proxies = [\"127.0.0.0/8\"]")
            .service("sticky = [\"header:x-user-id\"]")
            .start();
        let operator = Operator::at(proxy.admin);
        let honest = Asking::of(proxy.address, HONEST, 10).map(|asking| Box::new(asking) as Box<dyn User>);
        let load = Load::start(honest.collect());
        load.await_more(100);
        let plan = json!({"steps": [percent, 100], "bake": bake, "judge": judge});
        let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan})));
        Self { proxy, operator, rollout, percent, honest: load, _origins: origins }
    }

    /// Keys of users of one version in the first step, as anybody computes them who knows the salt.
    fn keys(&self, of: &str, count: usize) -> Vec<String> {
        let salt = Salt::new(self.proxy.status()["salt"].as_str().unwrap());
        let slots = Slots::fresh(&weights("v1=100 v2=0")).relaid(&weights(&format!(
            "v1={} v2={}",
            100 - self.percent,
            self.percent
        )));
        let keys = (0..).map(|number: u32| format!("forged-{number}"));
        keys.filter(|key| slots.owner(salt.slot(key.as_bytes())).as_str() == of).take(count).collect()
    }

    /// One address sends garbage to the version that these keys belong to.
    fn attack(&self, keys: &[String], per_second: u32) -> Load {
        let attackers = Asking::of(self.proxy.address, per_second, 10).map(|asking| {
            let pages: &[&str] = &["/broken", "/missing", "/slow"];
            let of_it = keys.iter().skip(usize::try_from(asking.number).unwrap()).step_by(10).cloned();
            Box::new(Asking { pages, keys: of_it.collect(), address: Some("203.0.113.9"), ..asking }) as Box<dyn User>
        });
        Load::start(attackers.collect())
    }

    fn until_ended(&self, ending: &str) {
        let over = self.operator.until_ended(self.rollout, ending);
        let found = &over["evidence"][0]["candidate"];
        println!("{}, {} of {} requests to v2 failed", last_words(&over), found["failures"], found["requests"]);
    }
}

/// Latency is judged with a wide tolerance: the clients here share the cores with the proxy.
fn judge() -> Value {
    json!({"warm_up": "0s", "requests_min": 200, "slower": 1.5})
}

#[test]
fn seven_requests_by_keys_of_one_version_are_no_evidence() {
    let release =
        Release::start(10, 0, &json!({"warm_up": "0s", "requests_min": 100, "slower": false, "tolerate_burst": "0s"}));
    release.operator.until_judged(release.rollout, 20);
    let keys = release.keys("v2", 7);
    let mut client = release.proxy.client();
    for key in keys {
        let from = "X-Forwarded-For: 203.0.113.9";
        let head = format!("GET /broken HTTP/1.1\r\nHost: a\r\nx-user-id: {key}\r\n{from}\r\n\r\n");
        let answer = client.write(head).read(false).unwrap();
        assert_eq!((answer.status, answer.body.bytes.as_slice()), (500, &b"v2"[..]));
    }
    release.until_ended("completed");
}

#[test]
fn garbage_by_forged_keys_of_v2_turns_nothing_back() {
    let release = Release::start(50, 0, &judge());
    let keys = release.keys("v2", 10_000);
    let (before, attack) = (release.honest.asked(), release.attack(&keys, 50));
    release.until_ended("completed");
    let (honest, attacks) = (release.honest.asked() - before, attack.end_well());
    // A sixth of the others' requests is aimed at; a busy machine lets through less of both.
    assert!(12 * attacks > honest, "it was attacked: {attacks} requests beside {honest}");
}

/// The same for as long as it takes to use all of the keys, where there is time for it.
#[test]
fn judge_live_ten_thousand_forged_keys_turn_nothing_back() {
    if runs().is_none() {
        return;
    }
    let release = Release::start_baking(50, 0, &judge(), "110s");
    let attack = release.attack(&release.keys("v2", 10_000), 50);
    let over = release.operator.until_ended_within(Duration::from_secs(400), release.rollout, "completed");
    let asked = attack.end_well();
    println!("{asked} forged requests: {}", last_words(&over));
    assert!(asked >= 10_000, "each key was used: {asked}");
}

#[test]
fn garbage_by_forged_keys_of_v1_does_not_promote_a_version_that_is_bad() {
    let release = Release::start(50, 500, &judge());
    let keys = release.keys("v1", 300);
    let _attack = release.attack(&keys, 50);
    release.until_ended("rolled_back");
}

//! An experiment on the real binary that is killed again and again while users come, order and do things: what was
//! answered is on disk, to the last bit, and of what the proxy saw by itself no more than the last second is lost. An
//! upgrade in place loses nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ring::digest::{SHA256, digest};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::process::{Process, config};
use crate::support::{Origin, Reply, eventually};

const KILLS: u32 = 50;

/// Events of a batch.
const BATCH: usize = 20;

/// What may be lost, where the machine is not late and its disk takes no time.
const LOST_MAX: Duration = Duration::from_secs(1);

const EXPERIMENT: &str = r#"
[experiments.button]
service = "shop"
arms = { control = "v1", treatment = "v2" }
[[experiments.button.metrics]]
name = "purchase"
kind = "conversion"
when = { method = "POST", path = "/orders" }
[[experiments.button.metrics]]
name = "revenue"
kind = "mean"
event = "value"
"#;

/// What is on disk of a user.
#[derive(Clone, Copy, Debug, PartialEq)]
struct StoredUser {
    treatment: bool,
    purchase: f64,
    revenue: f64,
}

/// What the proxy has answered to a user, and when.
#[derive(Clone, Copy, Debug)]
struct Visit {
    user: u32,
    treatment: bool,
    seen: Instant,
    ordered: Option<Instant>,
}

/// An event: its number, its user and its value.
#[derive(Clone, Copy, Debug)]
struct SentEvent {
    number: u32,
    user: u32,
    value: f64,
}

/// The column of a user: the first half of its hash, in the order of SQLite's numbers.
fn column(user: u32) -> i64 {
    let hash = digest(&SHA256, format!("u{user}").as_bytes());
    let first = hash.as_ref().first_chunk::<8>().expect("32 bytes");
    (u64::from_be_bytes(*first) ^ (1 << 63)).cast_signed()
}

fn stored_users(database: &Path) -> BTreeMap<i64, StoredUser> {
    let db = Connection::open(database).unwrap();
    let whole: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    // It may have been killed between the making of the file and its first commit, before anything was answered.
    if !db.table_exists(None, "users").unwrap() {
        return BTreeMap::new();
    }
    let mut rows = db.prepare("SELECT user, arm, vals FROM users").unwrap();
    let users = rows.query_map([], |row| {
        let bytes: Vec<u8> = row.get(2)?;
        let number =
            |at: usize| bytes.get(at..at + 8).map_or(0.0, |bytes| f64::from_le_bytes(bytes.try_into().unwrap()));
        Ok((row.get(0)?, StoredUser { treatment: row.get(1)?, purchase: number(0), revenue: number(16) }))
    });
    users.unwrap().map(Result::unwrap).collect()
}

/// The version that answers a request of a user; none if the process is gone.
fn ask(proxy: SocketAddr, line: &str, user: u32) -> Option<String> {
    let mut stream = TcpStream::connect(proxy).ok()?;
    let headers = format!("Host: a\r\nX-User-Id: u{user}\r\nContent-Length: 0\r\nConnection: close");
    stream.write_all(format!("{line} HTTP/1.1\r\n{headers}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    ["v1", "v2"].contains(&body).then(|| body.to_owned())
}

/// One user after the other comes, and every second one orders, until the process is gone.
fn visit_until_gone(process: &Process, first: u32) -> Vec<Visit> {
    let mut visits = Vec::new();
    for user in first.. {
        let Some(version) = ask(process.listener, "GET /", user) else { return visits };
        let mut visit = Visit { user, treatment: version == "v2", seen: Instant::now(), ordered: None };
        if user % 2 == 0 && ask(process.listener, "POST /orders", user).is_some() {
            visit.ordered = Some(Instant::now());
        }
        visits.push(visit);
    }
    visits
}

fn send_events(process: &Process, batch: &[SentEvent]) -> Option<Value> {
    let event = |sent: &SentEvent| json!({ "id": format!("e{}", sent.number), "event": "value", "targetingKey": format!("u{}", sent.user), "value": sent.value });
    process.send(Method::POST, "/v1/events", batch.iter().map(event).collect()).ok()
}

/// Sends batches of events of users that are known; returns those that were answered, and the one that was not.
fn send_until_gone(process: &Process, known: &[u32], first: u32) -> (Vec<SentEvent>, Vec<SentEvent>) {
    let mut answered = Vec::new();
    for start in (first..).step_by(BATCH) {
        let event = |number: u32| {
            let user = known[number as usize % known.len()];
            SentEvent { number, user, value: f64::from(number % 1000) / 4.0 }
        };
        let batch: Vec<_> = (start..).take(BATCH).map(event).collect();
        let Some(answer) = send_events(process, &batch) else { return (answered, batch) };
        assert_eq!(answer["outcomes"]["counted"], BATCH, "{answer}");
        answered.extend(batch);
    }
    unreachable!("it is killed before")
}

/// What has to be on disk.
#[derive(Default)]
struct Expected {
    revenue: BTreeMap<i64, f64>,
    visits: BTreeMap<i64, Visit>,
    /// The batch that was not answered: it may be there as a whole.
    open: Vec<SentEvent>,
}

impl Expected {
    /// The batch that was not answered is sent again.
    fn send_again(&mut self, process: &Process) {
        if self.open.is_empty() {
            return;
        }
        let answer = send_events(process, &self.open).expect("it is answered");
        let count = |word: &str| answer["outcomes"][word].as_u64().unwrap_or(0);
        assert_eq!(count("counted") + count("sent_again"), BATCH as u64, "{answer}");
        add(&mut self.revenue, &self.open);
    }

    /// That all is stored that was seen for longer than this before the kill, and all that was acknowledged.
    fn check(&self, stored: &BTreeMap<i64, StoredUser>, killed: Instant, lost_max: Duration) {
        let mut with_open = self.revenue.clone();
        add(&mut with_open, &self.open);
        let is = |wanted: &BTreeMap<i64, f64>| {
            let of = |user| wanted.get(user).copied().unwrap_or_default().to_bits();
            stored.iter().all(|(user, found)| found.revenue.to_bits() == of(user))
                && wanted.keys().all(|user| stored.contains_key(user))
        };
        assert!(is(&self.revenue) || is(&with_open), "all that was answered, and a batch whole or not at all");
        for (user, visit) in &self.visits {
            let Visit { treatment, seen, ordered, .. } = *visit;
            let Some(found) = stored.get(user) else {
                assert!(seen + lost_max > killed, "{visit:?} is lost");
                continue;
            };
            assert_eq!(found.treatment, treatment, "{visit:?}");
            assert!(found.purchase == 0.0 || visit.user % 2 == 0, "{visit:?} has not ordered");
            let early = ordered.is_some_and(|ordered| ordered + lost_max < killed);
            assert!(!early || found.purchase == 1.0, "the order of {visit:?} is lost");
        }
    }

    /// Who is lost comes no more, and neither does a lost order.
    fn forget_lost(&mut self, stored: &BTreeMap<i64, StoredUser>) {
        self.visits.retain(|user, visit| {
            let found = stored.get(user);
            visit.ordered = visit.ordered.filter(|_| found.is_some_and(|found| found.purchase == 1.0));
            found.is_some()
        });
    }
}

/// Does what the ledger does at the same time on the same disk: it wakes each quarter of a second and has something
/// written. A commit writes twice, and what is seen during one is in the next.
struct DiskClock {
    stop: Arc<AtomicBool>,
    late: JoinHandle<Duration>,
}

impl DiskClock {
    fn start(folder: &Path) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (stopped, path) = (Arc::clone(&stop), folder.join("clock"));
        let late = std::thread::spawn(move || {
            let mut late = Duration::ZERO;
            while !stopped.load(SeqCst) {
                let (begun, wait) = (Instant::now(), Duration::from_millis(250));
                std::thread::sleep(wait);
                let mut file = File::create(&path).unwrap();
                file.write_all(b"tick").and_then(|()| file.sync_all()).unwrap();
                late = late.max(begun.elapsed() - wait);
            }
            late
        });
        Self { stop, late }
    }

    /// How late it was at the most.
    fn late(self) -> Duration {
        self.stop.store(true, SeqCst);
        self.late.join().unwrap()
    }
}

fn add(revenue: &mut BTreeMap<i64, f64>, events: &[SentEvent]) {
    for event in events {
        *revenue.entry(column(event.user)).or_default() += event.value;
    }
}

#[test]
fn what_was_answered_survives_kill_9_and_a_second_of_what_was_seen_is_lost_at_most() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (v1, v2) = (Origin::forgetful(|_| Reply::ok("v1")), Origin::forgetful(|_| Reply::ok("v2")));
    let folder = tempfile::tempdir().unwrap();
    let (path, database) = (folder.path().join("pointsman.toml"), folder.path().join("pointsman-experiments.db"));
    std::fs::write(&path, config(v1.address(), v2.address(), EXPERIMENT)).unwrap();
    let (mut expected, mut known, mut users, mut events) = (Expected::default(), Vec::<u32>::new(), 0, 0);
    for round in 0..KILLS {
        let process = Process::start(&path);
        if round == 0 {
            process.send(Method::POST, "/v1/experiments/button/start", json!({})).expect("it starts");
        }
        expected.send_again(&process);
        let life = Duration::from_millis(random.random_range(50..1_800));
        let mut killed = Instant::now();
        let (first_user, first_event) = (users, events);
        let disk = DiskClock::start(folder.path());
        std::thread::scope(|scope| {
            let (process, known) = (&process, &known);
            let visiting = scope.spawn(move || visit_until_gone(process, first_user));
            let send = move || send_until_gone(process, known, first_event);
            let sending = (!known.is_empty()).then(|| scope.spawn(send));
            std::thread::sleep(life);
            killed = Instant::now();
            Command::new("kill").args(["-KILL", &process.id().to_string()]).status().unwrap();
            let new = visiting.join().unwrap();
            // The one that got no answer may have been seen.
            users += u32::try_from(new.len()).unwrap() + 1;
            expected.visits.extend(new.iter().map(|visit| (column(visit.user), *visit)));
            if let Some(sending) = sending {
                let (answered, unanswered) = sending.join().unwrap();
                add(&mut expected.revenue, &answered);
                events += u32::try_from(answered.len() + BATCH).unwrap();
                expected.open = unanswered;
            }
        });
        process.kill();
        let stored = if database.exists() { stored_users(&database) } else { BTreeMap::new() };
        println!("round {round}: {users} users and {events} events so far, {} users on disk", stored.len());
        expected.check(&stored, killed, LOST_MAX + 4 * disk.late());
        expected.forget_lost(&stored);
        known = expected.visits.values().map(|visit| visit.user).collect();
    }
    assert!(known.len() > KILLS as usize && events as usize > BATCH * KILLS as usize, "the kills must fall into work");
    let of_arm = |treatment| expected.visits.values().filter(|visit| visit.treatment == treatment).count();
    assert!(of_arm(false) > 0 && of_arm(true) > 0, "both arms have users");
}

#[test]
fn an_upgrade_hands_over_what_was_counted() {
    let (v1, v2) = (Origin::forgetful(|_| Reply::ok("v1")), Origin::forgetful(|_| Reply::ok("v2")));
    let folder = tempfile::tempdir().unwrap();
    let (path, database) = (folder.path().join("pointsman.toml"), folder.path().join("pointsman-experiments.db"));
    std::fs::write(&path, config(v1.address(), v2.address(), EXPERIMENT)).unwrap();
    let mut process = Process::start(&path);
    process.send(Method::POST, "/v1/experiments/button/start", json!({})).expect("it starts");
    let (mut number, mut value) = (0, 0.0);
    for upgrades in 0..3 {
        if upgrades > 0 {
            process.upgrade().expect("the new process takes over");
        }
        let users: Vec<u32> = (number..number + 40).collect();
        assert!(users.iter().all(|user| ask(process.listener, "POST /orders", *user).is_some()));
        let events: Vec<_> = users.iter().map(|user| event_of(*user)).collect();
        let answer = send_events(&process, &events).expect("it is answered");
        assert_eq!(answer["outcomes"]["counted"], 40, "{upgrades} upgrades: {answer}");
        (number, value) = (number + 40, value + 10.0);
        let all: Vec<_> = (0..number).map(event_of).collect();
        let again = send_events(&process, &all).expect("it is answered");
        assert_eq!(again["outcomes"]["sent_again"], number, "{upgrades} upgrades: {again}");
    }
    let stored = stored_users(&database);
    assert_eq!(stored.len(), 120);
    assert_eq!(stored.values().map(|user| user.revenue).sum::<f64>(), value);
    eventually("each order", || stored_users(&database).values().all(|user| user.purchase == 1.0));
}

fn event_of(number: u32) -> SentEvent {
    SentEvent { number, user: number, value: 0.25 }
}

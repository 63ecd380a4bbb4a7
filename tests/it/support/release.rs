//! What a rollout needs around it: versions whose health can be turned, users who come at a steady pace, and an
//! operator.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http::Method;
use pointsman::cli::client::{AdminClient, Call, CallError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::load::User;
use super::{Client, Origin, Reply};

/// How long a rollout with short bakes may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests that are counted together to tell whether a version has more than its capacity.
const COUNTED: u64 = 400;

/// How a version is at this moment.
#[derive(Debug, Default)]
pub(crate) struct Mood {
    /// Of a thousand requests, this many fail.
    pub(crate) failing: AtomicU64,
    /// Of a hundred requests to this version and the one beside it, this many are served here, and more fail; 0: any
    /// number is. It is no matter of the clock: a busy machine lets fewer of both come.
    pub(crate) capacity: AtomicU64,
    /// The version beside it.
    pub(crate) beside: OnceLock<Arc<Self>>,
    /// Where the count for it began: the requests to both, and those to this one.
    counted_from: Mutex<[u64; 2]>,
    /// How long an answer takes.
    pub(crate) delay_ms: AtomicU64,
    /// Requests so far.
    pub(crate) calls: AtomicU64,
    /// Those that failed, and when the first one did.
    pub(crate) failed: AtomicU64,
    first_failed: Mutex<Option<Instant>>,
    last_asked: Mutex<Option<Instant>>,
}

impl Mood {
    /// When the first request failed.
    pub(crate) fn first_failed(&self) -> Option<Instant> {
        *self.first_failed.lock().unwrap()
    }

    /// When the last request came.
    pub(crate) fn last_asked(&self) -> Option<Instant> {
        *self.last_asked.lock().unwrap()
    }

    /// Whether the request that has just been counted is one too many.
    fn is_beyond_capacity(&self) -> bool {
        let capacity = self.capacity.load(SeqCst);
        let [both_from, own_from] = &mut *self.counted_from.lock().unwrap();
        let beside = self.beside.get().map_or(0, |beside| beside.calls.load(SeqCst));
        let own = self.calls.load(SeqCst);
        // Enough of them that a share of the whole is no burst of it.
        if own + beside - *both_from >= COUNTED {
            (*both_from, *own_from) = (own + beside, own);
        }
        capacity > 0 && (own - *own_from) * 100 > capacity * COUNTED
    }

    /// Its next answer.
    pub(crate) fn reply(&self, body: &str) -> Reply {
        let call = self.calls.fetch_add(1, SeqCst);
        *self.last_asked.lock().unwrap() = Some(Instant::now());
        let delay = Reply::default().pause(self.delay_ms.load(SeqCst));
        // Spread evenly, and the same in every run.
        if self.is_beyond_capacity() || call * 389 % 1_000 < self.failing.load(SeqCst) {
            self.failed.fetch_add(1, SeqCst);
            self.first_failed.lock().unwrap().get_or_insert_with(Instant::now);
            return delay.then("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nnope");
        }
        delay.then(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }
}

/// A version that is well.
pub(crate) fn version(name: &'static str) -> (Origin, Arc<Mood>) {
    let mood = Arc::<Mood>::default();
    let its = Arc::clone(&mood);
    (Origin::forgetful(move |_| its.reply(name)), mood)
}

/// A client that asks at a steady pace, each time as another user; every answer has to be a 200 if `strict`.
pub(crate) struct Visitor {
    proxy: SocketAddr,
    paths: Vec<String>,
    period: Duration,
    next: Instant,
    strict: bool,
    client: Option<Client>,
    random: StdRng,
}

/// This many requests a second together, by visitors of these paths.
pub(crate) fn visitors(proxy: SocketAddr, paths: &[&str], per_second: u32, strict: bool) -> Vec<Box<dyn User>> {
    const VISITORS: u32 = 10;
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let visitor = |number: u32| -> Box<dyn User> {
        let (next, random) = (Instant::now(), StdRng::seed_from_u64(number.into()));
        let period = Duration::from_secs(1) * VISITORS / per_second;
        Box::new(Visitor { proxy, paths: paths.clone(), period, next, strict, client: None, random })
    };
    (0..VISITORS).map(visitor).collect()
}

impl User for Visitor {
    fn ask(&mut self, number: u64) -> Result<(), String> {
        std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
        // Late ones are not made up for.
        self.next = (self.next + self.period).max(Instant::now());
        let mut client = match self.client.take().filter(|client| !client.is_over()) {
            Some(client) => client,
            None => Client::over(super::load::connect(self.proxy)?),
        };
        let path = &self.paths[usize::try_from(number).unwrap() % self.paths.len()];
        let user: u32 = self.random.random();
        let asked = client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\n\r\n")).read(false);
        match asked {
            Ok(answer) if !self.strict || answer.status == 200 && answer.is_whole() => {
                self.client = answer.header("connection").is_none().then_some(client);
                Ok(())
            }
            Ok(answer) => Err(format!("{path}: {} {:?}", answer.status, answer.text())),
            Err((end, _)) => Err(format!("{path}: no answer, {end:?}")),
        }
    }
}

/// An operator of rollouts.
pub(crate) struct Operator(pub(crate) AdminClient);

impl Operator {
    /// At this admin API.
    pub(crate) fn at(admin: SocketAddr) -> Self {
        Self(AdminClient::new(&admin.to_string(), None).unwrap())
    }

    /// Starts a rollout, which has to be taken.
    #[track_caller]
    pub(crate) fn start(&self, body: Value) -> Value {
        self.try_start(body).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a rollout.
    pub(crate) fn try_start(&self, body: Value) -> Result<Value, CallError> {
        self.0.call(Call { method: Method::POST, path: "/v1/rollouts", body: Some(body), if_match: None })
    }

    /// What would come of a start.
    #[track_caller]
    pub(crate) fn dry_run(&self, body: Value) -> Value {
        let path = "/v1/rollouts?dry_run=true";
        let call = Call { method: Method::POST, path, body: Some(body), if_match: None };
        self.0.call_for(PATIENCE, call).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Says something to a rollout.
    pub(crate) fn order(&self, id: u64, order: &str) -> Result<Value, CallError> {
        let path = format!("/v1/rollouts/{id}/{order}");
        self.0.call(Call { method: Method::POST, path: &path, body: Some(json!({})), if_match: None })
    }

    /// A rollout.
    pub(crate) fn rollout(&self, id: u64) -> Value {
        self.0.call_for(PATIENCE, Call::get(&format!("/v1/rollouts/{id}"))).unwrap()
    }

    /// Waits until a rollout is as it should be.
    #[track_caller]
    pub(crate) fn until(&self, id: u64, what: &str, is: impl FnMut(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, id, what, is)
    }

    /// Waits until this number of requests to the new version has been judged.
    #[track_caller]
    pub(crate) fn until_judged(&self, id: u64, requests: u64) {
        self.until(id, "judged", |view| view["evidence"][0]["candidate"]["requests"].as_u64() >= Some(requests));
    }

    /// Waits until this number of pages is judged by itself.
    #[track_caller]
    pub(crate) fn until_pages_are_judged(&self, id: u64, pages: u64) -> Value {
        self.until(id, "judging by page", |view| view["evidence"][0]["routes_judged"].as_u64() >= Some(pages))
    }

    #[track_caller]
    fn until_within(&self, patience: Duration, id: u64, what: &str, mut is: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            let rollout = self.rollout(id);
            if is(&rollout) {
                return rollout;
            }
            assert!(Instant::now() < deadline, "rollout {id} is not {what}: {rollout:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end, which has to be this one.
    #[track_caller]
    pub(crate) fn until_ended(&self, id: u64, ending: &str) -> Value {
        self.until_ended_within(PATIENCE, id, ending)
    }

    /// The same of one that takes long.
    #[track_caller]
    pub(crate) fn until_ended_within(&self, patience: Duration, id: u64, ending: &str) -> Value {
        let over = self.until_within(patience, id, "over", |rollout| rollout["phase"] == "finished");
        assert_eq!(over["ending"], ending, "{over:#}");
        over
    }
}

/// The number of the rollout that a start answered.
pub(crate) fn id(started: &Value) -> u64 {
    started["rollout"]["id"].as_u64().unwrap()
}

/// The last sentence of a rollout.
pub(crate) fn last_words(rollout: &Value) -> &str {
    rollout["events"].as_array().and_then(|events| events.last()?["text"].as_str()).unwrap_or_default()
}

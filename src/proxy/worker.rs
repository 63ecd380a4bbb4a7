//! One worker: everything that a thread of the data plane owns. Nothing in it is shared but the table's pointer, the
//! counters that others read, and the log's channel.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use http::HeaderValue;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::accept::global_limit::GlobalConnectionLimit;
use super::access_log::LogSender;
use super::connection::date::Date;
use super::limits::concurrency::{ConcurrencyLimit, WaitQueue, WaitQueues};
use super::limits::worker_holds::WorkerHolds;
use super::report::seen_users::SeenUsers;
use super::request::header_edits::EditSettings;
use super::streams::long_lived::{LongLivedStreams, StreamGuard, StreamKind, StreamOrigin};
use crate::http1::HeadLimits;
use crate::jwt::{GoodToken, JwtVerifier, TokenCache};
use crate::ledger::seen::SeenSender;
use crate::stats::{Registry, ServiceStats, WorkerStats};
use crate::table::{Service, Table, Version};
use crate::tls::Clients;
use crate::upstream::budget::Budget;
use crate::upstream::{PoolSettings, Pools};

/// Of the live requests, at most one in this many may be a retry (docs/http-rules.md#rule-25: at most 20 %).
const LIVE_REQUESTS_A_RETRY: u32 = 5;

/// This many retries are always allowed, or a quiet proxy could never retry.
const RETRIES_MIN: u32 = 3;

/// What a worker is made of; the same for all of them.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSettings {
    /// Bounds of the upstream pools.
    pub pools: PoolSettings,
    /// What is written into every message.
    pub edit: EditSettings,
    /// The largest head of a request, in bytes.
    pub head_bytes_max: usize,
    /// The most header lines of a request.
    pub headers_max: usize,
    /// What the head of an endpoint's response may have.
    pub response_heads: HeadLimits,
    /// How TLS is spoken with endpoints.
    pub tls: Arc<Clients>,
    /// How many client connections all workers may have.
    pub connection_limit: Arc<GlobalConnectionLimit>,
    /// How many connections to endpoints they may have.
    pub budget: Arc<Budget>,
    /// How many requests are worked on at a time.
    pub concurrency: ConcurrencyLimit,
    /// The queues of the services that have one.
    pub queues: Arc<WaitQueues>,
    /// What verifies tokens, if they are verified.
    pub jwt: Option<Arc<JwtVerifier>>,
    /// Where finished requests are logged, if they are.
    pub log: Option<LogSender>,
    /// Where what is seen of users in experiments is counted.
    pub seen: SeenSender,
    /// How long an idle connection keeps its buffers.
    pub park_after: Duration,
    /// Zero of the process's clock of milliseconds.
    pub clock_start: Instant,
}

/// Of the live requests, at most one in this many may be a replay on the stable version: it carried all of them before
/// the release, but a replay comes on top of an attempt, and two failing versions must not double the load.
const LIVE_REQUESTS_A_REPLAY: u32 = 2;

/// This many replays are always allowed.
const REPLAYS_MIN: u32 = 10;

/// A table that a request holds on to: counted on this thread only, so that a request costs no shared cache line.
pub(crate) type Snapshot = Rc<Arc<Table>>;

/// One thread's state.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Its number, which is its place in the counters.
    pub index: usize,
    pub settings: WorkerSettings,
    /// Its own counters.
    pub stats: Arc<WorkerStats>,
    /// Its idle upstream connections.
    pub pools: Pools,
    /// What it has seen of users in experiments.
    pub seen: SeenUsers,
    /// What outlives the table that it was routed by.
    pub long_lived: Rc<LongLivedStreams>,
    /// The services whose requests wait.
    pub holds: WorkerHolds,
    /// Told when the worker begins to leave.
    close: Notify,
    /// Told when the worker begins to drain.
    pub drain: Notify,
    /// What time it is, for people.
    pub(crate) date: Date,
    closing: Cell<bool>,
    draining: Cell<bool>,
    view: RefCell<View>,
    /// The revision that was last told to an upstream.
    revision: RefCell<(u64, HeaderValue)>,
    random: RefCell<StdRng>,
    /// The tokens that were good a moment ago. On the heap: most workers have none.
    tokens: RefCell<Box<TokenCache>>,
    queues: RefCell<HashMap<u32, Arc<WaitQueue>>>,
    live: Cell<u32>,
    retrying: Cell<u32>,
    replaying: Cell<u32>,
}

#[derive(Debug)]
struct View {
    cache: Cache<Arc<ArcSwap<Table>>, Arc<Table>>,
    snapshot: Snapshot,
}

impl Worker {
    /// Worker number `index` of `registry`, which routes by `table`.
    #[must_use]
    pub(crate) fn new(index: usize, settings: WorkerSettings, table: Arc<ArcSwap<Table>>, registry: &Registry) -> Self {
        let mut cache = Cache::new(table);
        let snapshot = Rc::new(Arc::clone(cache.load()));
        Self {
            index,
            stats: registry.worker(index),
            pools: Pools::new(settings.pools),
            seen: SeenUsers::new(settings.seen.clone()),
            settings,
            long_lived: Rc::default(),
            holds: WorkerHolds::default(),
            close: Notify::new(),
            drain: Notify::new(),
            date: Date::default(),
            closing: Cell::new(false),
            draining: Cell::new(false),
            view: RefCell::new(View { cache, snapshot }),
            revision: RefCell::new((0, HeaderValue::from(0))),
            random: RefCell::new(StdRng::from_rng(&mut rand::rng())),
            tokens: RefCell::default(),
            queues: RefCell::default(),
            live: Cell::new(0),
            retrying: Cell::new(0),
            replaying: Cell::new(0),
        }
    }

    /// The table in force. One call a request, at its start; the request keeps what it got.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut view = self.view.borrow_mut();
        let View { cache, snapshot } = &mut *view;
        let current = cache.load();
        if !Arc::ptr_eq(current, snapshot) {
            *snapshot = Rc::new(Arc::clone(current));
        }
        Rc::clone(snapshot)
    }

    /// A revision as upstreams are told it: written when it changes, not for each request.
    #[must_use]
    pub(crate) fn revision_value(&self, revision: u64) -> HeaderValue {
        let mut told = self.revision.borrow_mut();
        if told.0 != revision {
            *told = (revision, HeaderValue::from(revision));
        }
        told.1.clone()
    }

    /// 128 random bits.
    #[must_use]
    pub(crate) fn random(&self) -> u128 {
        self.random.borrow_mut().random()
    }

    /// Whether one request in `1 / ratio` is drawn.
    #[must_use]
    pub(crate) fn draws(&self, ratio: f64) -> bool {
        ratio >= 1.0 || self.random.borrow_mut().random::<f64>() < ratio
    }

    /// A token that is good, with what became of it counted; `None` also where nothing verifies it.
    #[must_use]
    pub(crate) fn verified(&self, token: &[u8]) -> Option<Rc<GoodToken>> {
        let verifier = self.settings.jwt.as_ref()?;
        let (outcome, good) = verifier.judge(token, &mut self.tokens.borrow_mut(), unix_seconds());
        self.stats.judged_token(outcome);
        good
    }

    /// Milliseconds on the process's clock.
    #[must_use]
    pub(crate) fn clock_ms(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.settings.clock_start);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Begins to leave: each connection ends with its next response, which says so.
    pub(crate) fn begin_close(&self) {
        self.closing.set(true);
        self.close.notify_waiters();
    }

    /// Waits until the worker begins to leave.
    pub(crate) async fn closes(&self) {
        if !self.closing() {
            self.close.notified().await;
        }
    }

    /// Whether responses say that their connection ends.
    #[must_use]
    pub(crate) fn closing(&self) -> bool {
        self.closing.get()
    }

    /// Begins to drain: connections end with the request they have, and at once when they have none.
    pub(crate) fn begin_drain(&self) {
        self.begin_close();
        self.draining.set(true);
        self.drain.notify_waiters();
        self.pools.clear();
        self.long_lived.drain(&self.snapshot(), Instant::now());
    }

    /// Whether the worker drains.
    #[must_use]
    pub(crate) fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Waits until the worker drains.
    pub(crate) async fn drained(&self) {
        if !self.draining() {
            self.drain.notified().await;
        }
    }

    /// Counts a stream in that `version` of `service` serves and that may outlive the table it was routed by.
    #[must_use]
    pub(crate) fn open_stream(&self, service: &Service, version: &Version, kind: StreamKind) -> StreamGuard {
        let origin = StreamOrigin { service, version, worker: self.index };
        self.long_lived.begin(kind, origin, &self.snapshot())
    }

    /// Requests in progress.
    #[must_use]
    pub(crate) fn live(&self) -> u32 {
        self.live.get()
    }

    /// The queue of a service, remembered so that only the first request asks the other workers for it.
    #[must_use]
    pub(crate) fn queue(&self, service: &ServiceStats) -> Arc<WaitQueue> {
        let mut queues = self.queues.borrow_mut();
        Arc::clone(queues.entry(service.id).or_insert_with(|| self.settings.queues.of(service)))
    }

    /// Counts a request in; dropping the guard counts it out.
    #[must_use]
    pub(crate) fn enter(self: &Rc<Self>) -> LiveRequest {
        self.live.set(self.live.get() + 1);
        LiveRequest { worker: Rc::clone(self), retry: false, replay: false }
    }

    /// Whether the budget has room for one retry more. If so, `live` takes it until its request ends.
    pub(crate) fn allow_retry(&self, live: &mut LiveRequest) -> bool {
        let allowed = (self.live.get() / LIVE_REQUESTS_A_RETRY).max(RETRIES_MIN);
        let room = live.retry || self.retrying.get() < allowed;
        if room && !live.retry {
            live.retry = true;
            self.retrying.set(self.retrying.get() + 1);
        }
        room
    }

    /// Whether there is room for one replay more. If so, `live` takes it until its request ends.
    pub(crate) fn allow_replay(&self, live: &mut LiveRequest) -> bool {
        let allowed = (self.live.get() / LIVE_REQUESTS_A_REPLAY).max(REPLAYS_MIN);
        let room = !live.replay && self.replaying.get() < allowed;
        if room {
            live.replay = true;
            self.replaying.set(self.replaying.get() + 1);
        }
        room
    }
}

/// What the issuers of tokens count in. Where the clock stands before 1970 no token is good that has begun.
fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct LiveRequest {
    worker: Rc<Worker>,
    retry: bool,
    replay: bool,
}

impl Drop for LiveRequest {
    fn drop(&mut self) {
        self.worker.live.set(self.worker.live.get() - 1);
        if self.retry {
            self.worker.retrying.set(self.worker.retrying.get() - 1);
        }
        if self.replay {
            self.worker.replaying.set(self.worker.replaying.get() - 1);
        }
    }
}

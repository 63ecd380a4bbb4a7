//! Idle connections of one worker, by endpoint.
//!
//! Last in, first out: a few connections stay warm and the others age out. A connection that is too old, or idle for
//! longer than its origin is likely to keep it, is closed rather than used: an origin that closes at the same moment as
//! we send would cost a retry. Shared connections (HTTP/2) stay here while they are used; the one that was opened first
//! takes a stream if it has room, so that the others can age out too.
//!
//! A connection is of the [term](crate::shared::endpoint_health::EndpointHealth::term) of its endpoint that it was
//! opened in, and is not used in another one: what was open when an endpoint was taken out for failing does not come
//! back with it.
//!
//! A pool is *cold* when a request would have to wait for a new connection, because more requests come than before. One
//! whose connections the endpoint has closed is not: that is what the endpoint does to all of its requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::http1::Http1;
use super::http2::shared_connection::SharedConnection;
use super::sender::RequestSender;
use crate::stats::EndpointStats;
use crate::table::spec::Protocol;

/// How long a connection is idle before it gives back what it has read large responses into: the next one may be as
/// large.
const REST_AFTER: Duration = Duration::from_secs(1);

/// Bounds of the pools.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolSettings {
    /// Longest idle time; shorter than the origins' own.
    pub idle_timeout: Duration,
    /// Longest life, so that load spreads again after endpoints were added.
    pub age_max: Duration,
    /// Most idle connections for an endpoint and worker.
    pub idle_max: usize,
}

/// When a connection was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Opened {
    at: Instant,
    term: u32,
}

impl Opened {
    /// It is opened now.
    #[must_use]
    pub(crate) fn now(endpoint: &EndpointStats, now: Instant) -> Self {
        Self { at: now, term: endpoint.health.term() }
    }

    /// Whether a connection to `endpoint` may have another request.
    fn is_good(self, endpoint: &EndpointStats, settings: &PoolSettings, now: Instant) -> bool {
        now.duration_since(self.at) < settings.age_max && self.term == endpoint.health.term()
    }
}

/// The pools of one worker.
#[derive(Debug)]
pub(crate) struct Pools {
    settings: PoolSettings,
    by_endpoint: RefCell<HashMap<u32, Pool, BuildHasherDefault<Numbers>>>,
}

/// The connections to one endpoint.
#[derive(Debug)]
struct Pool {
    endpoint: Arc<EndpointStats>,
    idle: Vec<IdleConnection>,
    shared: Vec<(SharedConnection, Opened)>,
    /// Connections that the endpoint has closed lately, and that no other one has taken the place of.
    closed_by_endpoint: usize,
}

/// A connection that waits for its next request.
#[derive(Debug)]
struct IdleConnection {
    connection: Box<Http1>,
    opened: Opened,
    since: Instant,
}

impl Pools {
    /// Empty pools.
    #[must_use]
    pub(crate) fn new(settings: PoolSettings) -> Self {
        Self { settings, by_endpoint: RefCell::default() }
    }

    /// What sends a request to `endpoint` on a connection that is there already, with the time it was opened.
    pub(crate) fn take(
        &self,
        endpoint: &EndpointStats,
        protocol: Protocol,
        now: Instant,
    ) -> Option<(RequestSender, Opened)> {
        let mut pools = self.by_endpoint.borrow_mut();
        let pool = pools.get_mut(&endpoint.id)?;
        match protocol {
            Protocol::Http1 => pool.take_idle(&self.settings, now),
            Protocol::Http2 => pool.take_stream(&self.settings, now),
        }
    }

    /// Lets others use a connection.
    pub(crate) fn share(&self, endpoint: &Arc<EndpointStats>, connection: SharedConnection, opened: Opened) {
        self.with(endpoint, |pool| pool.shared.push((connection, opened)));
    }

    /// Puts a connection back whose last exchange ended well, in both directions.
    #[inline(always)]
    pub(crate) fn put(&self, endpoint: &Arc<EndpointStats>, connection: Box<Http1>, opened: Opened, now: Instant) {
        if !opened.is_good(endpoint, &self.settings, now) {
            return connection.close();
        }
        self.with(endpoint, |pool| {
            if pool.idle.len() < self.settings.idle_max {
                pool.idle.push(IdleConnection { connection, opened, since: now });
            } else {
                connection.close();
            }
        });
    }

    /// Whether a request to `endpoint` would have to wait for a connection that was not needed before.
    pub(crate) fn is_cold(&self, endpoint: &EndpointStats, protocol: Protocol, now: Instant) -> bool {
        let pools = self.by_endpoint.borrow();
        pools.get(&endpoint.id).is_none_or(|pool| pool.is_cold(&self.settings, protocol, now))
    }

    /// Notes that the endpoint has closed a connection after a response.
    pub(crate) fn closed(&self, endpoint: &Arc<EndpointStats>) {
        self.with(endpoint, |pool| pool.closed_by_endpoint += 1);
    }

    /// Notes that a connection to the endpoint is opened.
    pub(crate) fn opens(&self, endpoint: &EndpointStats) {
        if let Some(pool) = self.by_endpoint.borrow_mut().get_mut(&endpoint.id) {
            pool.closed_by_endpoint = pool.closed_by_endpoint.saturating_sub(1);
        }
    }

    #[inline(always)]
    fn with(&self, endpoint: &Arc<EndpointStats>, change: impl FnOnce(&mut Pool)) {
        let mut pools = self.by_endpoint.borrow_mut();
        change(pools.entry(endpoint.id).or_insert_with(|| Pool {
            endpoint: Arc::clone(endpoint),
            idle: Vec::new(),
            shared: Vec::new(),
            closed_by_endpoint: 0,
        }));
    }

    /// Closes what is too old, was closed by the origin, or leads to an endpoint that has been taken out. To be called
    /// now and then.
    pub(crate) fn sweep(&self, now: Instant) {
        self.by_endpoint.borrow_mut().retain(|_, pool| {
            pool.sweep(&self.settings, now);
            !pool.idle.is_empty() || !pool.shared.is_empty() || pool.closed_by_endpoint > 0
        });
    }

    /// Closes all connections that are not used.
    pub(crate) fn clear(&self) {
        for (_, mut pool) in self.by_endpoint.borrow_mut().drain() {
            pool.idle.drain(..).for_each(|idle| idle.connection.close());
        }
    }

    /// Closes the idle connections of HTTP/1.1, for the sake of their descriptors. Returns how many there were.
    pub(crate) fn close_idle(&self) -> usize {
        let mut pools = self.by_endpoint.borrow_mut();
        let idle = pools.values_mut().flat_map(|pool| pool.idle.drain(..));
        idle.map(|idle| idle.connection.close()).count()
    }

    /// Number of idle connections.
    #[must_use]
    pub(crate) fn idle(&self) -> usize {
        self.by_endpoint.borrow().values().map(|pool| pool.idle.len()).sum()
    }
}

impl Pool {
    /// The connection that was used last and still works.
    fn take_idle(&mut self, settings: &PoolSettings, now: Instant) -> Option<(RequestSender, Opened)> {
        while let Some(mut idle) = self.idle.pop() {
            if idle.is_good(&self.endpoint, settings, now) {
                if idle.connection.is_quiet() {
                    return Some((RequestSender::Http1(idle.connection), idle.opened));
                }
                self.closed_by_endpoint += 1;
            }
            idle.connection.close();
        }
        None
    }

    fn is_cold(&self, settings: &PoolSettings, protocol: Protocol, now: Instant) -> bool {
        let has_room = match protocol {
            // One that the endpoint has closed is as good: it is not known before it is looked at.
            Protocol::Http1 => self.idle.iter().any(|idle| idle.is_good(&self.endpoint, settings, now)),
            Protocol::Http2 => {
                let mut good = self.shared.iter().filter(|(_, opened)| opened.is_good(&self.endpoint, settings, now));
                good.any(|(connection, _)| connection.is_open_or_left())
            }
        };
        !has_room && self.closed_by_endpoint == 0
    }

    /// A stream of a shared connection that is not too old for another one.
    fn take_stream(&mut self, settings: &PoolSettings, now: Instant) -> Option<(RequestSender, Opened)> {
        let endpoint = &self.endpoint;
        let mut good = self.shared.iter_mut().filter(|(_, opened)| opened.is_good(endpoint, settings, now));
        good.find_map(|(connection, opened)| Some((RequestSender::Http2(connection.stream()?), *opened)))
    }

    fn sweep(&mut self, settings: &PoolSettings, now: Instant) {
        let endpoint = &self.endpoint;
        // What is long ago says nothing of now.
        let mut closed = self.closed_by_endpoint / 2;
        let over = self.idle.extract_if(.., |idle| {
            let good = idle.is_good(endpoint, settings, now);
            let quiet = good && idle.connection.is_quiet();
            closed += usize::from(good && !quiet);
            !quiet
        });
        over.for_each(|idle| idle.connection.close());
        let resting = self.idle.iter_mut().filter(|idle| now.duration_since(idle.since) >= REST_AFTER);
        resting.for_each(|idle| idle.connection.rest());
        // One that is dropped here ends with its last stream.
        self.shared.retain_mut(|(connection, opened)| {
            let quiet =
                connection.quiet_since().is_some_and(|since| now.duration_since(since) >= settings.idle_timeout);
            let (gone, good) = (connection.is_closed(), opened.is_good(endpoint, settings, now));
            closed += usize::from(gone && good);
            !gone && !quiet && good
        });
        self.closed_by_endpoint = closed;
    }
}

impl IdleConnection {
    fn is_good(&self, endpoint: &EndpointStats, settings: &PoolSettings, now: Instant) -> bool {
        now.duration_since(self.since) < settings.idle_timeout && self.opened.is_good(endpoint, settings, now)
    }
}

/// Spreads small numbers, which no client chooses: what resists chosen keys costs a hundred instructions a look-up, and
/// a request has two.
#[derive(Debug, Default)]
struct Numbers(u64);

impl Hasher for Numbers {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        // Knuth's multiplier. A table takes its place from the lower bits and tells neighbours apart by the upper ones.
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

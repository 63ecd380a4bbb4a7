//! Idle connections of one worker, by endpoint.
//!
//! Last in, first out: a few connections stay warm and the others age out. A connection that is too old, or idle for
//! longer than its origin is likely to keep it, is closed rather than used: an origin that closes at the same moment
//! as we send would cost a retry. Shared connections (HTTP/2) stay here while they are used; the one that was opened first
//! takes a stream if it has room, so that the others can age out too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::sender::{Sender, Shared, Stream};
use crate::table::spec::Protocol;

/// Bounds of the pools.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Longest idle time; shorter than the origins' own.
    pub idle_timeout: Duration,
    /// Longest life, so that load spreads again after endpoints were added.
    pub age_max: Duration,
    /// Most idle connections for an endpoint and worker.
    pub idle_max: usize,
}

/// The pools of one worker. `B` is the body of the requests.
#[derive(Debug)]
pub struct Pools<B> {
    settings: PoolSettings,
    by_endpoint: RefCell<HashMap<u32, Vec<Idle<B>>>>,
    shared: RefCell<HashMap<u32, Vec<Shared<B>>>>,
}

/// A connection that waits for its next request.
#[derive(Debug)]
struct Idle<B> {
    sender: SendRequest<B>,
    opened: Instant,
    since: Instant,
}

impl<B> Pools<B> {
    /// Empty pools.
    #[must_use]
    pub fn new(settings: PoolSettings) -> Self {
        Self { settings, by_endpoint: RefCell::default(), shared: RefCell::default() }
    }

    /// What sends a request to `endpoint` on a connection that is there already, with the time it was opened.
    pub fn take(&self, endpoint: u32, protocol: Protocol, now: Instant) -> Option<(Sender<B>, Instant)> {
        match protocol {
            Protocol::Http1 => self.take_idle(endpoint, now).map(|(sender, opened)| (Sender::Http1(sender), opened)),
            Protocol::Http2 => self.take_stream(endpoint, now).map(|(stream, opened)| (Sender::Http2(stream), opened)),
        }
    }

    /// A stream of a shared connection that is not too old for another one.
    fn take_stream(&self, endpoint: u32, now: Instant) -> Option<(Stream<B>, Instant)> {
        let shared = self.shared.borrow();
        let young = |connection: &&Shared<B>| now.duration_since(connection.opened()) < self.settings.age_max;
        let mut young = shared.get(&endpoint)?.iter().filter(young);
        young.find_map(|connection| Some((connection.stream()?, connection.opened())))
    }

    /// Lets others use a connection.
    pub fn share(&self, endpoint: u32, connection: Shared<B>) {
        self.shared.borrow_mut().entry(endpoint).or_default().push(connection);
    }

    /// The connection that was used last and still works.
    fn take_idle(&self, endpoint: u32, now: Instant) -> Option<(SendRequest<B>, Instant)> {
        let mut pools = self.by_endpoint.borrow_mut();
        let idle = pools.get_mut(&endpoint)?;
        for index in (0..idle.len()).rev() {
            if !self.fresh(&idle[index], now) {
                idle.remove(index);
            } else if idle[index].sender.is_ready() {
                let Idle { sender, opened, .. } = idle.remove(index);
                return Some((sender, opened));
            }
            // Else hyper's task has not yet seen that its exchange is over: it will be ready for a later request.
        }
        None
    }

    /// Puts a connection back whose last exchange ended well, in both directions.
    pub fn put(&self, endpoint: u32, sender: Sender<B>, opened: Instant, now: Instant) {
        let Sender::Http1(sender) = sender else { return };
        let mut pools = self.by_endpoint.borrow_mut();
        let idle = pools.entry(endpoint).or_default();
        if idle.len() < self.settings.idle_max && !sender.is_closed() {
            idle.push(Idle { sender, opened, since: now });
        }
    }

    /// Closes what is too old or was closed by the origin. To be called now and then.
    pub fn sweep(&self, now: Instant) {
        self.by_endpoint.borrow_mut().retain(|_, idle| {
            idle.retain(|connection| self.fresh(connection, now));
            !idle.is_empty()
        });
        self.shared.borrow_mut().retain(|_, connections| {
            connections.retain(|connection| self.needed(connection, now));
            !connections.is_empty()
        });
    }

    /// Whether a shared connection has streams or may get some. One that is dropped here ends with its last stream.
    fn needed(&self, connection: &Shared<B>, now: Instant) -> bool {
        let quiet =
            connection.quiet_since().is_some_and(|since| now.duration_since(since) >= self.settings.idle_timeout);
        let old = now.duration_since(connection.opened()) >= self.settings.age_max;
        !connection.is_closed() && !quiet && !old
    }

    /// Closes all connections that nobody uses.
    pub fn clear(&self) {
        self.by_endpoint.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }

    /// Number of idle connections.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.by_endpoint.borrow().values().map(Vec::len).sum()
    }

    fn fresh(&self, connection: &Idle<B>, now: Instant) -> bool {
        !connection.sender.is_closed()
            && now.duration_since(connection.since) < self.settings.idle_timeout
            && now.duration_since(connection.opened) < self.settings.age_max
    }
}

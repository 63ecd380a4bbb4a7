//! The limit of the connections of a listener, in all and from one address, over all workers.
//!
//! One shared count, touched when a connection comes and when it goes, never by a request. A connection too many takes
//! the place of one that [waits for its client](super::waiting). While none does, it is accepted and closed at once:
//! left in the kernel's queue (as HAProxy does) it would wait for an end that a client who fills the listener up does
//! not let come, and the operator would see nothing but silence.
//!
//! Connections of a trusted proxy are not counted by address: they are those of all its users.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::waiting::{WaitingList, WaitingSummary, displace_longest};
use crate::proxy::connection::stream_permit::ClientStreams;
use crate::shared::client_prefix::block;
use crate::stats::RejectReason;

/// Locks that the addresses are spread over, so that workers seldom meet.
const SHARDS: usize = 64;

/// The connections of a listener.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max: usize,
    per_address_max: usize,
    open: AtomicUsize,
    shards: Box<[Mutex<HashMap<u128, CountedClient>>]>,
    waiting: Box<[Arc<WaitingSummary>]>,
}

/// Whose connections count together.
#[derive(Clone, Debug)]
pub(crate) struct CountedClient {
    /// Its address, or what of it counts as one client.
    pub block: u128,
    /// Its requests in flight on streams.
    pub streams: Arc<ClientStreams>,
    connections: usize,
}

/// An open connection; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    block: Option<u128>,
}

impl ConnectionLimit {
    /// Room for `max` connections, and for `per_address_max` of one address, for this number of workers.
    #[must_use]
    pub(crate) fn new(max: usize, per_address_max: usize, workers: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let waiting = (0..workers).map(|_| Arc::default()).collect();
        Self { max, per_address_max, open: AtomicUsize::new(0), shards, waiting }
    }

    /// The lists of connections that wait, one a worker.
    #[must_use]
    pub(crate) fn waiting(&self) -> &[Arc<WaitingSummary>] {
        &self.waiting
    }

    /// Counts a connection in, if need be in place of one that waits; `now_ms` is asked for only then.
    ///
    /// # Errors
    /// When there is no room.
    pub(crate) fn enter(self: &Arc<Self>, now_ms: impl FnOnce() -> u64) -> Result<ConnectionPermit, RejectReason> {
        let permit = ConnectionPermit { limit: Arc::clone(self), block: None };
        let before = self.open.fetch_add(1, Relaxed);
        let room = before < self.max || displace_longest(&self.waiting, now_ms());
        if room { Ok(permit) } else { Err(RejectReason::TooManyConnections) }
    }

    fn shard(&self, block: u128) -> MutexGuard<'_, HashMap<u128, CountedClient>> {
        // The low bits of an IPv4 address and of the network part of an IPv6 address.
        let mixed = block ^ (block >> 64);
        let index = (mixed % SHARDS as u128) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// Counts the connection in for its address, which may be known later than the connection, if need be in place of
    /// one of the same address that waits on this worker: the kernel deals those of one address out evenly.
    ///
    /// # Errors
    /// When there is no room for another one of this address.
    pub(crate) fn claim(&mut self, address: IpAddr, waiting: &WaitingList) -> Result<CountedClient, RejectReason> {
        let block = block(address);
        let mut clients = self.limit.shard(block);
        let new = || CountedClient { block, streams: Arc::default(), connections: 0 };
        let client = clients.entry(block).or_insert_with(new);
        // As large as the listener's it is no bound: then one that comes has displaced another one already.
        let bounded = self.limit.per_address_max < self.limit.max;
        let full = bounded && client.connections >= self.limit.per_address_max;
        if full && !waiting.displace_of(block, Instant::now()) {
            return Err(RejectReason::TooManyOfAddress);
        }
        client.connections += 1;
        self.block = Some(block);
        Ok(client.clone())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limit.open.fetch_sub(1, Relaxed);
        if let Some(block) = self.block
            && let Entry::Occupied(mut client) = self.limit.shard(block).entry(block)
        {
            client.get_mut().connections -= 1;
            if client.get().connections == 0 {
                client.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LATE_MS: u64 = 1_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn places_come_back() {
        let limit = Arc::new(ConnectionLimit::new(3, 2, 1));
        let list = WaitingList::new(Arc::clone(&limit.waiting()[0]), Instant::now());
        let enter = |from: &str| {
            let mut permit = limit.enter(|| LATE_MS)?;
            permit.claim(address(from), &list).map(|_client| permit)
        };
        let first = enter("10.0.0.1").unwrap();
        let second = enter("::ffff:10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").unwrap_err(), RejectReason::TooManyOfAddress);
        let third = enter("10.0.0.2").unwrap();
        assert_eq!(enter("10.0.0.3").unwrap_err(), RejectReason::TooManyConnections);
        drop(second);
        assert!(enter("10.0.0.1").is_ok());
        drop((first, third));
        assert_eq!(limit.open.load(Relaxed), 0);
        assert!(limit.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[tokio::test]
    async fn one_that_waits_makes_room_for_one_that_comes() {
        let (limit, now) = (Arc::new(ConnectionLimit::new(2, 1, 1)), Instant::now());
        let start = now - Duration::from_secs(5);
        let list = WaitingList::new(Arc::clone(&limit.waiting()[0]), start);
        let mut first = limit.enter(|| LATE_MS).unwrap();
        let client = first.claim(address("10.0.0.1"), &list).unwrap();
        let _second = limit.enter(|| LATE_MS).unwrap();
        let waiting = list.enter(start, Some(client.block));
        assert_eq!(limit.enter(|| 0).unwrap_err(), RejectReason::TooManyConnections, "it has only just come");
        let mut third = limit.enter(|| LATE_MS).expect("in place of the one that waits");
        assert_eq!(limit.enter(|| LATE_MS).unwrap_err(), RejectReason::TooManyConnections, "there is only one");
        assert!(third.claim(address("10.0.0.1"), &list).is_ok());
        waiting.displaced().await;
        assert_eq!(third.claim(address("10.0.0.1"), &list).unwrap_err(), RejectReason::TooManyOfAddress);
    }
}

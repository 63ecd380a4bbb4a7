//! How many connections a listener has, in all and from one address, over all workers.
//!
//! One shared count, touched when a connection comes and when it goes, never by a request. A connection too many is
//! accepted and closed at once: left in the kernel's queue (as HAProxy does) it would wait for an end that a client who
//! fills the listener up does not let come, and the operator would see nothing but silence.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::stats::Refused;
use crate::table::client::block;

/// Locks that the addresses are spread over, so that workers seldom meet.
const SHARDS: usize = 64;

/// The connections of a listener.
#[derive(Debug)]
pub struct Crowd {
    max: usize,
    open: AtomicUsize,
    addresses: Option<Addresses>,
}

#[derive(Debug)]
struct Addresses {
    max: usize,
    shards: Box<[Mutex<HashMap<u128, usize>>]>,
}

/// An open connection; dropping it counts it out.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    block: Option<u128>,
}

impl Crowd {
    /// Room for `max` connections, and for `per_address_max` of one address.
    #[must_use]
    pub fn new(max: usize, per_address_max: Option<usize>) -> Self {
        let shards = || (0..SHARDS).map(|_| Mutex::default()).collect();
        let addresses = per_address_max.map(|max| Addresses { max, shards: shards() });
        Self { max, open: AtomicUsize::new(0), addresses }
    }

    /// Counts a connection in.
    ///
    /// # Errors
    /// When there is no room.
    pub fn enter(self: &Arc<Self>) -> Result<Place, Refused> {
        let place = Place { crowd: Arc::clone(self), block: None };
        let before = self.open.fetch_add(1, Relaxed);
        if before < self.max { Ok(place) } else { Err(Refused::TooManyConnections) }
    }
}

impl Place {
    /// Counts the connection in for its address, which may be known later than the connection.
    ///
    /// # Errors
    /// When there is no room for another one of this address.
    pub fn claim(&mut self, address: IpAddr) -> Result<(), Refused> {
        let Some(addresses) = &self.crowd.addresses else { return Ok(()) };
        let block = block(address);
        let mut counts = addresses.shard(block);
        let count = counts.entry(block).or_insert(0);
        if *count >= addresses.max {
            return Err(Refused::TooManyOfAddress);
        }
        *count += 1;
        drop(counts);
        self.block = Some(block);
        Ok(())
    }
}

impl Addresses {
    fn shard(&self, block: u128) -> MutexGuard<'_, HashMap<u128, usize>> {
        // The low bits of an IPv4 address and of the network part of an IPv6 address.
        let mixed = block ^ (block >> 64);
        let index = (mixed % SHARDS as u128) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.open.fetch_sub(1, Relaxed);
        if let (Some(addresses), Some(block)) = (&self.crowd.addresses, self.block)
            && let Entry::Occupied(mut count) = addresses.shard(block).entry(block)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_come_back() {
        let crowd = Arc::new(Crowd::new(3, Some(2)));
        let enter = |from: &str| {
            let mut place = crowd.enter()?;
            place.claim(address(from)).map(|()| place)
        };
        let first = enter("10.0.0.1").unwrap();
        let second = enter("::ffff:10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").unwrap_err(), Refused::TooManyOfAddress);
        let third = enter("10.0.0.2").unwrap();
        assert_eq!(enter("10.0.0.3").unwrap_err(), Refused::TooManyConnections);
        drop(second);
        assert!(enter("10.0.0.1").is_ok());
        drop((first, third));
        assert_eq!(crowd.open.load(Relaxed), 0);
        assert!(crowd.addresses.iter().flat_map(|all| &all.shards).all(|shard| shard.lock().unwrap().is_empty()));
    }
}

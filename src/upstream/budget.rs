//! The budget of connections to endpoints, for the process, and the order in which they are given.
//!
//! There are as many descriptors for connections to endpoints as for client connections. With HTTP/1.1 that is enough
//! by itself. A connection of HTTP/2 has up to a hundred requests at once, and each of them may need a connection to an
//! endpoint: twenty-five clients can use up what two thousand were to have, and then everybody's requests fail. So each
//! connection to an endpoint takes a permit here for as long as it is open, and permits are given so that a client who
//! wants many leaves some for those who want one:
//!
//! - The first request of a client connection gets a permit as long as there is one, and otherwise waits for it.
//! - A further one, beside others on its connection, gets what is free: as long as its client has no more requests in
//!   flight than there are free permits beyond a reserve of a quarter. That is the dynamic threshold of shared-memory
//!   switches (Choudhury and Hahne, 1998): one client alone gets up to half of what is lent, *n* of them an *n+1*th
//!   each, and the bound needs no number of its own and no list of clients.
//!
//! Only opening a connection costs something here; a request that finds an idle one costs nothing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Of all permits, one in this many is not lent to further requests.
const RESERVE_PART: usize = 4;

/// How often the workers that have idle connections are told of a request that waits: connections fall idle meanwhile.
const TELL_INTERVAL: Duration = Duration::from_millis(25);

/// No system has more descriptors.
const PLACES_MAX: usize = 1 << 26;

/// What a request counts as when it needs a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PermitClaim {
    /// The only one of its client's connection.
    First,
    /// One beside others.
    Further {
        /// How many its client has in flight, with this one; 0 when that is not known: behind a proxy that is trusted
        /// they are those of many clients.
        of_client: usize,
    },
}

/// There is no permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoPermit {
    /// Not for this client.
    OfClient,
    /// Not for any client.
    AtAll,
}

/// The permits for connections to endpoints.
#[derive(Debug)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    reserve: usize,
    /// Who waits now.
    waiting: AtomicUsize,
    /// How often those who have idle connections were told of it.
    waits: AtomicU64,
    wanted: Notify,
}

/// The permit of a connection; dropping it frees it.
#[derive(Debug)]
pub(crate) struct UpstreamPermit {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// Places for `max` connections.
    #[must_use]
    pub(crate) fn new(max: usize) -> Self {
        let max = max.clamp(1, PLACES_MAX);
        let (permits, reserve) = (Arc::new(Semaphore::new(max)), max / RESERVE_PART);
        let (waiting, waits) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { permits, reserve, waiting, waits, wanted: Notify::new() }
    }

    /// How many more permits have to be free for this claim to get one.
    #[must_use]
    pub(crate) fn lacks(&self, claim: PermitClaim) -> usize {
        let needed = match claim {
            PermitClaim::First => 1,
            PermitClaim::Further { of_client } => of_client.max(1) + self.reserve,
        };
        needed.saturating_sub(self.permits.available_permits())
    }

    /// A permit if there is one now.
    ///
    /// # Errors
    /// [`NoPermit`]; idle connections that are closed may make room.
    pub(crate) fn take(&self, claim: PermitClaim) -> Result<UpstreamPermit, NoPermit> {
        match claim {
            PermitClaim::Further { of_client: 1.. } if self.lacks(claim) > 0 => return Err(NoPermit::OfClient),
            PermitClaim::Further { .. } | PermitClaim::First if self.lacks(claim) > 0 => return Err(NoPermit::AtAll),
            PermitClaim::Further { .. } | PermitClaim::First => {}
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        permit.map(|permit| UpstreamPermit { _permit: permit }).map_err(|_none| NoPermit::AtAll)
    }

    /// Waits for a permit, first come first served; the workers that have idle connections are told.
    ///
    /// # Errors
    /// [`NoPermit`] when there is none in time.
    pub(crate) async fn wait(&self, limit: Duration) -> Result<UpstreamPermit, NoPermit> {
        let _waiting = WaitGuard::enter(&self.waiting);
        let deadline = Instant::now() + limit;
        let mut acquired = pin!(Arc::clone(&self.permits).acquire_owned());
        loop {
            self.waits.fetch_add(1, Relaxed);
            self.wanted.notify_waiters();
            let now = Instant::now();
            tokio::select! {
                permit = &mut acquired => {
                    return permit.map(|permit| UpstreamPermit { _permit: permit }).map_err(|_closed| NoPermit::AtAll);
                }
                () = sleep_until(deadline.min(now + TELL_INTERVAL)) => {}
            }
            if now >= deadline {
                return Err(NoPermit::AtAll);
            }
        }
    }

    /// Whether a request waits for a permit: then a connection that falls idle is closed for it. One load of a line
    /// that is seldom written.
    #[must_use]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// How often those who have idle connections were told of a request that waits.
    #[must_use]
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Relaxed)
    }

    /// Ready when a request has to wait for a permit: then idle connections are worth less than theirs. One that came
    /// while none waited for it is seen in [`waits`](Self::waits).
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

/// A request that waits; dropping it ends the wait.
struct WaitGuard<'b>(&'b AtomicUsize);

impl<'b> WaitGuard<'b> {
    fn enter(waiting: &'b AtomicUsize) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many permits as it gets for one client; it has `more` streams that hold none.
    fn greedy(budget: &Budget, more: usize) -> Vec<UpstreamPermit> {
        let mut held = Vec::new();
        while let Ok(permit) = budget.take(PermitClaim::Further { of_client: held.len() + 1 + more }) {
            held.push(permit);
        }
        held
    }

    #[test]
    fn one_client_gets_half_of_what_is_lent() {
        let budget = Budget::new(1000);
        assert_eq!(budget.take(PermitClaim::Further { of_client: 800 }).unwrap_err(), NoPermit::OfClient);
        let held = greedy(&budget, 0);
        assert_eq!(held.len(), 375, "750 are lent");
        // The next one gets half of what is left, and so on; a quarter is left whatever they do.
        let others: Vec<_> = (0..50).map(|_| greedy(&budget, 0)).collect();
        assert_eq!((others[0].len(), others[1].len()), (188, 94));
        assert_eq!(budget.permits.available_permits(), 250);
        let first: Vec<_> = (0..250).map(|_| budget.take(PermitClaim::First).unwrap()).collect();
        assert_eq!(budget.take(PermitClaim::First).unwrap_err(), NoPermit::AtAll);
        assert_eq!((budget.lacks(PermitClaim::First), budget.lacks(PermitClaim::Further { of_client: 5 })), (1, 255));
        drop((held, others, first));
        assert_eq!(budget.permits.available_permits(), 1000);
    }

    #[test]
    fn those_behind_a_trusted_proxy_share_what_is_lent() {
        let budget = Budget::new(100);
        let all: Vec<_> = std::iter::from_fn(|| budget.take(PermitClaim::Further { of_client: 0 }).ok()).collect();
        assert_eq!(all.len(), 75);
        assert_eq!(budget.take(PermitClaim::Further { of_client: 0 }).unwrap_err(), NoPermit::AtAll);
        assert!(budget.take(PermitClaim::First).is_ok());
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_place() {
        let budget = Budget::new(1);
        let held = budget.take(PermitClaim::First).unwrap();
        assert_eq!(budget.wait(Duration::from_millis(1)).await.unwrap_err(), NoPermit::AtAll);
        let let_go = async {
            // Told again and again, so that it does not matter when it looks.
            budget.wanted().await;
            assert!(budget.is_waited_for());
            budget.wanted().await;
            drop(held);
        };
        let ((), waited) = tokio::join!(let_go, budget.wait(Duration::from_secs(5)));
        assert!(waited.is_ok());
        assert!(budget.waits() >= 2 && !budget.is_waited_for());
        // The smallest process has one permit all the same.
        assert!(Budget::new(0).take(PermitClaim::First).is_ok());
    }
}

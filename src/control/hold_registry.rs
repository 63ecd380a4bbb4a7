//! The registry of holds: a moment in which nothing of some services runs, for a change of their traffic.
//!
//! The order is: hold new requests, wait for those in flight, change, let go. A hold that cannot be kept (requests in
//! flight do not end in time, or more come than it may hold) never fails a request: every request is let go, and the
//! caller that asked for it decides what then comes of the change. The obvious alternative, to refuse the requests that
//! are too many, would make users pay for a promise that was made to the operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::control::clock::Clock;
use crate::shared::hold::{Hold, HoldBounds, Holds};
use crate::stats::{Registry, ServiceStats};
use crate::table::Name;

use super::handle::{Applied, ApplyError, ChangeRequest, Handle};
use crate::problem::few;

/// How often is looked whether requests are still in flight. A poll, because the last request to end would otherwise
/// have to know that a caller waits, and all requests would pay for it.
const POLL: Duration = Duration::from_millis(1);

/// How much longer than its wait a hold for a change lasts at the most: the change has to reach the disk.
const CHANGE_TIME: Duration = Duration::from_secs(1);

/// What may be held, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldTerms {
    /// The longest wait for requests in flight.
    pub max: Duration,
    /// Requests that are held at a time.
    pub requests_max: u64,
    /// Bytes of their heads.
    pub bytes_max: u64,
    /// Whether the change is made also if the hold could not be kept.
    pub go_on: bool,
}

impl Default for HoldTerms {
    fn default() -> Self {
        // Two seconds are what a user takes for slow and not for broken. A thousand requests a second come to a busy
        // site in that time for each of two services; at 16 KiB each they take 16 MiB, and the largest heads half of
        // them.
        Self { max: Duration::from_secs(2), requests_max: 1000, bytes_max: 16 << 20, go_on: false }
    }
}

/// A service that is held already.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("found a hold of {service} (number {id}), want none; wait until it ends, or release it")]
pub struct HoldConflict {
    /// The service.
    pub service: Name,
    /// The hold.
    pub id: u64,
}

/// Why a hold was not kept.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotKept {
    /// Requests did not end in time.
    #[error("found {in_flight} requests in flight after {waited_ms} ms, want none")]
    InFlight {
        /// How many.
        in_flight: u64,
        /// After how long.
        waited_ms: u64,
    },
    /// A worker did not answer in time.
    #[error("found a worker that did not begin to hold within {waited_ms} ms, want all of them to")]
    Worker {
        /// After how long.
        waited_ms: u64,
    },
    /// More came than may be held.
    #[error("found more requests than the hold takes after {held} of them, want to hold them all")]
    Overflow {
        /// How many were held.
        held: u64,
    },
    /// The change took too long.
    #[error("found the change in force only after the hold had ended, want it before")]
    Late,
}

/// How a hold went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldReport {
    /// Why it was not kept; none when it was.
    pub not_kept: Option<NotKept>,
    /// Requests that were held.
    pub held: u64,
    /// How long it took until nothing was in flight.
    pub waited: Duration,
    /// How long requests were held at the most.
    pub lasted: Duration,
}

/// Why a change under a hold was not made.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// A service is held already.
    #[error(transparent)]
    HoldConflict(#[from] HoldConflict),
    /// The hold was not kept, and the change was not to be made without it.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// The change was refused.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Opens and ends holds.
#[derive(Debug)]
pub struct HoldRegistry {
    published: watch::Sender<Arc<Holds>>,
    registry: Arc<Registry>,
    clock: Clock,
    ids: AtomicU64,
}

impl HoldRegistry {
    /// A registry of holds for the workers of `registry`; `clock` is that of the data plane.
    #[must_use]
    pub fn new(registry: Arc<Registry>, clock: Clock) -> Self {
        Self { published: watch::Sender::default(), registry, clock, ids: AtomicU64::new(0) }
    }

    /// What a worker follows.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Arc<Holds>> {
        self.published.subscribe()
    }

    /// The holds that are open.
    #[must_use]
    pub fn open(&self) -> Arc<Holds> {
        Arc::clone(&self.published.borrow())
    }

    /// Milliseconds on the process's clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Begins to hold new requests of `services`, for `life` at the most.
    ///
    /// # Errors
    /// [`HoldConflict`] when one of them is held already.
    pub fn begin(
        self: &Arc<Self>,
        services: Vec<Name>,
        terms: &HoldTerms,
        life: Duration,
    ) -> Result<OpenHold, HoldConflict> {
        let now_ms = self.now_ms();
        let bounds = HoldBounds {
            requests_max: terms.requests_max,
            bytes_max: terms.bytes_max,
            since_ms: now_ms,
            until_ms: now_ms.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX)),
        };
        let stats = services.iter().map(|name| self.registry.service(name)).collect();
        let id = self.ids.fetch_add(1, Relaxed) + 1;
        let mut taken = None;
        let hold = Arc::new(Hold::new(id, services.into(), bounds, self.registry.workers()));
        self.published.send_if_modified(|holds| {
            let other =
                |service: &Name| Some(HoldConflict { service: service.clone(), id: holds.of(service, now_ms)?.id });
            taken = hold.services.iter().find_map(other);
            if taken.is_none() {
                *holds = Arc::new(holds.with(Arc::clone(&hold), now_ms));
            }
            taken.is_none()
        });
        taken.map_or_else(|| Ok(OpenHold { registry: Arc::clone(self), hold, stats, began: Instant::now() }), Err)
    }

    /// Lets the requests of a hold go; none when there is no such hold.
    pub fn release(&self, id: u64) -> Option<Arc<Hold>> {
        let mut released = None;
        self.published.send_if_modified(|holds| {
            released = holds.iter().find(|hold| hold.id == id).cloned();
            if released.is_some() {
                *holds = Arc::new(holds.without(id));
            }
            released.is_some()
        });
        released
    }

    /// Makes a change while nothing of the services that it concerns runs. A change that changes nothing holds no
    /// request.
    ///
    /// # Errors
    /// [`HoldError`] when the change was not made.
    pub async fn apply(
        self: &Arc<Self>,
        handle: &Handle,
        request: ChangeRequest,
        terms: &HoldTerms,
    ) -> Result<(Applied, Option<HoldReport>), HoldError> {
        let planned = handle.apply(ChangeRequest { dry_run: true, ..request.clone() }).await?;
        if request.dry_run || !planned.changed {
            return Ok((handle.apply(request).await?, None));
        }
        let services = planned.difference.iter().map(|difference| difference.service.clone()).collect();
        let open = self.begin(services, terms, terms.max + CHANGE_TIME)?;
        let drained = open.drained(terms.max).await;
        let waited = open.began.elapsed();
        if let Err(not_kept) = &drained
            && !terms.go_on
        {
            return Err(not_kept.clone().into());
        }
        // What was held is what was planned: another change in between is a reason to look again.
        let applied = handle.apply(ChangeRequest { if_match: Some(planned.revision), ..request }).await?;
        let not_kept = drained.err().or_else(|| open.broken().inspect(|why| open.tell(why)));
        let (held, lasted) = (open.hold.total(), open.began.elapsed());
        drop(open);
        Ok((applied, Some(HoldReport { not_kept, held, waited, lasted })))
    }
}

/// A hold that its owner keeps open; dropping it lets the requests go, also when a caller has hung up half-way.
#[derive(Debug)]
pub struct OpenHold {
    registry: Arc<HoldRegistry>,
    hold: Arc<Hold>,
    stats: Vec<Arc<ServiceStats>>,
    began: Instant,
}

impl OpenHold {
    /// The hold.
    #[must_use]
    pub fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Waits until nothing of the services is in flight, for `max` at the most.
    ///
    /// # Errors
    /// [`NotKept`] when that does not come.
    pub async fn drained(&self, max: Duration) -> Result<(), NotKept> {
        self.await_drained(max).await.inspect_err(|why| self.tell(why))
    }

    /// Logs that the hold was not kept.
    fn tell(&self, why: &NotKept) {
        let services = few(self.hold.services.iter().map(Name::as_str));
        tracing::info!(hold = self.hold.id, ?services, %why, "the hold was not kept");
    }

    async fn await_drained(&self, max: Duration) -> Result<(), NotKept> {
        loop {
            let signed = self.hold.is_signed();
            let in_flight: u64 = self.stats.iter().map(|service| service.totals().in_flight).sum();
            if self.hold.overflowed() {
                return Err(NotKept::Overflow { held: self.hold.total() });
            }
            if signed && in_flight == 0 {
                return Ok(());
            }
            let waited = self.began.elapsed();
            if waited >= max {
                let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                return Err(match signed {
                    true => NotKept::InFlight { in_flight, waited_ms },
                    false => NotKept::Worker { waited_ms },
                });
            }
            sleep(POLL.min(max)).await;
        }
    }

    /// Why requests may have gone on, if they may.
    fn broken(&self) -> Option<NotKept> {
        if self.hold.overflowed() {
            return Some(NotKept::Overflow { held: self.hold.total() });
        }
        (self.registry.now_ms() >= self.hold.bounds.until_ms).then_some(NotKept::Late)
    }

    /// Leaves the hold open until it is released, or its life is over.
    pub fn stay(self) {
        let left = self.hold.bounds.until_ms.saturating_sub(self.registry.now_ms());
        tokio::spawn(async move {
            sleep(Duration::from_millis(left)).await;
            drop(self);
        });
    }
}

impl Drop for OpenHold {
    fn drop(&mut self) {
        self.registry.release(self.hold.id);
    }
}

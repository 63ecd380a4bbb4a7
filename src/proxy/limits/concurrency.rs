//! The limits of requests in flight: those of the process, and those of a service, with a queue before it.
//!
//! The queue is one for all workers, first come first served: its lock is held for a few instructions, and only
//! requests of services that have this limit take it. A queue for each worker would need no lock, and would let a
//! worker with a short queue overtake one with a long one; the request that leaves decides here which one is woken,
//! across workers, without polling. A permit that becomes free is given to the first that waits before a new request
//! can take it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::proxy::request::local_reply::LocalReply;
use crate::stats::{RejectReason, ServiceStats};
use crate::table::spec::limits::InFlightLimit;

/// What a client that was turned away may wait before it comes again, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// How many requests the process works on at a time.
#[derive(Clone, Debug)]
pub(crate) enum ConcurrencyLimit {
    /// This many for each worker, which counts its own requests anyway: the default, which is there for the memory and
    /// need not be exact, so that no request touches what another worker writes.
    Worker(u32),
    /// This many together, for an operator who named a number and means it.
    Process(Arc<ProcessLimit>),
}

/// A count that all workers share.
#[derive(Debug)]
// Alone on its cache lines.
#[repr(align(128))]
pub(crate) struct ProcessLimit {
    max: usize,
    in_flight: AtomicUsize,
}

impl ConcurrencyLimit {
    /// Room for `max` requests of all workers together.
    #[must_use]
    pub(crate) fn of_process(max: usize) -> Self {
        Self::Process(Arc::new(ProcessLimit { max, in_flight: AtomicUsize::new(0) }))
    }

    /// Counts a request in, on a worker that has `live` with it.
    ///
    /// # Errors
    /// The local reply when there is no room.
    pub(crate) fn enter(&self, live: u32) -> Result<Option<ProcessPermit>, LocalReply> {
        let entered = match self {
            Self::Worker(max) => (live <= *max).then_some(None),
            Self::Process(limit) => {
                let permit = ProcessPermit(Arc::clone(limit));
                let before = limit.in_flight.fetch_add(1, Relaxed);
                (before < limit.max).then_some(Some(permit))
            }
        };
        entered.ok_or_else(|| overloaded(RejectReason::Overloaded, "too many requests are in flight"))
    }
}

/// A request of the process; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct ProcessPermit(Arc<ProcessLimit>);

impl Drop for ProcessPermit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

fn overloaded(reason: RejectReason, detail: &'static str) -> LocalReply {
    LocalReply::new(reason, detail).retry_after(RETRY_AFTER_SECONDS)
}

/// The queues of all services that have one, made when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct WaitQueues(Mutex<HashMap<u32, Arc<WaitQueue>>>);

impl WaitQueues {
    /// The queue of a service.
    #[must_use]
    pub(crate) fn of(&self, service: &ServiceStats) -> Arc<WaitQueue> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(queues.entry(service.id).or_insert_with(|| Arc::new(WaitQueue::new(service.id))))
    }
}

/// The requests of a service, in flight and waiting.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    service: u32,
    state: Mutex<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    max: usize,
    in_flight: usize,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    tickets: u64,
}

/// What came of asking for a permit.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// There was one.
    Permit(ServicePermit),
    /// There will be one.
    Wait(QueueTicket),
}

impl WaitQueue {
    fn new(service: u32) -> Self {
        Self { service, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a permit under `limit`, which may have changed since the last time.
    ///
    /// # Errors
    /// The local reply when the queue is full too.
    pub(crate) fn acquire(self: &Arc<Self>, limit: &InFlightLimit) -> Result<Acquired, LocalReply> {
        let mut state = self.state();
        state.max = limit.max;
        state.grant();
        if state.in_flight < state.max {
            state.in_flight += 1;
            return Ok(Acquired::Permit(ServicePermit(Arc::clone(self))));
        }
        if state.waiting.len() >= limit.queue_max {
            return Err(overloaded(RejectReason::QueueFull, "too many requests of this service are in flight"));
        }
        let (grant, granted) = oneshot::channel();
        state.tickets += 1;
        let ticket = state.tickets;
        state.waiting.push_back((ticket, grant));
        Ok(Acquired::Wait(QueueTicket { queue: Arc::clone(self), ticket, granted, limit: *limit, over: false }))
    }
}

impl QueueState {
    /// Gives free permits to those who wait, the first first.
    fn grant(&mut self) {
        while self.in_flight < self.max
            && let Some((_, grant)) = self.waiting.pop_front()
        {
            // Who stopped waiting takes itself off the line, so this always arrives.
            self.in_flight += usize::from(grant.send(()).is_ok());
        }
    }

    fn leave(&mut self) {
        self.in_flight -= 1;
        self.grant();
    }
}

/// A request in flight; dropping it gives its permit to the next.
#[derive(Debug)]
pub(crate) struct ServicePermit(Arc<WaitQueue>);

impl ServicePermit {
    /// Whether it is a permit of this service.
    #[must_use]
    pub(crate) fn is_of(&self, service: &ServiceStats) -> bool {
        self.0.service == service.id
    }
}

impl Drop for ServicePermit {
    fn drop(&mut self) {
        self.0.state().leave();
    }
}

/// A request that waits; dropping it takes it off the line.
#[derive(Debug)]
pub(crate) struct QueueTicket {
    queue: Arc<WaitQueue>,
    ticket: u64,
    granted: oneshot::Receiver<()>,
    limit: InFlightLimit,
    over: bool,
}

impl QueueTicket {
    /// Waits for the permit.
    ///
    /// # Errors
    /// The local reply when it takes too long.
    pub(crate) async fn permit(mut self) -> Result<ServicePermit, LocalReply> {
        match timeout(self.limit.queue_timeout, &mut self.granted).await {
            Ok(Ok(())) => {
                self.over = true;
                Ok(ServicePermit(Arc::clone(&self.queue)))
            }
            Ok(Err(_)) | Err(_) => Err(overloaded(
                RejectReason::QueueTimeout,
                "no permit for a request of this service became free in time",
            )),
        }
    }
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.queue.state();
        match state.waiting.iter().position(|(ticket, _)| *ticket == self.ticket) {
            Some(at) => drop(state.waiting.remove(at)),
            // It was granted at the same moment.
            None => state.leave(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: InFlightLimit = InFlightLimit { max: 2, queue_max: 2, queue_timeout: Duration::from_secs(5) };

    fn permit(queue: &Arc<WaitQueue>) -> ServicePermit {
        match queue.acquire(&LIMIT) {
            Ok(Acquired::Permit(permit)) => permit,
            other => panic!("no permit: {other:?}"),
        }
    }

    fn wait(queue: &Arc<WaitQueue>) -> QueueTicket {
        match queue.acquire(&LIMIT) {
            Ok(Acquired::Wait(waiting)) => waiting,
            other => panic!("no wait: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_first_who_waits_is_the_first_who_goes() {
        let queue = Arc::new(WaitQueue::new(1));
        let (one, two) = (permit(&queue), permit(&queue));
        let (mut third, fourth) = (wait(&queue), wait(&queue));
        assert_eq!(queue.acquire(&LIMIT).unwrap_err().reason, RejectReason::QueueFull);
        drop(one);
        assert!(third.granted.try_recv().is_ok());
        third.over = true;
        let third = ServicePermit(Arc::clone(&queue));
        assert!(matches!(queue.acquire(&LIMIT), Ok(Acquired::Wait(_))), "nobody overtakes");
        drop(two);
        let fourth = fourth.permit().await.unwrap();
        drop((third, fourth));
        let state = queue.state();
        assert_eq!((state.in_flight, state.waiting.len()), (0, 0));
    }

    #[tokio::test]
    async fn who_leaves_the_line_leaves_no_hole() {
        let queue = Arc::new(WaitQueue::new(1));
        let (one, two) = (permit(&queue), permit(&queue));
        let (third, fourth) = (wait(&queue), wait(&queue));
        drop(third);
        drop(one);
        // Granted, and gone before it knew.
        drop(fourth);
        let third = permit(&queue);
        drop((two, third));
        assert_eq!(queue.state().in_flight, 0);
    }

    #[tokio::test]
    async fn a_wait_ends() {
        let queue = Arc::new(WaitQueue::new(1));
        let _places = (permit(&queue), permit(&queue));
        let mut waiting = wait(&queue);
        waiting.limit.queue_timeout = Duration::from_millis(1);
        assert_eq!(waiting.permit().await.unwrap_err().reason, RejectReason::QueueTimeout);
        assert_eq!(queue.state().waiting.len(), 0);
    }

    #[test]
    fn another_limit_holds_at_once() {
        let queue = Arc::new(WaitQueue::new(1));
        let permits = (permit(&queue), permit(&queue));
        let mut waiting = wait(&queue);
        let wider = InFlightLimit { max: 3, ..LIMIT };
        assert!(matches!(queue.acquire(&wider), Ok(Acquired::Wait(_))), "the new place is for the first");
        assert!(waiting.granted.try_recv().is_ok());
        drop(permits);
        assert!(matches!(queue.acquire(&InFlightLimit { max: 1, ..LIMIT }), Ok(Acquired::Wait(_))));
    }

    #[test]
    fn capacities_are_exact_or_of_a_worker() {
        let process = ConcurrencyLimit::of_process(2);
        let permits: Vec<_> = (0..2).map(|_| process.enter(1).unwrap()).collect();
        assert_eq!(process.clone().enter(1).unwrap_err().reason, RejectReason::Overloaded);
        drop(permits);
        assert!(process.enter(1).is_ok());
        let worker = ConcurrencyLimit::Worker(2);
        assert!(worker.enter(2).is_ok() && worker.enter(3).is_err());
    }
}

//! How many requests are worked on at a time: those of the process, and those of a service, with a queue before it.
//!
//! The queue is one for all workers, first come first served: its lock is held for a few instructions, and only requests
//! of services that have this limit take it. A queue for each worker would need no lock, and would let a worker with a
//! short queue overtake one with a long one; who is woken is decided here by whoever leaves, across workers, without
//! anybody polling. A place that becomes free is given to the first who waits before anybody new can take it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::proxy::connection::stream_permit::StreamPlace;
use crate::proxy::request::local_reply::LocalReply;
use crate::stats::{RejectReason, ServiceStats};
use crate::table::limits::InFlightLimit;

/// What a client that was turned away may wait before it comes again, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// How many requests the process works on at a time.
#[derive(Clone, Debug)]
pub(crate) enum Capacity {
    /// So many for each worker, which counts its own requests anyway: the default, which is there for the memory and
    /// need not be exact, so that no request touches what another worker writes.
    Worker(u32),
    /// So many together, for an operator who named a number and means it.
    Process(Arc<ProcessCapacity>),
}

/// A count that all workers share.
#[derive(Debug)]
// Alone on its cache lines.
#[repr(align(128))]
pub(crate) struct ProcessCapacity {
    max: usize,
    in_flight: AtomicUsize,
}

/// What a request occupies until it ends.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Of the process.
    pub process: Option<ProcessPlace>,
    /// Of its service.
    pub service: Option<ServicePlace>,
    /// Of its client, on a stream of HTTP/2.
    pub stream: Option<StreamPlace>,
}

impl Capacity {
    /// Room for `max` requests of all workers together.
    #[must_use]
    pub(crate) fn of_process(max: usize) -> Self {
        Self::Process(Arc::new(ProcessCapacity { max, in_flight: AtomicUsize::new(0) }))
    }

    /// Counts a request in, on a worker that has `live` with it.
    ///
    /// # Errors
    /// The refusal when there is no room.
    pub(crate) fn enter(&self, live: u32) -> Result<Option<ProcessPlace>, LocalReply> {
        let entered = match self {
            Self::Worker(max) => (live <= *max).then_some(None),
            Self::Process(capacity) => {
                let place = ProcessPlace(Arc::clone(capacity));
                let before = capacity.in_flight.fetch_add(1, Relaxed);
                (before < capacity.max).then_some(Some(place))
            }
        };
        entered.ok_or_else(|| overloaded(RejectReason::Overloaded, "too many requests are in flight"))
    }
}

/// A request of the process; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct ProcessPlace(Arc<ProcessCapacity>);

impl Drop for ProcessPlace {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

fn overloaded(reason: RejectReason, detail: &'static str) -> LocalReply {
    LocalReply::new(reason, detail).retry_after(RETRY_AFTER_SECONDS)
}

/// The queues of all services that have one, made when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct Queues(Mutex<HashMap<u32, Arc<Queue>>>);

impl Queues {
    /// The queue of a service.
    #[must_use]
    pub(crate) fn of(&self, service: &ServiceStats) -> Arc<Queue> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(queues.entry(service.id).or_insert_with(|| Arc::new(Queue::new(service.id))))
    }
}

/// The requests of a service, in flight and waiting.
#[derive(Debug)]
pub(crate) struct Queue {
    service: u32,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    max: usize,
    in_flight: usize,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    tickets: u64,
}

/// What came of asking for a place.
#[derive(Debug)]
pub(crate) enum Asked {
    /// There was one.
    Place(ServicePlace),
    /// There will be one.
    Wait(Waiting),
}

impl Queue {
    fn new(service: u32) -> Self {
        Self { service, line: Mutex::default() }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a place under `limit`, which may have changed since the last time.
    ///
    /// # Errors
    /// The refusal when the queue is full too.
    pub(crate) fn ask(self: &Arc<Self>, limit: &InFlightLimit) -> Result<Asked, LocalReply> {
        let mut line = self.line();
        line.max = limit.max;
        line.grant();
        if line.in_flight < line.max {
            line.in_flight += 1;
            return Ok(Asked::Place(ServicePlace(Arc::clone(self))));
        }
        if line.waiting.len() >= limit.queue_max {
            return Err(overloaded(RejectReason::QueueFull, "too many requests of this service are in flight"));
        }
        let (grant, granted) = oneshot::channel();
        line.tickets += 1;
        let ticket = line.tickets;
        line.waiting.push_back((ticket, grant));
        Ok(Asked::Wait(Waiting { queue: Arc::clone(self), ticket, granted, limit: *limit, over: false }))
    }
}

impl Line {
    /// Gives free places to those who wait, the first first.
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

/// A request in flight; dropping it gives its place to the next.
#[derive(Debug)]
pub(crate) struct ServicePlace(Arc<Queue>);

impl ServicePlace {
    /// Whether it is a place of this service.
    #[must_use]
    pub(crate) fn is_of(&self, service: &ServiceStats) -> bool {
        self.0.service == service.id
    }
}

impl Drop for ServicePlace {
    fn drop(&mut self) {
        self.0.line().leave();
    }
}

/// A request that waits; dropping it takes it off the line.
#[derive(Debug)]
pub(crate) struct Waiting {
    queue: Arc<Queue>,
    ticket: u64,
    granted: oneshot::Receiver<()>,
    limit: InFlightLimit,
    over: bool,
}

impl Waiting {
    /// Waits for the place.
    ///
    /// # Errors
    /// The refusal when it takes too long.
    pub(crate) async fn place(mut self) -> Result<ServicePlace, LocalReply> {
        match timeout(self.limit.queue_timeout, &mut self.granted).await {
            Ok(Ok(())) => {
                self.over = true;
                Ok(ServicePlace(Arc::clone(&self.queue)))
            }
            Ok(Err(_)) | Err(_) => Err(overloaded(
                RejectReason::QueueTimeout,
                "no place among the requests of this service became free in time",
            )),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut line = self.queue.line();
        match line.waiting.iter().position(|(ticket, _)| *ticket == self.ticket) {
            Some(at) => drop(line.waiting.remove(at)),
            // It was granted at the same moment.
            None => line.leave(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: InFlightLimit = InFlightLimit { max: 2, queue_max: 2, queue_timeout: Duration::from_secs(5) };

    fn place(queue: &Arc<Queue>) -> ServicePlace {
        match queue.ask(&LIMIT) {
            Ok(Asked::Place(place)) => place,
            other => panic!("no place: {other:?}"),
        }
    }

    fn wait(queue: &Arc<Queue>) -> Waiting {
        match queue.ask(&LIMIT) {
            Ok(Asked::Wait(waiting)) => waiting,
            other => panic!("no wait: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_first_who_waits_is_the_first_who_goes() {
        let queue = Arc::new(Queue::new(1));
        let (one, two) = (place(&queue), place(&queue));
        let (mut third, fourth) = (wait(&queue), wait(&queue));
        assert_eq!(queue.ask(&LIMIT).unwrap_err().reason, RejectReason::QueueFull);
        drop(one);
        assert!(third.granted.try_recv().is_ok());
        third.over = true;
        let third = ServicePlace(Arc::clone(&queue));
        assert!(matches!(queue.ask(&LIMIT), Ok(Asked::Wait(_))), "nobody overtakes");
        drop(two);
        let fourth = fourth.place().await.unwrap();
        drop((third, fourth));
        let line = queue.line();
        assert_eq!((line.in_flight, line.waiting.len()), (0, 0));
    }

    #[tokio::test]
    async fn who_leaves_the_line_leaves_no_hole() {
        let queue = Arc::new(Queue::new(1));
        let (one, two) = (place(&queue), place(&queue));
        let (third, fourth) = (wait(&queue), wait(&queue));
        drop(third);
        drop(one);
        // Granted, and gone before it knew.
        drop(fourth);
        let third = place(&queue);
        drop((two, third));
        assert_eq!(queue.line().in_flight, 0);
    }

    #[tokio::test]
    async fn a_wait_ends() {
        let queue = Arc::new(Queue::new(1));
        let _places = (place(&queue), place(&queue));
        let mut waiting = wait(&queue);
        waiting.limit.queue_timeout = Duration::from_millis(1);
        assert_eq!(waiting.place().await.unwrap_err().reason, RejectReason::QueueTimeout);
        assert_eq!(queue.line().waiting.len(), 0);
    }

    #[test]
    fn another_limit_holds_at_once() {
        let queue = Arc::new(Queue::new(1));
        let places = (place(&queue), place(&queue));
        let mut waiting = wait(&queue);
        let wider = InFlightLimit { max: 3, ..LIMIT };
        assert!(matches!(queue.ask(&wider), Ok(Asked::Wait(_))), "the new place is for the first");
        assert!(waiting.granted.try_recv().is_ok());
        drop(places);
        assert!(matches!(queue.ask(&InFlightLimit { max: 1, ..LIMIT }), Ok(Asked::Wait(_))));
    }

    #[test]
    fn capacities_are_exact_or_of_a_worker() {
        let process = Capacity::of_process(2);
        let places: Vec<_> = (0..2).map(|_| process.enter(1).unwrap()).collect();
        assert_eq!(process.clone().enter(1).unwrap_err().reason, RejectReason::Overloaded);
        drop(places);
        assert!(process.enter(1).is_ok());
        let worker = Capacity::Worker(2);
        assert!(worker.enter(2).is_ok() && worker.enter(3).is_err());
    }
}

//! A connection that is idle for a while is parked: its codec is taken down, and its socket is all that is left of it.
//!
//! A connection that is served has the state of its request, some 4 KiB (its buffers it has only while they are in
//! use); most connections of an edge proxy are idle most of the time. So after [`PARK_AFTER`] in which the client sent
//! nothing, the connection waits for the next byte without it. It is a new one that reads it: nothing is carried over
//! but the time that the client has left.
//!
//! When that is safe is [`IdleTimer`]'s to say, and it never guesses: a byte that was read and not dealt with, or one
//! that was not written, and the connection stays as it is.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::worker::Worker;
use crate::proxy::accept::client_stream::ClientStream;
use crate::proxy::connection::client_connection::ClientConnection;

/// How long a connection stays ready for the next request before it is parked. Browsers ask for what belongs to a page
/// within a second or so; a client that comes back later pays for a new codec, some microseconds. Longer, and more
/// connections that are not needed any more would hold memory: at 1,000 that fall idle a second, 3 MiB more for each
/// second more.
pub(crate) const PARK_AFTER: Duration = Duration::from_secs(2);

/// How long a connection has rested, and may rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleTimer {
    /// When its next head is due.
    pub(crate) due: Instant,
    /// Since when it has waited for it.
    pub(crate) idle_since: Instant,
    /// How long it has to rest before it is parked.
    pub(crate) park_after: Duration,
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ParkDecision {
    /// Nothing; look again then.
    Again(Instant),
    /// A head is overdue.
    Overdue,
    /// It can be parked.
    Park,
}

impl IdleTimer {
    /// Looks at the connection, which has nothing to read or to write if it is `at_rest`. Called by one timer a
    /// connection, not by requests: about once in `park_after` while it is busy.
    pub(crate) fn decide(&self, now: Instant, at_rest: bool) -> ParkDecision {
        let parks = self.idle_since + self.park_after;
        if self.due <= now {
            ParkDecision::Overdue
        } else if !at_rest {
            ParkDecision::Again((now + self.park_after).min(self.due))
        } else if parks <= now {
            ParkDecision::Park
        } else {
            ParkDecision::Again(parks.min(self.due))
        }
    }
}

/// How the time in the park ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wakeup {
    /// There is something to read, be it the end.
    Readable,
    /// The client's time is over, or the worker drains.
    Over,
    /// Another connection needs the room.
    Displaced,
}

/// A connection without its buffers.
#[derive(Debug)]
pub(crate) struct ParkedConnection {
    pub(crate) stream: ClientStream,
    /// When its next head is due.
    pub(crate) due: Instant,
    /// Since when it has waited for it: longer than it is parked.
    pub(crate) idle_since: Instant,
}

impl ParkedConnection {
    /// Waits on the bare socket.
    pub(crate) async fn wait(&self, worker: &Worker, peer: &ClientConnection) -> Wakeup {
        let _counted = ParkedGuard::new(worker);
        let waiting = peer.waits(self.idle_since);
        let mut drain = pin!(worker.drained());
        let mut due = pin!(sleep_until(self.due));
        poll_fn(|cx| {
            use std::future::Future as _;
            // First: a request that is there already is answered, whatever else is due.
            if self.stream.poll_readable(cx).is_ready() {
                return std::task::Poll::Ready(Wakeup::Readable);
            }
            if waiting.poll_displaced(cx).is_ready() {
                return std::task::Poll::Ready(Wakeup::Displaced);
            }
            let over = drain.as_mut().poll(cx).is_ready() || due.as_mut().poll(cx).is_ready();
            if over { std::task::Poll::Ready(Wakeup::Over) } else { std::task::Poll::Pending }
        })
        .await
    }
}

/// Counts a parked connection; dropping it counts it out.
struct ParkedGuard<'w>(&'w Worker);

impl<'w> ParkedGuard<'w> {
    fn new(worker: &'w Worker) -> Self {
        worker.stats.parked();
        Self(worker)
    }
}

impl Drop for ParkedGuard<'_> {
    fn drop(&mut self) {
        self.0.stats.unparked();
    }
}

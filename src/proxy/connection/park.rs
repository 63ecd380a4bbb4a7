//! A connection that is idle for a while is parked: its codec is taken down, and its socket is all that is left of it.
//!
//! hyper keeps a buffer for reading and one for writing, 8 KiB each, as long as the connection lives; most connections of
//! an edge proxy are idle most of the time. So after [`PARK_AFTER`] in which the client sent nothing, the connection waits
//! for the next byte without a codec. It is a new one that reads it: nothing is carried over but the time that the
//! client has left.
//!
//! When that is safe is [`Rest`]'s to say, and it never guesses: a byte that was read and not dealt with, or one that was
//! not written, and the connection stays as it is.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::client_stream::ClientStream;
use super::super::watched::Tap;
use super::super::worker::Worker;
use super::head_clock::HeadClock;

/// How long a connection stays ready for the next request before it is parked. Browsers ask for what belongs to a page
/// within a second or so; a client that comes back later pays for a new codec, some microseconds. Longer, and more
/// connections that nobody needs any more would hold buffers: at 1,000 that fall idle a second, 19 MiB more for each
/// second more.
pub const PARK_AFTER: Duration = Duration::from_secs(2);

/// Whether a connection is at rest, seen by the clock of its heads and the tap on its bytes.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) clock: HeadClock,
    pub(super) tap: Rc<Tap>,
    /// Longest wait for a head.
    pub(super) idle_timeout: Duration,
    /// How long it has to rest before it is parked.
    pub(super) park_after: Duration,
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// Nothing; look again then.
    Again(Instant),
    /// A head is overdue.
    Overdue,
    /// It can be parked. Its next head is due then.
    Park(Instant),
}

impl Rest {
    /// Looks at the connection. Called by one timer a connection, not by requests: about once in `park_after` while it is
    /// busy.
    pub(super) fn look(&self, now: Instant) -> Look {
        let later = now + self.park_after.min(self.idle_timeout);
        let Some(due) = self.clock.due() else { return Look::Again(later) };
        if due <= now {
            return Look::Overdue;
        }
        if !self.tap.is_at_rest() {
            return Look::Again(later.min(due));
        }
        // The wait began its own length before its end; earlier ends are of connections that were parked before.
        let idle_for = (now + self.idle_timeout).saturating_duration_since(due);
        match self.park_after.checked_sub(idle_for) {
            None | Some(Duration::ZERO) => Look::Park(due),
            Some(left) => Look::Again((now + left).min(due)),
        }
    }
}

/// How the time in the park ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// There is something to read, be it the end.
    Readable,
    /// The client's time is over, or the worker drains.
    Over,
}

/// Waits on the bare socket of `stream`, whose next head is due then.
pub(super) async fn wait(worker: &Worker, stream: &ClientStream, due: Instant) -> Left {
    let _counted = Counted::new(worker);
    let mut drain = pin!(worker.drained());
    let mut due = pin!(sleep_until(due));
    poll_fn(|cx| {
        use std::future::Future as _;
        // First: a request that is there already is answered, whatever else is due.
        if stream.poll_readable(cx).is_ready() {
            return std::task::Poll::Ready(Left::Readable);
        }
        let over = drain.as_mut().poll(cx).is_ready() || due.as_mut().poll(cx).is_ready();
        if over { std::task::Poll::Ready(Left::Over) } else { std::task::Poll::Pending }
    })
    .await
}

/// Counts a parked connection; dropping it counts it out.
struct Counted<'w>(&'w Worker);

impl<'w> Counted<'w> {
    fn new(worker: &'w Worker) -> Self {
        worker.stats.parked();
        Self(worker)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.stats.unparked();
    }
}

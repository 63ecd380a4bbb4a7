//! The time that heads may take, without a timer for each of them.
//!
//! hyper makes a timer whenever it begins to wait for a head, and drops it when the head is there. As one of tokio's that
//! would be an entry in the runtime's wheel, made and removed, for every request. Here it is a note of when the head is
//! due; the connection, which looks up from time to time anyway, sees to it.
//!
//! The note tells what hyper tells nobody: while it stands, the connection waits for a head. So no request is in the
//! service and no answer is alive, and the wait began its own length before it is due.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant as StdInstant};

use hyper::rt::{Sleep, Timer};
use tokio::time::Instant;

/// The clock of one connection. hyper wants to share it between threads, so its cells are atomics that nobody contends
/// for: a plain store at the start and the end of each wait.
#[derive(Clone, Debug)]
pub struct HeadClock(Arc<Note>);

#[derive(Debug)]
struct Note {
    start: Instant,
    /// Nanoseconds after `start`; 0 while nobody waits.
    due: AtomicU64,
    /// No wait ends after this, in nanoseconds after `start`. Holds for the first one only.
    first_due_max: AtomicU64,
    is_over: AtomicBool,
}

/// What hyper takes for a timer.
struct Waiting(Arc<Note>);

impl HeadClock {
    /// A clock for a connection whose first head is due then at the latest, if that is known.
    #[must_use]
    pub fn new(first_due_max: Option<Instant>) -> Self {
        let start = Instant::now();
        let nanos = first_due_max.map_or(u64::MAX, |at| nanos_between(start, at));
        let (due, first_due_max) = (AtomicU64::new(0), AtomicU64::new(nanos));
        Self(Arc::new(Note { start, due, first_due_max, is_over: AtomicBool::new(false) }))
    }

    /// When the head that is waited for is due; `None` while no head is waited for.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let due = self.0.due.load(Relaxed);
        (due > 0).then(|| self.0.start + Duration::from_nanos(due))
    }

    /// Ends the wait. hyper sees it when it is polled next, which is for the caller to do.
    pub fn end_wait(&self) {
        self.0.is_over.store(true, Relaxed);
    }

    fn begin_wait(&self, deadline: StdInstant) {
        let due = nanos_between(self.0.start, Instant::from_std(deadline));
        let due = due.min(self.0.first_due_max.swap(u64::MAX, Relaxed));
        self.0.is_over.store(false, Relaxed);
        self.0.due.store(due, Relaxed);
    }
}

/// At least 1, so that it is never taken for nothing.
fn nanos_between(start: Instant, end: Instant) -> u64 {
    u64::try_from(end.saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX).max(1)
}

impl Timer for HeadClock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn Sleep>> {
        self.begin_wait(deadline);
        Box::pin(Waiting(Arc::clone(&self.0)))
    }

    fn now(&self) -> StdInstant {
        Instant::now().into_std()
    }

    /// Not as hyper would do it: the old wait, dropped after the new one began, would take its note away.
    fn reset(&self, _the_same_note: &mut Pin<Box<dyn Sleep>>, new_deadline: StdInstant) {
        self.begin_wait(new_deadline);
    }
}

impl Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.is_over.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.due.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(75);

    fn is_over(sleep: &mut Pin<Box<dyn Sleep>>) -> bool {
        sleep.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn a_wait_is_noted_until_it_is_dropped() {
        let clock = HeadClock::new(None);
        assert_eq!(clock.due(), None);
        let deadline = clock.now() + LIMIT;
        let mut wait = clock.sleep_until(deadline);
        assert_eq!(clock.due(), Some(Instant::from_std(deadline)));
        clock.reset(&mut wait, deadline + LIMIT);
        assert_eq!(clock.due(), Some(Instant::from_std(deadline + LIMIT)));
        assert!(!is_over(&mut wait));
        clock.end_wait();
        assert!(is_over(&mut wait));
        drop(wait);
        assert_eq!(clock.due(), None);
        assert!(!is_over(&mut clock.sleep(LIMIT)), "the next one is a wait of its own");
    }

    #[test]
    fn only_the_first_head_is_due_when_the_wait_before_said() {
        let until = Instant::now() + Duration::from_secs(1);
        let clock = HeadClock::new(Some(until));
        let first = clock.sleep(LIMIT);
        assert_eq!(clock.due(), Some(until));
        drop(first);
        let _second = clock.sleep(LIMIT);
        assert!(clock.due() > Some(until + LIMIT / 2));
        let past = HeadClock::new(Some(until - LIMIT));
        let _wait = past.sleep(LIMIT);
        assert!(past.due() < Some(until), "a due time that has passed is not forgotten");
    }
}

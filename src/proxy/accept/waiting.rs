//! Connections that wait for their client, of which one goes when another one needs the room.
//!
//! A permit that a silent client holds keeps a client out that would ask for something. So when a listener, or the
//! process, has as many connections as it may, the one that has waited longest is closed for the one that comes; and
//! when an address has as many as it may, the longest waiting of its own. What waits has not sent its first request
//! yet, or is parked, or has no stream (HTTP/2) or begun a head and not gone on for as long as others take to be
//! parked. A connection with a request in flight never waits.
//!
//! Each worker keeps a list of its own for each listener, which no other thread touches and no request but the first
//! pays for: after that, a connection is entered when it has waited for a while, by the timer that it has anyway. What
//! the others know of a list is a [`WaitingSummary`], in which they leave orders: to close the longest waiting of all,
//! a worker orders it from the one that has it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a connection has before another one may have its permit, even if it waits longest: time for a handshake on
/// most ways. At 10,000 permits, 100,000 connections a second have to come to be a nuisance.
pub(crate) const YOUNG: Duration = Duration::from_millis(100);

/// The time of an empty list.
const NEVER: u64 = u64::MAX;

/// What other workers know of a list.
#[derive(Debug)]
pub(crate) struct WaitingSummary {
    /// Since when the first of it waits, in milliseconds of the process's clock.
    longest_ms: AtomicU64,
    count: AtomicUsize,
    /// How many are to be closed, by order of others.
    ordered: AtomicUsize,
    orders: Notify,
}

impl Default for WaitingSummary {
    fn default() -> Self {
        let (count, ordered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { longest_ms: AtomicU64::new(NEVER), count, ordered, orders: Notify::new() }
    }
}

impl WaitingSummary {
    /// Orders that one of the list is closed, if there is one that has no order yet.
    fn order(&self) -> bool {
        let room = |ordered| (ordered < self.count.load(SeqCst)).then_some(ordered + 1);
        let ordered = self.ordered.fetch_update(SeqCst, SeqCst, room).is_ok();
        if ordered {
            self.orders.notify_one();
        }
        ordered
    }
}

/// Closes the connection that has waited longest at `now_ms`, of all that these lists have. Whether there was one; it
/// is gone in a moment.
#[must_use]
pub(crate) fn displace_longest(lists: &[Arc<WaitingSummary>], now_ms: u64) -> bool {
    let mut by_time: Vec<_> = lists.iter().map(|list| (list.longest_ms.load(SeqCst), list)).collect();
    by_time.sort_unstable_by_key(|(longest_ms, _)| *longest_ms);
    let grown = |since_ms: u64| since_ms != NEVER && Duration::from_millis(now_ms.saturating_sub(since_ms)) >= YOUNG;
    by_time.into_iter().any(|(longest_ms, list)| grown(longest_ms) && list.order())
}

/// The connections of one worker's listener that wait.
#[derive(Debug)]
pub(crate) struct WaitingList {
    summary: Arc<WaitingSummary>,
    clock_start: Instant,
    next: Cell<u64>,
    by_time: RefCell<BTreeMap<WaitingKey, Rc<WaitingEntry>>>,
    by_client: RefCell<BTreeSet<(u128, WaitingKey)>>,
}

/// Since when a connection waits, and its number.
type WaitingKey = (Instant, u64);

#[derive(Debug)]
struct WaitingEntry {
    list: Rc<WaitingList>,
    key: WaitingKey,
    /// The client it counts for.
    client: Option<u128>,
    displaced: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A connection on the list; dropping it takes it off. One pointer: each idle connection has one.
#[derive(Debug)]
pub(crate) struct WaitingConnection(Rc<WaitingEntry>);

impl WaitingList {
    /// An empty list, which tells others of itself by `summary`, in time since `clock_start`.
    #[must_use]
    pub(crate) fn new(summary: Arc<WaitingSummary>, clock_start: Instant) -> Rc<Self> {
        Rc::new(Self {
            summary,
            clock_start,
            next: Cell::new(0),
            by_time: RefCell::default(),
            by_client: RefCell::default(),
        })
    }

    /// Enters a connection of `client` that has waited since then.
    #[must_use]
    pub(crate) fn enter(self: &Rc<Self>, since: Instant, client: Option<u128>) -> WaitingConnection {
        let key = (since, self.next.replace(self.next.get() + 1));
        let (displaced, waker) = (Cell::new(false), RefCell::default());
        let entry = Rc::new(WaitingEntry { list: Rc::clone(self), key, client, displaced, waker });
        self.by_time.borrow_mut().insert(key, Rc::clone(&entry));
        if let Some(client) = client {
            self.by_client.borrow_mut().insert((client, key));
        }
        self.tell();
        WaitingConnection(entry)
    }

    /// Closes the one that has waited longest. Whether there was one.
    fn displace_first(&self) -> bool {
        let first = self.by_time.borrow().first_key_value().map(|(key, _)| *key);
        first.is_some_and(|key| self.displace(key))
    }

    /// Closes the one of `client` that has waited longest at `now`. Whether there was one.
    #[must_use]
    pub(crate) fn displace_of(&self, client: u128, now: Instant) -> bool {
        let from = (client, (self.clock_start, 0));
        let first = self.by_client.borrow().range(from..).next().copied();
        first.is_some_and(|(found, key)| found == client && key.0 + YOUNG <= now && self.displace(key))
    }

    fn displace(&self, key: WaitingKey) -> bool {
        let Some(entry) = self.take(key) else { return false };
        entry.displaced.set(true);
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
        true
    }

    fn take(&self, key: WaitingKey) -> Option<Rc<WaitingEntry>> {
        let entry = self.by_time.borrow_mut().remove(&key)?;
        if let Some(client) = entry.client {
            self.by_client.borrow_mut().remove(&(client, key));
        }
        self.tell();
        Some(entry)
    }

    fn tell(&self) {
        let by_time = self.by_time.borrow();
        let ms = |since: Instant| {
            u64::try_from(since.saturating_duration_since(self.clock_start).as_millis()).unwrap_or(NEVER - 1)
        };
        self.summary.longest_ms.store(by_time.first_key_value().map_or(NEVER, |((since, _), _)| ms(*since)), SeqCst);
        self.summary.count.store(by_time.len(), SeqCst);
    }

    /// Does what other workers order, for ever.
    pub(crate) async fn serve(self: Rc<Self>) {
        loop {
            self.summary.orders.notified().await;
            for _ in 0..self.summary.ordered.load(SeqCst) {
                // One that has left by itself meanwhile has made room as well.
                self.displace_first();
                self.summary.ordered.fetch_sub(1, SeqCst);
            }
        }
    }
}

impl WaitingConnection {
    /// Ready when another connection needs the room.
    pub(crate) fn poll_displaced(&self, cx: &Context<'_>) -> Poll<()> {
        if self.0.displaced.get() {
            return Poll::Ready(());
        }
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until another connection needs the room.
    pub(crate) async fn displaced(&self) {
        poll_fn(|cx| self.poll_displaced(cx)).await;
    }
}

impl Drop for WaitingConnection {
    fn drop(&mut self) {
        self.0.list.take(self.0.key);
    }
}

/// What comes of `beginning`, all that happens before a connection's first request is read; nothing if another
/// connection needs the room of this one, which is `waiting`.
pub(crate) async fn unless_displaced<T>(waiting: &WaitingConnection, beginning: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        begun = beginning => Some(begun),
        () = waiting.displaced() => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Long after everything.
    const LATE_MS: u64 = 1_000_000;

    fn lists(count: usize) -> (Vec<Arc<WaitingSummary>>, Vec<Rc<WaitingList>>, Instant) {
        let (summaries, now): (Vec<Arc<WaitingSummary>>, _) =
            ((0..count).map(|_| Arc::default()).collect(), Instant::now());
        let lists = summaries.iter().map(|summary| WaitingList::new(Arc::clone(summary), now)).collect();
        (summaries, lists, now)
    }

    /// Lets each list do what was ordered.
    async fn serve(lists: &[Rc<WaitingList>]) {
        for list in lists {
            let served = timeout(Duration::from_millis(1), Rc::clone(list).serve());
            assert!(served.await.is_err(), "it goes on for ever");
        }
    }

    #[tokio::test]
    async fn the_longest_waiting_of_all_lists_goes_first() {
        let (summaries, lists, now) = lists(3);
        let at = |list: usize, seconds: u64| lists[list].enter(now + Duration::from_secs(seconds), None);
        let waiting = [at(0, 5), at(1, 2), at(1, 9), at(2, 3)];
        let displaced = || waiting.iter().map(|waiting| waiting.0.displaced.get()).collect::<Vec<_>>();
        for wanted in [[false, true, false, false], [false, true, false, true], [true, true, false, true], [true; 4]] {
            assert!(displace_longest(&summaries, LATE_MS));
            serve(&lists).await;
            assert_eq!(displaced(), wanted);
        }
        assert!(!displace_longest(&summaries, LATE_MS), "nobody is left");
        drop(waiting);
        assert!(lists.iter().all(|list| list.by_time.borrow().is_empty()));
    }

    #[tokio::test]
    async fn one_that_has_only_just_come_has_a_moment() {
        let (summaries, lists, now) = lists(1);
        let waiting = lists[0].enter(now + Duration::from_millis(1000), Some(1));
        assert!(!displace_longest(&summaries, 1099) && !lists[0].displace_of(1, now + Duration::from_millis(1099)));
        assert!(displace_longest(&summaries, 1100) && lists[0].displace_of(1, now + Duration::from_millis(1100)));
        drop(waiting);
    }

    #[tokio::test]
    async fn no_more_are_ordered_than_there_are() {
        let (summaries, lists, now) = lists(2);
        let (one, two) = (lists[0].enter(now, None), lists[1].enter(now, None));
        assert_eq!([(); 4].map(|()| displace_longest(&summaries, LATE_MS)), [true, true, false, false]);
        // It leaves by itself before the order is done, which is not left for the next one then.
        drop(one);
        serve(&lists).await;
        let next = lists[0].enter(now, None);
        serve(&lists).await;
        assert!(two.0.displaced.get() && !next.0.displaced.get());
        assert!(displace_longest(&summaries, LATE_MS));
    }

    #[tokio::test]
    async fn a_client_displaces_its_own() {
        let (_, lists, now) = lists(1);
        let list = &lists[0];
        let at = |client, seconds| list.enter(now + Duration::from_secs(seconds), Some(client));
        let (other, late, early) = (at(1, 1), at(2, 8), at(2, 4));
        let displace = |client| list.displace_of(client, now + Duration::from_secs(60));
        assert!(displace(2) && early.0.displaced.get() && !late.0.displaced.get());
        assert!(!displace(0) && !displace(3), "it has none");
        assert!(displace(2) && !displace(2) && !other.0.displaced.get());
        drop((other, late, early));
        assert!(list.by_client.borrow().is_empty() && list.by_time.borrow().is_empty());
    }

    #[tokio::test]
    async fn who_is_told_wakes() {
        let (summaries, lists, now) = lists(1);
        let waiting = lists[0].enter(now, None);
        let (served, displaced) = (Rc::clone(&lists[0]).serve(), waiting.displaced());
        assert!(displace_longest(&summaries, LATE_MS));
        tokio::select! {
            () = served => unreachable!("it goes on for ever"),
            () = displaced => {}
        }
    }
}

//! Tells clients that wait for it that flags have changed.
//!
//! Each client has a receiver of a channel that holds one value, the last one. So a client that is slow, or whose
//! connection is full, misses what came in between and never the last change; and what it costs does not grow with the
//! number of changes. A queue for each would need a bound, and an answer to what is lost at the bound.
//!
//! Heartbeats come over the same channel, or each client would need a timer. There are several channels, which are told
//! one after the other: ten thousand clients that are woken in the same moment would keep the workers from requests for
//! a tenth of a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::change_event::{FlagEdition, HEARTBEAT};

/// How many channels there are.
pub(crate) const CHANNELS: usize = 64;

/// A client that comes within this time after a change and does not say what it knows is told of it: it may have asked
/// for its flags before.
const RECENT: Duration = Duration::from_secs(60);

/// What is told.
#[derive(Clone, Debug)]
struct Signal {
    /// The number of the change; 0 is the start.
    number: u64,
    edition: FlagEdition,
    event: Bytes,
    /// When flags changed; `None`: not since the start.
    changed_at: Option<Instant>,
}

/// The channels, and how many clients wait.
#[derive(Debug)]
pub(crate) struct ChangeFeed {
    /// The last change. Clients that come know of it, also while their channel does not.
    last: watch::Sender<Signal>,
    channels: Box<[watch::Sender<Signal>]>,
    next: AtomicUsize,
    open: AtomicUsize,
    open_max: usize,
}

/// A client that waits for changes; dropping it gives its place up.
#[derive(Debug)]
pub(crate) struct FeedSubscription {
    feed: Arc<ChangeFeed>,
    receiver: watch::Receiver<Signal>,
    /// What it is told first.
    first: Option<Bytes>,
    /// The number of the change that it was told of last.
    knows: u64,
}

impl Signal {
    /// Whether a client that knows this id has missed nothing. After a change it has to be the very edition: that flags
    /// are again as they were when the client was told does not say that they were so when it asked for them.
    fn is_known(&self, id: &[u8]) -> bool {
        if self.number == 0 { self.edition.has_id(id) } else { self.edition.to_string().as_bytes() == id }
    }
}

impl ChangeFeed {
    /// A feed for up to `open_max` clients. `edition` is in force since `since`, in seconds since 1970.
    #[must_use]
    pub(crate) fn new(edition: FlagEdition, since: i64, open_max: usize) -> Arc<Self> {
        let signal = Signal { number: 0, edition, event: edition.event(since), changed_at: None };
        let channels = (0..CHANNELS).map(|_| watch::Sender::new(signal.clone())).collect();
        let (next, open) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { last: watch::Sender::new(signal), channels, next, open, open_max })
    }

    /// Waits for changes on behalf of a client that knows the edition of this id. `None`: there are as many as may be.
    #[must_use]
    pub(crate) fn subscribe(self: &Arc<Self>, last_id: Option<&[u8]>, now: Instant) -> Option<FeedSubscription> {
        let room = |open: usize| (open < self.open_max).then_some(open + 1);
        self.open.fetch_update(Relaxed, Relaxed, room).ok()?;
        let channel = self.next.fetch_add(1, Relaxed) % self.channels.len();
        // In this order, so that no change falls between the two.
        let receiver = self.channels[channel].subscribe();
        let last = self.last.borrow();
        let missed = match last_id {
            Some(id) => !last.is_known(id),
            None => last.changed_at.is_some_and(|at| now.saturating_duration_since(at) <= RECENT),
        };
        let first = Some(if missed { last.event.clone() } else { last.edition.greeting() });
        Some(FeedSubscription { feed: Arc::clone(self), receiver, first, knows: last.number })
    }

    /// The edition that is in force.
    #[must_use]
    pub(crate) fn edition(&self) -> FlagEdition {
        self.last.borrow().edition
    }

    /// Flags have changed: clients that come know of it, and those of a channel when that is [told](Self::tell).
    pub(crate) fn change(&self, edition: FlagEdition, since: i64, now: Instant) {
        self.last.send_modify(|last| {
            *last = Signal { number: last.number + 1, edition, event: edition.event(since), changed_at: Some(now) }
        });
    }

    /// Tells the clients of one channel of the last change.
    pub(crate) fn tell(&self, channel: usize) {
        let signal = self.last.borrow().clone();
        self.channels[channel % self.channels.len()].send_replace(signal);
    }

    /// Has the clients of one channel get a heartbeat.
    pub(crate) fn beat(&self, channel: usize) {
        self.channels[channel % self.channels.len()].send_modify(|_same| {});
    }
}

impl FeedSubscription {
    /// What the client is told next; `None`: nothing any more.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        self.receiver.changed().await.ok()?;
        let signal = self.receiver.borrow_and_update();
        if signal.number <= self.knows {
            return Some(HEARTBEAT);
        }
        self.knows = signal.number;
        Some(signal.event.clone())
    }
}

impl Drop for FeedSubscription {
    fn drop(&mut self) {
        self.feed.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(revision: u64, fingerprint: u64) -> FlagEdition {
        FlagEdition { revision, fingerprint }
    }

    async fn said(client: &mut FeedSubscription) -> String {
        let bytes = client.next().await.expect("an open feed");
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    fn tell_all(feed: &ChangeFeed, edition: FlagEdition) {
        feed.change(edition, 5, Instant::now());
        (0..CHANNELS).for_each(|channel| feed.tell(channel));
    }

    #[tokio::test]
    async fn a_slow_client_gets_the_last_change_and_none_in_between() {
        let feed = ChangeFeed::new(edition(1, 10), 0, 10);
        let mut client = feed.subscribe(None, Instant::now()).expect("a place");
        assert_eq!(said(&mut client).await, "retry: 2000\nid: 1-000000000000000a\n\n");
        for revision in 2..=5 {
            tell_all(&feed, edition(revision, 10 + revision));
        }
        assert!(said(&mut client).await.starts_with("id: 5-000000000000000f\nevent: message\ndata: {"));
        (0..CHANNELS).for_each(|channel| feed.beat(channel));
        assert_eq!(said(&mut client).await, ":\n\n", "and only that one");
        // A change that comes together with a heartbeat is a change.
        tell_all(&feed, edition(6, 16));
        (0..CHANNELS).for_each(|channel| feed.beat(channel));
        assert!(said(&mut client).await.contains("id: 6-"));
        assert_eq!(feed.edition(), edition(6, 16));
    }

    #[tokio::test]
    async fn a_client_that_comes_back_is_told_what_it_missed_at_once() {
        let feed = ChangeFeed::new(edition(7, 70), 0, 10);
        for (last_id, missed) in
            [("7-0000000000000046", false), ("3-0000000000000046", false), ("6-0000000000000045", true)]
        {
            let mut client = feed.subscribe(Some(last_id.as_bytes()), Instant::now()).expect("a place");
            let first = said(&mut client).await;
            assert_eq!(first.contains("refetchEvaluation"), missed, "{last_id}: {first}");
            assert!(first.contains("id: 7-0000000000000046\n"), "{first}");
        }
        assert!(said(&mut feed.subscribe(Some(b"x"), Instant::now()).expect("a place")).await.contains("refetch"));
    }

    #[tokio::test]
    async fn a_client_that_comes_before_its_channel_is_told_is_told_once() {
        let feed = ChangeFeed::new(edition(1, 10), 0, 10);
        feed.change(edition(2, 20), 5, Instant::now());
        let mut client = feed.subscribe(Some(b"2-0000000000000014"), Instant::now()).expect("a place");
        assert!(said(&mut client).await.starts_with("retry: "), "it knows of the change");
        (0..CHANNELS).for_each(|channel| feed.beat(channel));
        assert_eq!(said(&mut client).await, ":\n\n", "what its channel says is older");
        (0..CHANNELS).for_each(|channel| feed.tell(channel));
        assert_eq!(said(&mut client).await, ":\n\n", "it is no news");
        tell_all(&feed, edition(3, 30));
        assert!(said(&mut client).await.contains("id: 3-"));
    }

    #[tokio::test]
    async fn a_client_that_may_have_asked_before_a_change_is_told_of_it() {
        let feed = ChangeFeed::new(edition(1, 10), 0, 10);
        tell_all(&feed, edition(2, 20));
        assert!(said(&mut feed.subscribe(None, Instant::now()).expect("a place")).await.contains("refetchEvaluation"));
        let later = Instant::now() + RECENT + Duration::from_secs(1);
        assert!(said(&mut feed.subscribe(None, later).expect("a place")).await.starts_with("retry: "));
    }

    /// It was told of the first change, and may have asked for its flags during the second one.
    #[tokio::test]
    async fn a_client_is_told_of_flags_that_are_again_as_they_were() {
        let feed = ChangeFeed::new(edition(1, 10), 0, 10);
        let mut client = feed.subscribe(None, Instant::now()).expect("a place");
        said(&mut client).await;
        tell_all(&feed, edition(2, 20));
        assert!(said(&mut client).await.contains("id: 2-"));
        feed.change(edition(3, 30), 5, Instant::now());
        tell_all(&feed, edition(4, 20));
        assert!(said(&mut client).await.contains("id: 4-"));
        let mut back = feed.subscribe(Some(b"2-0000000000000014"), Instant::now()).expect("a place");
        assert!(said(&mut back).await.contains("id: 4-"));
        let mut knows = feed.subscribe(Some(b"4-0000000000000014"), Instant::now()).expect("a place");
        assert!(said(&mut knows).await.starts_with("retry: "));
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let feed = ChangeFeed::new(edition(1, 10), 0, 100);
        let mut clients: Vec<_> = (0..100).map(|_| feed.subscribe(None, Instant::now()).expect("a place")).collect();
        assert!(feed.subscribe(None, Instant::now()).is_none());
        let on_first = clients.iter().filter(|client| client.receiver.same_channel(&feed.channels[0].subscribe()));
        assert!((1..=2).contains(&on_first.count()), "they are spread over the channels");
        clients.truncate(50);
        assert!(feed.subscribe(None, Instant::now()).is_some());
    }
}

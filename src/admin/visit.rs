//! One connection to the admin API: who is at its other end, and whose turn it is.
//!
//! A client that says nothing, half a head or a body without an end, or that takes no answer, keeps its connection
//! waiting for it. How long it may do so depends on what it owes; a connection whose turn is ours is never closed for
//! another client. Deadlines are counted from the beginning of a turn, not from the last byte: one byte a second is no
//! progress.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::shared::client_prefix::block;
use crate::stats::labels::AdminRefused;

/// How long a head may take, from its first byte or from the beginning of the connection: a head is one packet, and
/// this is several retransmissions of it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The same for a body. A call that waits for its body for so long is answered before that; this is for what is left of
/// bodies that were not asked for.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an answer may take to be read: metrics of ten thousand services are a few MiB.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection may be without a call: longer than the pause between two scrapes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How often deadlines are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Origin {
    /// The unix socket, which only its owner can open.
    Unix,
    /// This machine.
    Loopback,
    /// Elsewhere: what counts as one client.
    Remote(u128),
}

impl Origin {
    /// The origin of a TCP connection.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.to_canonical().is_loopback() { Self::Loopback } else { Self::Remote(block(address)) }
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(self) -> bool {
        matches!(self, Self::Unix | Self::Loopback)
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// The client's handshake, which has a limit of its own.
    Handshake,
    /// The client's head.
    Head,
    /// The client's body.
    Body,
    /// Our answer.
    Ours,
    /// The client to take the answer.
    Taking,
    /// The next head, of which there is nothing yet.
    Idle,
    /// Nothing: the answer is a stream, of which all that there was is taken.
    Streaming,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// The address, for the log.
    pub(crate) from: String,
    turn: Mutex<(Turn, Instant)>,
    /// When the body of the call under way was first waited for.
    body: Mutex<Option<Instant>>,
    known: AtomicBool,
    streams: AtomicBool,
    displaced: Notify,
}

impl Visit {
    /// A connection that begins.
    pub(crate) fn new(origin: Origin, from: String, now: Instant) -> Self {
        Self {
            origin,
            from,
            turn: Mutex::new((Turn::Head, now)),
            body: Mutex::default(),
            known: AtomicBool::new(false),
            streams: AtomicBool::new(false),
            displaced: Notify::new(),
        }
    }

    fn turn(&self) -> MutexGuard<'_, (Turn, Instant)> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handshake begins.
    pub(crate) fn shakes_hands(&self, now: Instant) {
        *self.turn() = (Turn::Handshake, now);
    }

    /// The handshake is over: the head has its whole time.
    pub(crate) fn secured(&self, now: Instant) {
        *self.turn() = (Turn::Head, now);
    }

    /// A head is there.
    pub(crate) fn called(&self, now: Instant) {
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.streams.store(false, Relaxed);
        *self.turn() = (Turn::Ours, now);
    }

    /// The answer to this call is a stream without an end: its client may be silent, and has for each piece of it the
    /// time that others have for an answer.
    pub(crate) fn streams(&self) {
        self.streams.store(true, Relaxed);
    }

    /// Whether the body of the call is waited for.
    pub(crate) fn awaits_body(&self, waits: bool, now: Instant) {
        let mut turn = self.turn();
        if waits && turn.0 == Turn::Ours {
            let mut since = self.body.lock().unwrap_or_else(PoisonError::into_inner);
            *turn = (Turn::Body, *since.get_or_insert(now));
        } else if !waits && turn.0 == Turn::Body {
            *turn = (Turn::Ours, now);
        }
    }

    /// The answer is there.
    pub(crate) fn responded(&self, now: Instant) {
        *self.turn() = (Turn::Taking, now);
    }

    /// All that there was to write is written.
    pub(crate) fn flushed(&self, now: Instant) {
        let mut turn = self.turn();
        if turn.0 == Turn::Taking {
            *turn = (if self.streams.load(Relaxed) { Turn::Streaming } else { Turn::Idle }, now);
        }
    }

    /// Bytes came.
    pub(crate) fn heard(&self, now: Instant) {
        let mut turn = self.turn();
        if turn.0 == Turn::Idle {
            *turn = (Turn::Head, now);
        }
    }

    /// It has shown who it is.
    pub(crate) fn known(&self) {
        self.known.store(true, Relaxed);
    }

    /// Whether it has shown who it is.
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Relaxed)
    }

    /// Since when it waits for its client; `None` while it is our turn.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        let (turn, since) = *self.turn();
        (turn != Turn::Ours).then_some(since)
    }

    /// Ends it for the sake of another one.
    pub(crate) fn displace(&self) {
        self.displaced.notify_one();
    }

    /// Why it has to end at `now`; `None` inside: it was idle, which is no refusal.
    fn overdue(&self, now: Instant) -> Option<Option<AdminRefused>> {
        let (turn, since) = *self.turn();
        let (limit, reason) = match turn {
            Turn::Head => (HEAD_TIMEOUT, Some(AdminRefused::HeadTimeout)),
            Turn::Body => (BODY_TIMEOUT, Some(AdminRefused::BodyTimeout)),
            Turn::Taking => (ANSWER_TIMEOUT, Some(AdminRefused::AnswerTimeout)),
            Turn::Idle => (IDLE_TIMEOUT, None),
            Turn::Handshake | Turn::Ours | Turn::Streaming => return None,
        };
        (now >= since + limit).then_some(reason)
    }

    /// Waits until it has to end, and says why if that is a refusal.
    pub(crate) async fn end(&self) -> Option<AdminRefused> {
        let mut displaced = false;
        loop {
            tokio::select! {
                () = self.displaced.notified() => displaced = true,
                () = sleep(LOOK_INTERVAL) => {}
            }
            // A call that came in the same moment is answered first: it may be a change that is being made.
            if displaced && self.waits_since().is_some() {
                return Some(AdminRefused::Displaced);
            }
            if let Some(why) = self.overdue(Instant::now()) {
                return why;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    fn visit(now: Instant) -> Visit {
        Visit::new(Origin::Loopback, "127.0.0.1".to_owned(), now)
    }

    /// After how many seconds from `now` on it has to end, and why.
    fn ends_after(visit: &Visit, now: Instant) -> (u64, Option<AdminRefused>) {
        let found = (0..=80).find_map(|after| Some((after, visit.overdue(now + Duration::from_secs(after))?)));
        found.expect("an end")
    }

    #[tokio::test]
    async fn each_turn_of_the_client_has_its_deadline() {
        let now = Instant::now();
        let silent = visit(now);
        assert_eq!(ends_after(&silent, now), (10, Some(AdminRefused::HeadTimeout)));
        let secret = visit(now);
        secret.shakes_hands(now);
        let long = Duration::from_secs(60);
        assert_eq!(secret.overdue(now + long), None, "a limit of its own");
        assert!(secret.waits_since().is_some(), "but it makes room");
        secret.secured(now + long);
        assert_eq!(ends_after(&secret, now + long), (10, Some(AdminRefused::HeadTimeout)));
        let endless = visit(now);
        endless.called(now);
        endless.awaits_body(true, now);
        assert_eq!(ends_after(&endless, now), (15, Some(AdminRefused::BodyTimeout)));
        let stubborn = visit(now);
        stubborn.called(now);
        stubborn.responded(now);
        assert_eq!(ends_after(&stubborn, now), (60, Some(AdminRefused::AnswerTimeout)));
        stubborn.flushed(now);
        assert_eq!(ends_after(&stubborn, now), (75, None), "idle is no refusal");
    }

    #[tokio::test]
    async fn a_trickle_gains_no_time_and_our_turn_has_no_end() {
        let second = Duration::from_secs(1);
        let mut now = Instant::now();
        let trickle = visit(now);
        trickle.called(now);
        for _ in 0..15 {
            trickle.awaits_body(true, now);
            assert_eq!(trickle.overdue(now), None);
            trickle.awaits_body(false, now);
            now += second;
        }
        trickle.awaits_body(true, now);
        assert_eq!(trickle.overdue(now), Some(Some(AdminRefused::BodyTimeout)));
        let ours = visit(now);
        ours.called(now);
        now += 3600 * second;
        assert_eq!((ours.overdue(now), ours.waits_since()), (None, None));
        // The next head begins with its first byte.
        ours.responded(now);
        ours.flushed(now);
        now += 70 * second;
        ours.heard(now);
        ours.heard(now + 5 * second);
        assert_eq!(ends_after(&ours, now), (10, Some(AdminRefused::HeadTimeout)));
    }

    #[tokio::test]
    async fn a_stream_has_no_end_while_its_client_takes_it() {
        let mut now = Instant::now();
        let stream = visit(now);
        stream.called(now);
        stream.streams();
        for _ in 0..10 {
            now += Duration::from_secs(3600);
            assert_eq!(stream.overdue(now), None);
            stream.responded(now);
            assert_eq!(ends_after(&stream, now), (60, Some(AdminRefused::AnswerTimeout)));
            stream.flushed(now);
            assert_eq!(stream.waits_since(), Some(now), "it makes room for those that have no place");
        }
        stream.called(now);
        stream.responded(now);
        stream.flushed(now);
        assert_eq!(ends_after(&stream, now), (75, None), "the next call is one as others");
    }

    #[tokio::test]
    async fn one_that_is_displaced_ends_at_once() {
        let visit = visit(Instant::now());
        visit.displace();
        assert_eq!(visit.end().await, Some(AdminRefused::Displaced));
    }

    #[tokio::test]
    async fn one_that_is_displaced_in_the_moment_of_its_call_is_answered_first() {
        let visit = visit(Instant::now());
        visit.displace();
        visit.called(Instant::now());
        let mut end = pin!(visit.end());
        let waits = poll_fn(|cx| Poll::Ready(end.as_mut().poll(cx).is_pending()));
        assert!(waits.await, "we work on it");
        visit.responded(Instant::now());
        assert_eq!(end.await, Some(AdminRefused::Displaced));
    }
}

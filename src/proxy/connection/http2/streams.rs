//! The streams of a connection: which are open, which wait for their client, and which were taken back.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep};

use super::responder::Responder;
use crate::http2::{Liveness, LivenessVerdict, PingTimes};
use crate::proxy::accept::waiting::WaitingConnection;
use crate::proxy::connection::client_connection::ClientConnection;

/// Requests that a client may take back before they are answered, in [`TAKEN_BACK_WINDOW`].
const TAKEN_BACK_MAX: u32 = 100;

/// See [`TAKEN_BACK_MAX`].
const TAKEN_BACK_WINDOW: Duration = Duration::from_secs(30);

/// When a client that says nothing is asked whether it is still there.
const PINGS: PingTimes = PingTimes { interval: Duration::from_secs(30), timeout: Duration::from_secs(20) };

/// Why a connection is told to go away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It has had no stream for too long.
    Idle,
    /// It has no stream, and another connection needs the room.
    Displaced,
    /// Its client is not worth a farewell.
    Broken(Misconduct),
}

/// Why a connection is closed with all of its streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Misconduct {
    /// Its client takes back too much.
    Flood,
    /// Its client does not answer any more.
    Silence,
}

/// How far the farewell of a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leaving {
    /// The client is told to go away, and what it begins all the same is served.
    Slowly,
    /// What it begins now is not.
    Finally,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Streams {
    open: RefCell<HashMap<tokio::task::Id, (AbortHandle, Rc<Responder>)>>,
    quiet_since: Cell<Instant>,
    taken_back: Cell<(Instant, u32)>,
    flooded: Notify,
    /// The entry among the connections that wait, while it has had no stream for a while.
    listed: RefCell<Option<WaitingConnection>>,
    /// Whether anything has come since the last look.
    heard: Cell<bool>,
    liveness: Cell<Liveness>,
    leaving: Cell<Option<Leaving>>,
    /// Once the preface was read.
    pings: RefCell<Option<PingPong>>,
}

impl Streams {
    pub(super) fn new(listed: WaitingConnection) -> Self {
        let now = Instant::now();
        Self {
            open: RefCell::default(),
            quiet_since: Cell::new(now),
            taken_back: Cell::new((now, 0)),
            flooded: Notify::new(),
            listed: RefCell::new(Some(listed)),
            heard: Cell::new(false),
            liveness: Cell::new(Liveness::Heard(now)),
            leaving: Cell::new(None),
            pings: RefCell::default(),
        }
    }

    /// The client can be asked from now on.
    pub(super) fn can_ask(&self, pings: Option<PingPong>) {
        *self.pings.borrow_mut() = pings;
    }

    /// How far the farewell is, once it has begun.
    pub(super) fn leaving(&self) -> Option<Leaving> {
        self.leaving.get()
    }

    /// Goes on with the farewell.
    pub(super) fn leave(&self, leaving: Leaving) {
        self.leaving.set(Some(leaving));
    }

    /// Something came.
    pub(super) fn heard(&self) {
        self.heard.set(true);
    }

    /// Notes a stream whose task was begun and has not run yet.
    pub(super) fn began(&self, task: &JoinHandle<()>, responder: Rc<Responder>) {
        self.open.borrow_mut().insert(task.id(), (task.abort_handle(), responder));
        // It waits no more.
        self.listed.take();
    }

    /// The stream of this task is open until the result is dropped.
    pub(super) fn opened(self: &Rc<Self>) -> Open {
        Open(Rc::clone(self))
    }

    /// A request without an answer. Dropped so, it was taken back.
    pub(super) fn unanswered(self: &Rc<Self>) -> Unanswered {
        Unanswered { streams: Rc::clone(self), answered: false }
    }

    /// Whether it has none.
    pub(super) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Resets streams that wait too long for their client, until the connection should end.
    pub(super) async fn watch(&self, waits_after: Duration, peer: &ClientConnection) -> End {
        let limit = peer.listener.idle_timeout;
        // Late by a quarter at the most.
        let look = (limit / 4).max(Duration::from_millis(1));
        loop {
            // One that waits already is looked at less often: many do.
            let pause = if self.listed.borrow().is_some() { look } else { look.min(waits_after) };
            let pause = pause.min(self.liveness.get().due(PINGS).saturating_duration_since(Instant::now()));
            tokio::select! {
                () = self.flooded.notified() => return End::Broken(Misconduct::Flood),
                () = poll_fn(|cx| self.poll_displaced(cx)) => return End::Displaced,
                () = sleep(pause) => {}
            }
            let now = Instant::now();
            if self.is_dead(now) {
                return End::Broken(Misconduct::Silence);
            }
            let open = self.open.borrow();
            let quiet_since = self.quiet_since.get();
            let quiet = open.is_empty();
            if quiet && now >= quiet_since + limit {
                return End::Idle;
            }
            if quiet && now >= quiet_since + waits_after {
                self.listed.borrow_mut().get_or_insert_with(|| peer.waits(quiet_since));
            }
            let late = |responder: &Responder| responder.waiting_since().is_some_and(|since| now >= since + limit);
            open.values().filter(|(_, responder)| late(responder)).for_each(|(stream, _)| stream.abort());
        }
    }

    /// Asks a client that has said nothing for a while. Whether it has not answered.
    fn is_dead(&self, now: Instant) -> bool {
        let mut liveness = self.liveness.get();
        let verdict = liveness.look(PINGS, now, self.heard.take());
        self.liveness.set(liveness);
        if verdict == LivenessVerdict::Ask
            && let Some(pings) = self.pings.borrow_mut().as_mut()
        {
            // The answer to the last one is taken, so that there may be another one; when it came is known already.
            let _answered = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
            if let Err(error) = pings.send_ping(Ping::opaque()) {
                tracing::debug!(%error, "a client could not be asked whether it is there");
            }
        }
        verdict == LivenessVerdict::Dead
    }

    fn poll_displaced(&self, cx: &Context<'_>) -> Poll<()> {
        self.listed.borrow().as_ref().map_or(Poll::Pending, |listed| listed.poll_displaced(cx))
    }

    fn taken_back(&self) {
        let now = Instant::now();
        let (began, count) = self.taken_back.get();
        let (began, count) = if now > began + TAKEN_BACK_WINDOW { (now, 1) } else { (began, count + 1) };
        self.taken_back.set((began, count));
        if count > TAKEN_BACK_MAX {
            self.flooded.notify_one();
        }
    }
}

/// A request that has no answer yet; dropped so, it was taken back.
#[derive(Debug)]
pub(super) struct Unanswered {
    streams: Rc<Streams>,
    answered: bool,
}

impl Unanswered {
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if !self.answered {
            self.streams.taken_back();
        }
    }
}

/// An open stream, inside its task; dropping it closes the entry.
#[derive(Debug)]
pub(super) struct Open(Rc<Streams>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(id) = tokio::task::try_id() {
            self.0.open.borrow_mut().remove(&id);
        }
        self.0.quiet_since.set(Instant::now());
    }
}

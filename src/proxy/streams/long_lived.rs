//! Streams that outlive the moment they were routed in: WebSockets, and streams of events or calls.
//!
//! A shift moves requests, which end by themselves; a WebSocket does not. It belongs to the version that it was opened
//! on, is counted there, and when that version loses its share its service's `on_shift` says what becomes of it. Each
//! worker looks at its own when there is another table, and when the time of the next one has come: a tunnel that
//! watched the table itself would be ten thousand watchers, and one that held on to the table it was routed by would
//! keep every old table alive.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::message::Headers;
use crate::message::known_headers::CONTENT_TYPE;
use crate::stats::VersionStats;
use crate::table::spec::OnShift;
use crate::table::{Name, Service, Table, Version};

/// A call that is about to end cannot be told from a stream of calls, so both get this much after a shift, whatever is
/// configured.
const CALL_GRACE: Duration = Duration::from_secs(10);

/// What kind it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamKind {
    /// A WebSocket.
    Tunnel,
    /// Server-sent events.
    Events,
    /// A call of gRPC, which may be a stream.
    Call,
}

impl StreamKind {
    /// What the response with these headers is, if it may be long.
    #[must_use]
    #[inline]
    pub(crate) fn of_response(headers: &Headers) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?;
        let is = |prefix: &[u8]| kind.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if is(b"text/event-stream") { Some(Self::Events) } else { is(b"application/grpc").then_some(Self::Call) }
    }
}

/// What serves a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamOrigin<'v> {
    pub service: &'v Service,
    pub version: &'v Version,
    /// Number of the worker.
    pub worker: usize,
}

/// The long ones of a worker.
#[derive(Debug, Default)]
pub(crate) struct LongLivedStreams {
    open: RefCell<HashMap<u64, Rc<LongLivedStream>>>,
    next: Cell<u64>,
    looked_at: RefCell<Option<Arc<Table>>>,
    draining: Cell<bool>,
    /// Told when one comes after there was none.
    first: Notify,
}

#[derive(Debug)]
struct LongLivedStream {
    kind: StreamKind,
    service: Name,
    version: Name,
    /// Whether the version had a share when this began; one that only rules reach has none to lose.
    had_share: bool,
    close_at: Cell<Option<Instant>>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl LongLivedStreams {
    /// Marks those whose version has lost its share, and closes those whose time has come. Returns the time of the
    /// next.
    pub(crate) fn review(&self, table: &Arc<Table>, now: Instant) -> Option<Instant> {
        let known = self.looked_at.borrow().as_ref().is_some_and(|known| Arc::ptr_eq(known, table));
        if !known {
            self.looked_at.replace(Some(Arc::clone(table)));
            self.open.borrow().values().for_each(|long| long.judge(table, self.draining.get(), now));
        }
        self.open.borrow().values().filter_map(|long| long.close_if_due(now)).min()
    }

    /// Waits for another table that could mean something to one of them. While there is none, a table that is put in
    /// force wakes no worker: one under load has better things to do.
    pub(crate) async fn concerned(&self, changes: &mut watch::Receiver<()>) {
        while self.open.borrow().is_empty() {
            self.first.notified().await;
        }
        // An error says that no table will follow.
        if changes.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Counts a stream in that comes from `origin`; `table` is the one in force.
    #[must_use]
    pub(crate) fn begin(self: &Rc<Self>, kind: StreamKind, origin: StreamOrigin<'_>, table: &Table) -> StreamGuard {
        let StreamOrigin { service, version, worker } = origin;
        let stream = Rc::new(LongLivedStream {
            kind,
            service: service.spec.name.clone(),
            version: version.name.clone(),
            had_share: version.weight.slots() > 0,
            close_at: Cell::new(None),
            closed: Cell::new(false),
            waker: RefCell::default(),
        });
        // It was routed by a table that may have gone since, and the next look may be far off.
        stream.judge(table, self.draining.get(), Instant::now());
        let number = self.enter(Rc::clone(&stream));
        version.stats.cell(worker).long_began();
        StreamGuard { streams: Rc::clone(self), worker, number, stream, stats: Arc::clone(&version.stats) }
    }

    /// Takes one in. Returns its number.
    fn enter(&self, long: Rc<LongLivedStream>) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut open = self.open.borrow_mut();
        if open.is_empty() {
            self.first.notify_one();
        }
        open.insert(number, long);
        number
    }

    /// The process ends: everything is treated as if its version had lost its share.
    pub(crate) fn drain(&self, table: &Arc<Table>, now: Instant) {
        self.draining.set(true);
        self.looked_at.take();
        self.review(table, now);
    }
}

impl LongLivedStream {
    /// When to close it, by the table in force.
    fn judge(&self, table: &Table, draining: bool, now: Instant) {
        let service = table.service_named(self.service.as_str());
        let share = service.and_then(|service| service.version_named(self.version.as_str())).map(|v| v.weight.slots());
        let lost = draining || (self.had_share && share.is_none_or(|share| share == 0));
        let on_shift = service.map_or(OnShift::Keep, |service| service.spec.policy.on_shift);
        let after = match on_shift {
            _ if !lost => None,
            OnShift::Keep => None,
            OnShift::Close => Some(Duration::ZERO),
            OnShift::After(grace) => Some(grace),
        };
        let least = if self.kind == StreamKind::Call { CALL_GRACE } else { Duration::ZERO };
        let close_at = after.map(|after| now + after.max(least));
        // A second shift does not prolong what the first one gave.
        let close_at = close_at.map(|at| self.close_at.get().map_or(at, |before| before.min(at)));
        self.close_at.set(close_at);
    }

    /// Closes it if its time has come; otherwise says when that is, if ever.
    fn close_if_due(&self, now: Instant) -> Option<Instant> {
        let at = self.close_at.get()?;
        if at > now {
            return Some(at);
        }
        if !self.closed.replace(true) {
            self.waker.take().into_iter().for_each(Waker::wake);
        }
        None
    }
}

/// A long one that is open; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct StreamGuard {
    streams: Rc<LongLivedStreams>,
    /// Number of the worker.
    worker: usize,
    number: u64,
    stream: Rc<LongLivedStream>,
    stats: Arc<VersionStats>,
}

impl StreamGuard {
    /// What kind it is.
    #[must_use]
    pub(crate) fn kind(&self) -> StreamKind {
        self.stream.kind
    }

    /// Ready when it shall end.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.closed.get() {
            return Poll::Ready(());
        }
        let mut waker = self.stream.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.stats.cell(self.worker).long_ended();
        self.streams.open.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn a_table_wakes_nobody_while_there_is_none_to_be_concerned() {
        let (long_lived, (sender, mut changes)) = (LongLivedStreams::default(), watch::channel(()));
        let mut later = changes.clone();
        let mut cx = Context::from_waker(Waker::noop());
        let mut concerned = pin!(long_lived.concerned(&mut changes));
        assert!(concerned.as_mut().poll(&mut cx).is_pending());
        sender.send_replace(());
        assert!(concerned.as_mut().poll(&mut cx).is_pending());
        let name = |text: &str| Name::new(text).expect("a name");
        let long = LongLivedStream {
            kind: StreamKind::Tunnel,
            service: name("shop"),
            version: name("v1"),
            had_share: true,
            close_at: Cell::default(),
            closed: Cell::default(),
            waker: RefCell::default(),
        };
        long_lived.enter(Rc::new(long));
        assert!(concerned.as_mut().poll(&mut cx).is_ready(), "the table that came before may be new to it");
        sender.send_replace(());
        let mut concerned = pin!(long_lived.concerned(&mut later));
        assert!(concerned.as_mut().poll(&mut cx).is_ready());
    }
}

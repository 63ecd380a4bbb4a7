//! HTTP/2 from a client: hyper's codec within bounds that fit the edge (the limits of RFC 9113, 10.5), and a watch on its
//! streams.
//!
//! What the codec does not bound by itself is bounded here: requests that a client takes back before they are answered
//! (rapid reset, CVE-2023-44487: each may have cost an upstream a request), streams that are given no window, and
//! connections without streams. One timer a connection does all of it; a timer a stream would be paid by every request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::COOKIE;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::super::worker::Worker;
use super::coop_budget::CoopBudget;
use super::lingering_close::LingeringClose;
use super::window_stall::{WindowStall, WindowStallTracker};
use super::write_timeout::WriteTimeout;
use crate::proxy::accept::client_stream::ClientStream;
use crate::proxy::accept::waiting::WaitingConnection;
use crate::proxy::body::transfer::Inbound;
use crate::proxy::request::admit::WireFacts;
use crate::proxy::request::admit::authority::Authority;
use crate::proxy::request::interim::Interim;
use crate::proxy::request::proxy_request::{ClientConnection, ReceivedRequest, proxy_request};
use crate::stats::RejectReason;

/// Streams that a client may have open; browsers are content with it, and it bounds what one connection can ask for.
const STREAMS_MAX: u32 = 100;

/// What a stream may send before we have taken it: the memory that one upload can hold.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of answers that wait for the client, per stream.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Streams that may be reset for a client's own errors before the connection is closed (MadeYouReset, CVE-2025-8671).
const ERROR_RESETS_MAX: usize = 100;

/// Requests that a client may take back before they are answered, in [`TAKEN_BACK_WINDOW`].
const TAKEN_BACK_MAX: u32 = 100;

/// See [`TAKEN_BACK_MAX`].
const TAKEN_BACK_WINDOW: Duration = Duration::from_secs(30);

/// How often a client is asked whether it is still there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// See [`PING_INTERVAL`].
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client may take to close after it was told to go away for a reason of its own.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// One turn of the codec, for GOAWAY to be written.
const LAST_TURN: Duration = Duration::from_millis(10);

/// The codec answers a head above its own bound with a bare 431. It gets more room than a head may have, so that ours is
/// seen first; each header counts 32 bytes more than it has (RFC 9113, 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// Serves `stream`, which is `listed` among those that wait, until it ends.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: ClientStream,
    peer: Rc<ClientConnection>,
    listed: WaitingConnection,
) {
    let idle_timeout = peer.listener.idle_timeout;
    if let (Some(name), Some(side)) = (stream.server_name(), &peer.listener.tls) {
        peer.is_for(Authority::new(name, side));
    }
    let streams = Rc::new(Streams::new(listed));
    let service = {
        let (worker, streams, peer) = (Rc::clone(&worker), Rc::clone(&streams), Rc::clone(&peer));
        service_fn(move |request| answer(Rc::clone(&worker), Rc::clone(&peer), &streams, request))
    };
    let io = TokioIo::new(LingeringClose::new(CoopBudget(WriteTimeout::new(stream, idle_timeout))));
    let mut connection = builder(&worker, &streams).serve_connection(io, service);
    let end = {
        let mut drain = pin!(worker.drain.notified());
        drain.as_mut().enable();
        if worker.draining() {
            Pin::new(&mut connection).graceful_shutdown();
        }
        tokio::select! {
            biased;
            ended = &mut connection => return ended_of(&worker, ended),
            () = &mut drain => None,
            why = streams.watch((idle_timeout, worker.settings.park_after), &peer) => Some(why),
        }
    };
    Pin::new(&mut connection).graceful_shutdown();
    match end {
        // The worker ends its drain, and with it this task.
        None => ended_of(&worker, connection.await),
        Some(End::Idle) => ended_of(&worker, timeout(FAREWELL_MAX, connection).await.unwrap_or(Ok(()))),
        Some(End::Displaced) => {
            worker.stats.refused(RejectReason::Displaced);
            // A request that was on its way when its client was told is answered, as others are.
            let ended = timeout(LAST_TURN, &mut connection).await;
            if ended.is_err() && !streams.open.borrow().is_empty() {
                ended_of(&worker, timeout(idle_timeout, connection).await.unwrap_or(Ok(())));
            }
        }
        Some(End::Flooded) => {
            worker.stats.refused(RejectReason::Flood);
            tracing::warn!("closing a connection whose client takes back one request after the other");
            // The streams it has go with it.
            let _ended = timeout(LAST_TURN, connection).await;
        }
    }
}

/// Notes how a connection ended. The codec has bounds of its own for frames that only cost us (resets of streams that we
/// have not looked at yet, heads that never end); a connection that it closes for one of them counts as one we close.
fn ended_of(worker: &Worker, ended: hyper::Result<()>) {
    let Err(error) = ended else { return };
    tracing::debug!(%error, "client connection ended");
    if is_flood(&error) {
        worker.stats.refused(RejectReason::Flood);
        tracing::warn!(%error, "closed a connection whose client sends frames that only cost us");
    }
}

/// Whether the codec, and not the client, asked for calm.
fn is_flood(error: &hyper::Error) -> bool {
    let causes = std::iter::successors(Error::source(error), |&cause| cause.source());
    causes
        .filter_map(|cause| cause.downcast_ref::<h2::Error>())
        .any(|cause| !cause.is_remote() && cause.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
}

fn builder(worker: &Worker, streams: &Rc<Streams>) -> http2::Builder<Spawn> {
    let settings = &worker.settings;
    let head_bytes = settings.head_bytes_max + HEADER_OVERHEAD_BYTES * settings.headers_max;
    let mut builder = http2::Builder::new(Spawn(Rc::clone(streams)));
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .max_header_list_size(u32::try_from(2 * head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Answers a request on a stream, which is watched from here on.
fn answer(
    worker: Rc<Worker>,
    peer: Rc<ClientConnection>,
    streams: &Rc<Streams>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<WindowStallTracker>, Infallible>> + use<> {
    let pace = Rc::new(WindowStall::default());
    streams.latest.replace(Some(Rc::clone(&pace)));
    let unanswered = Unanswered { streams: Rc::clone(streams), answered: false };
    let seen = WireFacts::Http2 { fits: fits(&worker, &request) };
    // On the heap at once: the codec and the runtime pass it on by value half a dozen times, and it has kilobytes.
    Box::pin(async move {
        let (head, body) = request.into_parts();
        let (head, body, interim) = (Box::new(head.into()), Inbound::Http2(body), Interim::default());
        let answer = proxy_request(worker, peer, ReceivedRequest { head, seen, body, interim }).await;
        unanswered.answered();
        Ok(answer.map(|body| WindowStallTracker::new(body, pace)).into_http())
    })
}

/// Whether a head is no larger than one of HTTP/1.1 may be: its lines as they would be written there.
fn fits(worker: &Worker, request: &Request<Incoming>) -> bool {
    const LINE_OVERHEAD_BYTES: usize = ": \r\n".len();
    let headers = request.headers();
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE_OVERHEAD_BYTES);
    // Clients send a cookie in pieces (RFC 9113, 8.2.3); in HTTP/1.1 they are one line.
    let count = if headers.len() <= worker.settings.headers_max {
        headers.len()
    } else {
        headers.len() - headers.get_all(COOKIE).iter().count().saturating_sub(1)
    };
    let settings = &worker.settings;
    count <= settings.headers_max && lines.sum::<usize>() <= settings.head_bytes_max
}

/// Why a connection is told to go away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// It has had no stream for too long.
    Idle,
    /// Its client takes back too much.
    Flooded,
    /// It has no stream, and another connection needs the room.
    Displaced,
}

/// The streams of a connection.
#[derive(Debug)]
struct Streams {
    open: RefCell<HashMap<tokio::task::Id, (AbortHandle, Rc<WindowStall>)>>,
    /// The pace of the stream whose task comes next: hyper calls the service and then the executor.
    latest: RefCell<Option<Rc<WindowStall>>>,
    quiet_since: Cell<Instant>,
    taken_back: Cell<(Instant, u32)>,
    flooded: Notify,
    /// The entry among the connections that wait, while it has had no stream for a while.
    listed: RefCell<Option<WaitingConnection>>,
}

impl Streams {
    fn new(listed: WaitingConnection) -> Self {
        let now = Instant::now();
        Self {
            open: RefCell::default(),
            latest: RefCell::default(),
            quiet_since: Cell::new(now),
            taken_back: Cell::new((now, 0)),
            flooded: Notify::new(),
            listed: RefCell::new(Some(listed)),
        }
    }

    /// Resets streams that wait too long for their client, until the connection should end.
    async fn watch(&self, (limit, waits_after): (Duration, Duration), peer: &ClientConnection) -> End {
        // Late by a quarter at the most.
        let look = (limit / 4).max(Duration::from_millis(1));
        loop {
            // One that waits already is looked at less often: many do.
            let pause = if self.listed.borrow().is_some() { look } else { look.min(waits_after) };
            tokio::select! {
                () = self.flooded.notified() => return End::Flooded,
                () = poll_fn(|cx| self.poll_displaced(cx)) => return End::Displaced,
                () = sleep(pause) => {}
            }
            let now = Instant::now();
            let open = self.open.borrow();
            let quiet_since = self.quiet_since.get();
            let quiet = open.is_empty() && peer.tunnels() == 0;
            if quiet && now >= quiet_since + limit {
                return End::Idle;
            }
            if quiet && now >= quiet_since + waits_after {
                self.listed.borrow_mut().get_or_insert_with(|| peer.waits(quiet_since));
            }
            let late = |pace: &WindowStall| pace.waiting_since().is_some_and(|since| now >= since + limit);
            open.values().filter(|(_, pace)| late(pace)).for_each(|(stream, _)| stream.abort());
        }
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
struct Unanswered {
    streams: Rc<Streams>,
    answered: bool,
}

impl Unanswered {
    fn answered(mut self) {
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

/// Runs hyper's streams on this thread, and notes which are open.
#[derive(Clone, Debug)]
struct Spawn(Rc<Streams>);

impl<F> Executor<F> for Spawn
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let Some(pace) = self.0.latest.take() else {
            spawn_local(future);
            return;
        };
        let streams = Rc::clone(&self.0);
        let task = spawn_local(async move {
            let _open = Open(streams);
            future.await;
        });
        self.0.open.borrow_mut().insert(task.id(), (task.abort_handle(), pace));
        // It waits no more.
        self.0.listed.take();
    }
}

/// An open stream, inside its task; dropping it closes the entry.
struct Open(Rc<Streams>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(id) = tokio::task::try_id() {
            self.0.open.borrow_mut().remove(&id);
        }
        self.0.quiet_since.set(Instant::now());
    }
}

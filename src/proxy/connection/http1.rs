//! HTTP/1.1 from a client: hyper's codec while it is needed, a tap on its bytes, and an end that does not take the last
//! answer away.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until};

use super::super::admit::Seen;
use super::super::client_stream::ClientStream;
use super::super::handle::{Peer, handle};
use super::super::leave;
use super::super::refuse::Refusal;
use super::super::stall::Stalling;
use super::super::watched::{Tap, Watched};
use super::super::worker::Worker;
use super::head_clock::HeadClock;
use super::park::{self, Left, Look, Rest};
use super::{last_word, linger};
use crate::stats::Refused;

/// hyper's own number of header lines; asking for another one costs an allocation a request.
const HYPER_HEADERS_MAX: usize = 100;

/// hyper wants at least this much for its read buffer.
const HYPER_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Serves `stream` until it ends.
pub(super) async fn serve(worker: Rc<Worker>, mut stream: ClientStream, peer: Rc<Peer>) {
    let mut due = None;
    // What is in a box is there while it runs only: a parked connection's task has no room for it.
    while let Some(rested) = Box::pin(serve_until_idle(&worker, stream, &peer, due)).await {
        match park::wait(&worker, &rested.stream, rested.due).await {
            Left::Readable => (stream, due) = (rested.stream, Some(rested.due)),
            Left::Over => return Box::pin(linger(rested.stream)).await,
        }
    }
}

/// A connection without its codec.
struct Rested {
    stream: ClientStream,
    /// When its next head is due.
    due: Instant,
}

/// Serves `stream`, whose first head is due then, until it ends, or until it can be parked.
async fn serve_until_idle(
    worker: &Rc<Worker>,
    stream: ClientStream,
    peer: &Rc<Peer>,
    due: Option<Instant>,
) -> Option<Rested> {
    let idle_timeout = peer.listener.idle_timeout;
    let (watched, tap) = Watched::new(Stalling::new(stream, idle_timeout));
    let service = {
        let (worker, tap, peer) = (Rc::clone(worker), Rc::clone(&tap), Rc::clone(peer));
        service_fn(move |request| {
            let answering = handle(Rc::clone(&worker), Rc::clone(&peer), Seen::Http1(tap.next_head()), request);
            let (worker, tap) = (Rc::clone(&worker), Rc::clone(&tap));
            async move { answering.await.map(|answer| tap.answered(leave::mark(&worker, answer))) }
        })
    };
    let rest = Rest { clock: HeadClock::new(due), tap, idle_timeout, park_after: worker.settings.park_after };
    let builder = builder(worker, idle_timeout, rest.clock.clone());
    let mut connection = builder.serve_connection(TokioIo::new(watched), service);
    let ended = run(worker, &mut connection, &rest, due).await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_inner().into_inner();
    if let Ended::Idle(due) = ended {
        if parts.read_buf.is_empty() {
            return Some(Rested { stream, due });
        }
        // Cannot be: the tap saw whole messages only, and all of them were answered. Whatever it is, it must not be taken
        // for the start of a request.
        tracing::warn!("an idle connection is closed: its codec has bytes left that belong to no request");
    }
    if let Some(tunnel) = peer.take_tunnel() {
        // On the heap: connections that never become one should not pay for it.
        Box::pin(tunnel.run(stream, parts.read_buf)).await;
        return None;
    }
    let error = if let Ended::Codec(Err(error)) = ended { Some(error) } else { None };
    match error.and_then(|error| unanswered(&error, &rest.tap)) {
        Some(refusal) => {
            worker.stats.refused(refusal.reason);
            last_word(stream, &refusal.to_http1_bytes(rest.tap.is_to_head()), idle_timeout).await;
        }
        None => linger(stream).await,
    }
    None
}

/// Why a codec is not needed any more.
enum Ended {
    /// It is done.
    Codec(hyper::Result<()>),
    /// The connection is idle; its next head is due then.
    Idle(Instant),
}

/// Runs the codec, whose first head is due then.
async fn run<C: Codec>(worker: &Worker, connection: &mut C, rest: &Rest, due: Option<Instant>) -> Ended {
    let mut connection = Pin::new(connection);
    let mut drain = pin!(leave::last_call(worker));
    let mut draining = false;
    let first_look = Instant::now() + rest.park_after.min(rest.idle_timeout);
    let mut timer = pin!(sleep_until(due.map_or(first_look, |due| due.min(first_look))));
    loop {
        tokio::select! {
            biased;
            // First, so that a request that is there already is taken before the drain is.
            ended = &mut connection => return Ended::Codec(ended),
            () = &mut drain, if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut timer => {
                let now = Instant::now();
                let again = match rest.look(now) {
                    Look::Park(due) if !draining => return Ended::Idle(due),
                    Look::Again(at) => at,
                    Look::Park(_) => now + rest.park_after,
                    Look::Overdue => {
                        // The loop polls the codec next, which says so.
                        rest.clock.end_wait();
                        now + rest.idle_timeout
                    }
                };
                timer.as_mut().reset(again);
            }
        }
    }
}

/// hyper's connection, whatever its types are.
trait Codec: Future<Output = hyper::Result<()>> + Unpin {
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<I, S, B> Codec for http1::Connection<I, S>
where
    Self: Future<Output = hyper::Result<()>> + Unpin,
    S: HttpService<Incoming, ResBody = B, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

fn builder(worker: &Worker, idle_timeout: Duration, clock: HeadClock) -> http1::Builder {
    let settings = &worker.settings;
    let mut builder = http1::Builder::new();
    builder
        .timer(clock)
        .header_read_timeout(idle_timeout)
        .max_header_size(settings.head_bytes_max)
        .max_buf_size((2 * settings.head_bytes_max).max(HYPER_BUFFER_BYTES_MIN));
    if settings.headers_max != HYPER_HEADERS_MAX {
        builder.max_headers(settings.headers_max);
    }
    builder
}

/// The refusal of a head that hyper took for none, so that it never became a request; `None` if the connection ended in
/// another way.
fn unanswered(error: &hyper::Error, tap: &Tap) -> Option<Refusal> {
    tracing::debug!(%error, "client connection ended");
    if let Some(refusal) = tap.hushed() {
        return Some(refusal);
    }
    let (reason, detail) = if error.is_timeout() && tap.within_head() {
        (Refused::HeadTimeout, "the request's head did not come in time")
    } else if error.is_parse() {
        // The preface of HTTP/2, to a listener that does not expect it.
        (Refused::BadHead, "this listener speaks HTTP/1.1 on plain connections")
    } else {
        return None;
    };
    Some(Refusal::new(reason, detail))
}

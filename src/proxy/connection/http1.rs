//! HTTP/1.1 from a client: hyper's codec, a tap on its bytes, and an end that does not take the last answer away.

use std::pin::{Pin, pin};
use std::rc::Rc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::super::admit::Seen;
use super::super::client_stream::ClientStream;
use super::super::handle::{Peer, handle};
use super::super::leave;
use super::super::refuse::Refusal;
use super::super::stall::Stalling;
use super::super::watched::{Tap, Watched};
use super::super::worker::Worker;
use super::{last_word, linger};
use crate::stats::Refused;

/// hyper's own number of header lines; asking for another one costs an allocation a request.
const HYPER_HEADERS_MAX: usize = 100;

/// hyper wants at least this much for its read buffer.
const HYPER_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Serves `stream` until it ends.
pub(super) async fn serve(worker: Rc<Worker>, stream: ClientStream, peer: Rc<Peer>) {
    let idle_timeout = peer.listener.idle_timeout;
    let (watched, tap) = Watched::new(Stalling::new(stream, idle_timeout));
    let service = {
        let (worker, tap, peer) = (Rc::clone(&worker), Rc::clone(&tap), Rc::clone(&peer));
        service_fn(move |request| {
            let answering = handle(Rc::clone(&worker), Rc::clone(&peer), Seen::Http1(tap.next_head()), request);
            let worker = Rc::clone(&worker);
            async move { answering.await.map(|answer| leave::mark(&worker, answer)) }
        })
    };
    let mut connection = builder(&worker, idle_timeout).serve_connection(TokioIo::new(watched), service);
    let ended = {
        let mut drain = pin!(worker.drain.notified());
        drain.as_mut().enable();
        if worker.draining() {
            Pin::new(&mut connection).graceful_shutdown();
        }
        tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            () = &mut drain => None,
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_inner().into_inner();
    if let Some(tunnel) = peer.take_tunnel() {
        // On the heap: connections that never become one should not pay for it.
        return Box::pin(tunnel.run(stream, parts.read_buf)).await;
    }
    match ended.err().and_then(|error| unanswered(&error, &tap)) {
        Some(refusal) => {
            worker.stats.refused(refusal.reason);
            last_word(stream, &refusal, idle_timeout).await;
        }
        None => linger(stream).await,
    }
}

fn builder(worker: &Worker, idle_timeout: std::time::Duration) -> http1::Builder {
    let settings = &worker.settings;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
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

//! One client connection: hyper's HTTP/1.1 with our limits, a tracker on its inbound bytes, and an end that does not
//! take the last answer away.

use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::framing::Watched;
use super::handle::{Peer, handle};
use super::leave;
use super::stall::Stalling;
use super::worker::Worker;
use crate::stats::Refused;

/// How long a connection is read at the most after its last answer, so that unread bytes of the client do not turn the
/// answer into a reset (RFC 9112, 9.6).
const LINGER_MAX: Duration = Duration::from_secs(10);

/// How long a client may fall silent in that time.
const LINGER_SILENCE_MAX: Duration = Duration::from_secs(1);

/// How many bytes are read in that time at the most: an upload that was refused may end, an endless one is cut off.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// hyper's own number of header lines; asking for another one costs an allocation a request.
const HYPER_HEADERS_MAX: usize = 100;

/// hyper wants at least this much for its read buffer.
const HYPER_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Serves `stream` until it ends.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: Rc<Peer>, idle_timeout: Duration) {
    let _counted = Counted::new(&worker);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "client connection ended before it began");
        return;
    }
    let (watched, tracker) = Watched::new(Stalling::new(stream, idle_timeout));
    let service = {
        let worker = Rc::clone(&worker);
        service_fn(move |request| {
            let framing = tracker.borrow_mut().next_head();
            let answering = handle(Rc::clone(&worker), Rc::clone(&peer), framing, request);
            let worker = Rc::clone(&worker);
            async move { answering.await.map(|answer| leave::mark(&worker, answer)) }
        })
    };
    let mut connection = builder(&worker, idle_timeout).serve_connection(TokioIo::new(watched), service);
    let ended = {
        let drain = worker.drain.notified();
        let mut drain = std::pin::pin!(drain);
        drain.as_mut().enable();
        if worker.draining() {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
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
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    if let Err(error) = ended {
        count_error(&worker, &error);
    }
    linger(connection.into_parts().io.into_inner().into_inner().into_inner()).await;
}

fn builder(worker: &Worker, idle_timeout: Duration) -> http1::Builder {
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

/// Heads that hyper refused by itself never became a request: they are counted here.
fn count_error(worker: &Worker, error: &hyper::Error) {
    tracing::debug!(%error, "client connection ended");
    if error.is_parse_too_large() {
        worker.stats.refused(Refused::HeadTooLarge);
    } else if error.is_parse() {
        worker.stats.refused(Refused::BadHead);
    }
}

/// Says that nothing more comes, and reads what the client still sends for a moment.
async fn linger(mut stream: TcpStream) {
    let drained = async {
        stream.shutdown().await?;
        // On the heap: as a local it would be part of every connection's task, idle ones too.
        let mut scratch = vec![0; 16 * 1024];
        let mut total = 0;
        while total < LINGER_BYTES_MAX {
            match timeout(LINGER_SILENCE_MAX, stream.read(&mut scratch)).await?? {
                0 => break,
                count => total += count,
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // However it ends, the connection is over: its errors and its delay have nobody to tell.
    let _ended = timeout(LINGER_MAX, drained).await;
}

/// Counts an open connection; dropping it counts it out.
struct Counted(Rc<Worker>);

impl Counted {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.stats.connected();
        Self(Rc::clone(worker))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.stats.disconnected();
    }
}

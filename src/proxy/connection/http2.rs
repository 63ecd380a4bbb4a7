//! HTTP/2 from a client: the codec of the crate `h2`, driven by the connection's task, within bounds that fit the edge
//! (the limits of RFC 9113, 10.5), and a watch on its streams.
//!
//! A connection has one task, which reads and writes its frames, and each stream has one, in which the stages of its
//! request run ([`stream`]). What a stream sends, it gives to the codec, which wakes the task of the connection.
//!
//! Why not the server of hyper, which drives the same codec: it gives a service a request and takes one answer. What is
//! between them, an interim answer (RFC 9110, 15.2), has no way out, and how a connection says farewell is decided
//! inside. What it did besides is done here, and little of it is left: the window of a stream opens as its
//! [`stream_body`] is taken; an answer gets a date and a length. What endpoints need as well is in
//! [`http2`](crate::http2): parts of a body wait for the window, a silent side is asked whether it is there, the stream
//! of an extended `CONNECT` becomes a tunnel.
//!
//! A connection whose worker leaves says GOAWAY when others begin to say `Connection: close`, and until the worker
//! drains it takes what its client had begun by then ([`farewell`]).
//!
//! What the codec does not bound by itself is bounded here: requests that a client takes back before they are answered
//! (rapid reset, CVE-2023-44487: each may have cost an upstream a request), streams that are given no window, and
//! connections without [`streams`]. One timer a connection does all of it; a timer a stream would be paid by every
//! request.
//!
//! What must stay true: a stream whose body or answer broke is reset and never ended (docs/http-rules.md#rule-7), and
//! what a request holds is dropped with its stream.

mod farewell;
mod inlet;
mod responder;
mod stream;
pub(crate) mod stream_body;
mod streams;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::task::spawn_local;
use tokio::time::timeout;

use self::responder::Responder;
use self::stream::ServedConnection;
use super::super::drain;
use super::coop_budget::CoopBudget;
use super::lingering_close::LingeringClose;
use super::write_timeout::WriteTimeout;
use crate::proxy::accept::client_stream::ClientStream;
use crate::proxy::accept::waiting::WaitingConnection;
use crate::proxy::connection::client_connection::ClientConnection;
use crate::proxy::request::admit::authority::Authority;
use crate::proxy::worker::Worker;
use crate::stats::RejectReason;
use inlet::Inlet;
use streams::{End, Leaving, Misconduct, Streams};

/// Streams that a client may have open; browsers are content with it, and it bounds what one connection can ask for.
const STREAMS_MAX: u32 = 100;

/// What a stream may send before we have taken it: the memory that one upload can hold.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of answers that wait for the client, per stream.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a frame that a client may send.
const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// Streams that may be reset for a client's own errors before the connection is closed (MadeYouReset, CVE-2025-8671).
const ERROR_RESETS_MAX: usize = 100;

/// What small frames of uploads may cost that were not taken yet: windows count the bytes of their data, and to keep a
/// frame costs about 256. A client that uses it up has its connection ended for a flood, so it is enough for all that
/// windows allow to honest ones: a whole connection's in frames of 16 bytes, or a stream's byte by byte.
const SMALL_FRAMES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Streams that were reset by us, of uploads that were refused mostly, and are remembered for [`LATE_FRAMES_MAX`]: what
/// their client has sent meanwhile is ignored. On streams that are forgotten it is the client's error, and there is an
/// end to those.
const RESETS_REMEMBERED_MAX: usize = 10 * STREAMS_MAX as usize;

/// See [`RESETS_REMEMBERED_MAX`].
const LATE_FRAMES_MAX: Duration = Duration::from_secs(5);

/// How long a client may take to close after it was told to go away for a reason of its own.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// One turn of the codec, for GOAWAY to be written.
const LAST_TURN: Duration = Duration::from_millis(10);

/// The codec answers a head above its own bound with a bare 431. It gets more room than a head may have, so that ours
/// is seen first; each header counts 32 bytes more than it has (RFC 9113, 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// The bytes under the codec.
type Transport = Inlet<LingeringClose<CoopBudget<WriteTimeout<ClientStream>>>>;

/// Serves `stream`, which is `listed` among those that wait, until it ends.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: ClientStream,
    peer: Rc<ClientConnection>,
    listed: WaitingConnection,
) {
    if let (Some(name), Some(side)) = (stream.server_name(), &peer.listener.tls) {
        peer.is_for(Authority::new(name, side));
    }
    let mut driver = Driver::new(&worker, &peer, stream, listed);
    let streams = Rc::clone(&driver.served.streams);
    let end = {
        let mut closes = pin!(worker.closes());
        let mut drain = pin!(drain::until_drained(&worker));
        loop {
            tokio::select! {
                biased;
                ended = driver.ended() => return ended_of(&worker, ended),
                () = &mut closes, if streams.leaving().is_none() => driver.leave(Leaving::Slowly),
                () = &mut drain => break None,
                why = streams.watch(worker.settings.park_after, &peer) => break Some(why),
            }
        }
    };
    driver.leave(Leaving::Finally);
    match end {
        // The worker ends its drain, and with it this task.
        None => ended_of(&worker, driver.ended().await),
        Some(End::Idle) => driver.farewell(FAREWELL_MAX).await,
        Some(End::Displaced) => {
            worker.stats.refused(RejectReason::Displaced);
            driver.farewell(LAST_TURN).await;
        }
        Some(End::Broken(why)) => driver.close(why).await,
    }
}

/// Notes how a connection ended. The codec has bounds of its own for frames that only cost us (resets of streams that
/// we have not looked at yet, heads that never end); a connection that it closes for one of them counts as one we
/// close.
fn ended_of(worker: &Worker, ended: Result<(), h2::Error>) {
    let Err(error) = ended else { return };
    tracing::debug!(%error, "client connection ended");
    // The codec, and not the client, asked for calm.
    if !error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
        worker.stats.refused(RejectReason::Flood);
        tracing::warn!(%error, "closed a connection whose client sends frames that only cost us");
    }
}

/// The task of a connection.
struct Driver {
    served: ServedConnection,
    codec: Codec,
}

/// The codec before and after the client's preface.
enum Codec {
    Handshake(Handshake<Transport, Bytes>),
    Open(Connection<Transport, Bytes>),
}

impl Driver {
    fn new(worker: &Rc<Worker>, peer: &Rc<ClientConnection>, stream: ClientStream, listed: WaitingConnection) -> Self {
        let streams = Rc::new(Streams::new(listed));
        let stream = LingeringClose::new(CoopBudget(WriteTimeout::new(stream, peer.listener.idle_timeout)));
        let codec = Codec::Handshake(builder(worker).handshake(Inlet::new(stream, Rc::clone(&streams))));
        let served = ServedConnection { worker: Rc::clone(worker), peer: Rc::clone(peer), streams };
        Self { served, codec }
    }

    /// Tells the client to go away: what it has asked for is answered. Once is enough for the codec.
    fn leave(&mut self, leaving: Leaving) {
        self.served.streams.leave(leaving);
        if let Codec::Open(connection) = &mut self.codec {
            connection.graceful_shutdown();
        }
    }

    /// Waits for the end of a connection whose client was told to go away, which has so long to close it. A request
    /// that was on its way when its client was told is answered, as others are, and watched as others are.
    async fn farewell(&mut self, time: Duration) {
        let ServedConnection { worker, peer, streams } = self.served.clone();
        let ended = match timeout(time, self.ended()).await {
            Ok(ended) => Ok(ended),
            Err(_elapsed) if streams.is_empty() => return,
            Err(_elapsed) => tokio::select! {
                biased;
                ended = self.ended() => Ok(ended),
                why = streams.watch(worker.settings.park_after, &peer) => Err(why),
            },
        };
        match ended {
            Ok(ended) => ended_of(&worker, ended),
            Err(End::Broken(why)) => self.close(why).await,
            Err(End::Idle | End::Displaced) => {}
        }
    }

    /// Ends the connection and the streams that it has.
    async fn close(&mut self, why: Misconduct) {
        let reason = match why {
            Misconduct::Flood => {
                self.served.worker.stats.refused(RejectReason::Flood);
                tracing::warn!("closing a connection whose client takes back one request after the other");
                Reason::ENHANCE_YOUR_CALM
            }
            Misconduct::Silence => {
                tracing::debug!("closing a connection whose client does not answer");
                Reason::NO_ERROR
            }
        };
        if let Codec::Open(connection) = &mut self.codec {
            connection.abrupt_shutdown(reason);
        }
        let _ended = timeout(LAST_TURN, self.ended()).await;
    }

    /// Serves the connection until it is closed. It can be given up and asked for again.
    async fn ended(&mut self) -> Result<(), h2::Error> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            match &mut self.codec {
                Codec::Handshake(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    self.served.streams.can_ask(connection.ping_pong());
                    if self.served.streams.leaving().is_some() {
                        connection.graceful_shutdown();
                    }
                    self.codec = Codec::Open(connection);
                }
                Codec::Open(connection) => {
                    let accepted = ready!(pin!(connection.accept()).poll(cx));
                    match accepted.transpose()? {
                        Some((request, respond)) => self.begin(request, respond),
                        None => return Poll::Ready(Ok(())),
                    }
                }
            }
        }
    }

    /// Begins the task of a stream, which is watched from here on.
    fn begin(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let responder = Rc::new(Responder::new(respond));
        let task = spawn_local(stream::serve(self.served.clone(), Rc::clone(&responder), request));
        self.served.streams.began(&task, responder);
    }
}

fn builder(worker: &Worker) -> server::Builder {
    let settings = &worker.settings;
    let head_bytes = settings.head_bytes_max + HEADER_OVERHEAD_BYTES * settings.headers_max;
    let mut builder = server::Builder::new();
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .data_frame_budget(SMALL_FRAMES_BYTES_MAX)
        .max_concurrent_reset_streams(RESETS_REMEMBERED_MAX)
        .reset_stream_duration(LATE_FRAMES_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .max_header_list_size(u32::try_from(2 * head_bytes).unwrap_or(u32::MAX));
    builder
}

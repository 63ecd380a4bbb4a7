//! Connections to endpoints that speak HTTP/2: the codec of the crate `h2`, driven by one task a connection, and the
//! streams of requests on them.
//!
//! A connection is [shared](shared_connection): it stays in its pool while it is used, and a request owns an
//! [`UpstreamStream`](upstream_stream::UpstreamStream) of it. The task of the connection ([`endpoint_driver`]) reads
//! and writes the frames of all of them; what a request has to send and to wait for is polled by the request itself, as
//! on HTTP/1.1:
//!
//! ```text
//! stream -> begin -> poll_response ... -> into_response -> poll_frame ...
//! ```
//!
//! Why not the client of hyper, which drives the same codec: it takes a request and gives one response, and what an
//! endpoint says between them, an interim response (RFC 9110, 15.2), it drops. It also hands each request through a
//! channel to a task of the connection, which begins another one that waits for the response, which a third channel
//! brings back. Here a request has a task of its own only if its response comes before all of its body was sent
//! ([`detached_upload`]).
//!
//! What must stay true:
//! - A request that was surely not looked at is told apart from one that may have been, and one that was not even given
//!   to the codec comes back with its body ([`StreamError`](upstream_stream::StreamError)).
//! - A stream whose request or response is given up is reset, and one whose body broke is never ended.
//! - The end of a response in the middle is an error whatever the endpoint's code says ([`response_stream`]).
//! - A connection without a request under way is not asked whether it is still there; one with a request is.

mod detached_upload;
mod endpoint_driver;
mod opening_queue;
pub(crate) mod response_stream;
pub(crate) mod shared_connection;
mod stream_load;
#[cfg(test)]
mod tests;
pub(crate) mod upstream_stream;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use h2::client::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::Instant;

use self::endpoint_driver::{EndpointDriver, NotedStream};
use self::shared_connection::SharedConnection;
use self::stream_load::{STREAMS_MAX, StreamLoad};
use crate::http1::HeadLimits;
use crate::http2::PingTimes;

/// Room for the head of a response in the codec, beyond which it ends the stream, and for four times as much the
/// connection: as many times what a head may have, and so much at least. A head that has more than it may is refused
/// [by its stream](upstream_stream) and costs no other one. The codec derives from this how many frames a head may come
/// in, 80 with a mebibyte, so that one in small frames is read as well.
const HEAD_ROOM_FACTOR: usize = 4;

/// See [`HEAD_ROOM_FACTOR`].
const HEAD_ROOM_BYTES_MIN: usize = 1024 * 1024;

/// What an origin may send on a stream before it was read: the memory that one response can hold. At a round trip of a
/// millisecond that is 64 MiB a second.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for a connection: enough for all its streams. With less, clients that do not read would use it up, and
/// everybody else's responses on this connection would stop.
const CONNECTION_WINDOW_BYTES: u32 = STREAMS_MAX * STREAM_WINDOW_BYTES;

/// Bytes of a frame that an origin may send.
const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// Bytes of a request's body that the codec takes before they are written: the windows of origins bound them mostly.
const SEND_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// How often an origin with open streams is asked whether it is still there, and how long it may take to respond.
pub(crate) const PINGS: PingTimes = PingTimes { interval: Duration::from_secs(10), timeout: Duration::from_secs(10) };

/// What small frames of responses may cost that were not read yet: windows count the bytes of their data, and to keep a
/// frame costs about 256. When this is used up, the codec ends the connection with all its streams. It is enough for a
/// hundred responses of which nothing is read in frames of 24 bytes, or four that come byte by byte.
const SMALL_FRAMES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Streams that we have reset and that are remembered for [`LATE_FRAMES_MAX`]: what is still on its way on them is
/// ignored, and on others answered by one more reset. Ten times all that may be under way, because clients leave.
const RESETS_REMEMBERED_MAX: usize = 10 * STREAMS_MAX as usize;

/// See [`RESETS_REMEMBERED_MAX`].
const LATE_FRAMES_MAX: Duration = Duration::from_secs(3);

/// Begins a connection on `stream`, on which the heads of responses are within `heads`. A task of this thread drives it
/// until it ends, or does not answer pings in their `times`.
///
/// # Errors
/// When the beginning cannot be written.
pub(crate) async fn share<S>(
    stream: S,
    address: SocketAddr,
    heads: HeadLimits,
    times: PingTimes,
) -> Result<SharedConnection, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let load = Rc::new(StreamLoad::new(Instant::now()));
    let stream = NotedStream::new(stream, Rc::clone(&load));
    let (sender, connection) = builder(heads).handshake(stream).await?;
    let driven = EndpointDriver::new(connection, Rc::clone(&load), times);
    spawn_local(async move {
        // Its errors reach the requests that are under way; between requests they only say that the origin hung up.
        if let Err(error) = driven.await {
            tracing::trace!(%address, error = &error as &dyn std::error::Error, "upstream connection ended");
        }
    });
    Ok(SharedConnection::new(sender, load, heads))
}

fn builder(heads: HeadLimits) -> Builder {
    let head_room = heads.bytes_max.saturating_mul(HEAD_ROOM_FACTOR).max(HEAD_ROOM_BYTES_MIN);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        // Until the origin says what it allows.
        .initial_max_send_streams(STREAMS_MAX as usize)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .data_frame_budget(SMALL_FRAMES_BYTES_MAX)
        .max_concurrent_reset_streams(RESETS_REMEMBERED_MAX)
        .reset_stream_duration(LATE_FRAMES_MAX)
        // The codec would count them for the whole life of a connection, which is shared: a response that breaks its
        // framing a thousand times would end others then. Each ends alone, and counts against its endpoint.
        .max_local_error_reset_streams(None)
        .max_header_list_size(u32::try_from(head_room).unwrap_or(u32::MAX));
    builder
}

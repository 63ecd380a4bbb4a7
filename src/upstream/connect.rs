//! Opening a connection to an endpoint.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::budget::UpstreamPermit;
use super::endpoint_stream::EndpointStream;
use super::http1::Http1;
use super::sender::{RequestSender, STREAMS_MAX, SharedConnection, StreamLoad};
use crate::http1::HeadLimits;
use crate::shared::shortage;
use crate::stats::EndpointStats;
use crate::table::spec::Protocol;
use crate::tls::{Handshake, TlsFailure};

/// What a line of a head counts more in HTTP/2 than it has (RFC 9113, 6.5.2).
const LINE_OVERHEAD_BYTES: usize = 32;

/// What an origin may send on a stream before it was read: the memory that one response can hold. At a round trip of a
/// millisecond that is 64 MiB a second.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for a connection: enough for all its streams. With less, clients that do not read would use it up, and
/// everybody else's responses on this connection would stop.
const CONNECTION_WINDOW_BYTES: u32 = STREAMS_MAX * STREAM_WINDOW_BYTES;

/// How often an origin with open streams is asked whether it is still there, and how long it may take to respond.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// See [`PING_INTERVAL`].
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What bounds a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectLimits {
    /// The wait for it.
    pub time: Duration,
    /// The heads of responses on it.
    pub heads: HeadLimits,
}

/// A new connection, ready for its first request.
#[derive(Debug)]
pub(crate) enum Connected<B> {
    /// For one exchange at a time.
    Http1(Box<Http1>),
    /// To be shared.
    Http2(SharedConnection<B>),
}

impl<B> Connected<B> {
    /// What sends its first request, and what is left to share.
    #[must_use]
    pub(crate) fn begin(self) -> Option<(RequestSender<B>, Option<SharedConnection<B>>)> {
        match self {
            Self::Http1(connection) => Some((RequestSender::Http1(connection), None)),
            Self::Http2(shared) => Some((RequestSender::Http2(shared.stream()?), Some(shared))),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The endpoint, or the network on the way, said no.
    #[error("cannot connect to {0}")]
    Refused(SocketAddr, #[source] io::Error),
    /// The endpoint said nothing.
    #[error("no connection to {0} within {1:?}")]
    Timeout(SocketAddr, Duration),
    /// TLS did not come about.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// It was closed as soon as it was there.
    #[error("the connection to {0} was closed at once")]
    Closed(SocketAddr),
    /// hyper would not take the connection.
    #[error("no HTTP on the connection to {0}")]
    Handshake(SocketAddr, #[source] hyper::Error),
}

impl ConnectError {
    /// Whether it is for want of descriptors or ports of our own, and says nothing of the endpoint.
    #[must_use]
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Refused(_, error) if shortage::is_own(error))
    }
}

/// What is connected to.
#[derive(Debug)]
pub(crate) struct ConnectTarget<'e> {
    pub endpoint: &'e Arc<EndpointStats>,
    /// The permit of the budget that the connection has for as long as it is open.
    pub permit: UpstreamPermit,
    /// What is spoken.
    pub protocol: Protocol,
}

/// Connects to an endpoint with a permit of the budget, with TLS if there is any. A task of this thread drives a
/// connection that is to be shared until it ends; another one is driven by its user.
///
/// # Errors
/// [`ConnectError`] when there is no connection in time.
pub(crate) async fn connect<B>(
    target: ConnectTarget<'_>,
    tls: Option<Handshake>,
    limits: ConnectLimits,
) -> Result<Connected<B>, ConnectError>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let address = target.endpoint.address;
    let connecting = async {
        let refused = |error| ConnectError::Refused(address, error);
        let stream = TcpStream::connect(address).await.map_err(refused)?;
        // Heads and small bodies go out at once; the cost is a packet more on bodies that are flushed in parts.
        stream.set_nodelay(true).map_err(refused)?;
        match tls {
            None => {
                let stream = EndpointStream::plain(stream, target.endpoint, target.permit);
                http(stream, target.protocol, address, limits.heads).await
            }
            // On the heap: as a local it would be part of every request's task, plain ones too.
            Some(tls) => Box::pin(secured(stream, target, tls, limits.heads)).await,
        }
    };
    timeout(limits.time, connecting).await.unwrap_or(Err(ConnectError::Timeout(address, limits.time)))
}

/// TLS, and HTTP inside it.
async fn secured<B>(
    stream: TcpStream,
    target: ConnectTarget<'_>,
    tls: Handshake,
    heads: HeadLimits,
) -> Result<Connected<B>, ConnectError>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = EndpointStream::tls(tls.on(stream).await?, target.endpoint, target.permit);
    http(stream, target.protocol, target.endpoint.address, heads).await
}

/// HTTP on a connected stream.
async fn http<B>(
    stream: EndpointStream,
    protocol: Protocol,
    address: SocketAddr,
    heads: HeadLimits,
) -> Result<Connected<B>, ConnectError>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match protocol {
        Protocol::Http1 => Ok(Connected::Http1(Http1::new(stream, heads))),
        Protocol::Http2 => {
            let shared =
                http2(stream, address, heads).await.map_err(|error| ConnectError::Handshake(address, error))?;
            Ok(Connected::Http2(shared))
        }
    }
}

async fn http2<B>(stream: EndpointStream, address: SocketAddr, heads: HeadLimits) -> hyper::Result<SharedConnection<B>>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let head_bytes = heads.bytes_max + LINE_OVERHEAD_BYTES * heads.headers_max;
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let (sender, mut connection) = builder.handshake(TokioIo::new(stream)).await?;
    let load = Rc::new(StreamLoad::new(Instant::now()));
    let shared = SharedConnection::new(sender, Rc::clone(&load));
    let driven = poll_fn(move |cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        load.most.set(connection.current_max_send_streams());
        polled
    });
    spawn_local(async move {
        // Its errors reach the requests that are under way; between requests they only say that the origin hung up.
        if let Err(error) = driven.await {
            tracing::trace!(%address, %error, "upstream connection ended");
        }
    });
    Ok(shared)
}

/// Runs what hyper's HTTP/2 needs besides the connection on this thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F> Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

//! Opening a connection to an endpoint.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::sender::{Load, STREAMS_MAX, Sender, Shared};
use crate::stats::EndpointStats;
use crate::table::spec::Protocol;
use crate::tls::{Handshake, TlsFailure};

/// The most header lines that an upstream may answer with; as many as the proxy takes from clients.
const ANSWER_HEADERS_MAX: usize = 100;

/// The most bytes that hyper buffers of an answer: its head must fit.
const ANSWER_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// What an origin may send on a stream before it was read: the memory that one answer can hold. At a round trip of a
/// millisecond that is 64 MiB a second.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for a connection: enough for all its streams. With less, clients that do not read would use it up, and everybody
/// else's answers on this connection would stop.
const CONNECTION_WINDOW_BYTES: u32 = STREAMS_MAX * STREAM_WINDOW_BYTES;

/// How often an origin with open streams is asked whether it is still there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// See [`PING_INTERVAL`].
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A new connection, ready for its first request.
#[derive(Debug)]
pub enum Connected<B> {
    /// For one exchange at a time.
    Http1(http1::SendRequest<B>),
    /// To be shared.
    Http2(Shared<B>),
}

impl<B> Connected<B> {
    /// What sends its first request, and what is left to share.
    #[must_use]
    pub fn begin(self) -> Option<(Sender<B>, Option<Shared<B>>)> {
        match self {
            Self::Http1(sender) => Some((Sender::Http1(sender), None)),
            Self::Http2(shared) => Some((Sender::Http2(shared.stream()?), Some(shared))),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint, or the network on the way, said no.
    #[error("cannot connect to {0}")]
    Refused(SocketAddr, #[source] io::Error),
    /// Nobody said anything.
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
    pub fn is_own(&self) -> bool {
        let own = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
        matches!(self, Self::Refused(_, error) if error.raw_os_error().is_some_and(|code| own.contains(&code)))
    }
}

/// Connects to `endpoint`, with TLS if there is any, and lets a task of this thread drive the connection until it ends.
///
/// # Errors
/// [`ConnectError`] when there is no connection within `limit`.
pub async fn connect<B>(
    endpoint: &Arc<EndpointStats>,
    protocol: Protocol,
    tls: Option<Handshake>,
    limit: Duration,
) -> Result<Connected<B>, ConnectError>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let address = endpoint.address;
    let connecting = async {
        let refused = |error| ConnectError::Refused(address, error);
        let stream = TcpStream::connect(address).await.map_err(refused)?;
        // Heads and small bodies go out at once; the cost is a packet more on bodies that hyper flushes in parts.
        stream.set_nodelay(true).map_err(refused)?;
        match tls {
            None => http(stream, protocol, endpoint).await,
            // On the heap: as a local it would be part of every request's task, plain ones too.
            Some(tls) => Box::pin(secured(stream, protocol, tls, endpoint)).await,
        }
    };
    timeout(limit, connecting).await.unwrap_or(Err(ConnectError::Timeout(address, limit)))
}

/// TLS, and HTTP inside it.
async fn secured<B>(
    stream: TcpStream,
    protocol: Protocol,
    tls: Handshake,
    endpoint: &Arc<EndpointStats>,
) -> Result<Connected<B>, ConnectError>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = tls.on(stream).await?;
    http(stream, protocol, endpoint).await
}

/// HTTP on a connected stream.
async fn http<B, S>(stream: S, protocol: Protocol, endpoint: &Arc<EndpointStats>) -> Result<Connected<B>, ConnectError>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connected = match protocol {
        Protocol::Http1 => http1(stream, endpoint).await,
        Protocol::Http2 => http2(stream, endpoint).await,
    };
    connected.map_err(|error| ConnectError::Handshake(endpoint.address, error))
}

async fn http1<B, S>(stream: S, endpoint: &Arc<EndpointStats>) -> hyper::Result<Connected<B>>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(ANSWER_HEADERS_MAX).max_buf_size(ANSWER_BUFFER_BYTES_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // A WebSocket takes the connection over.
    drive(connection.with_upgrades(), endpoint);
    Ok(Connected::Http1(sender))
}

async fn http2<B, S>(stream: S, endpoint: &Arc<EndpointStats>) -> hyper::Result<Connected<B>>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(ANSWER_BUFFER_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let (sender, mut connection) = builder.handshake(TokioIo::new(stream)).await?;
    let load = Rc::new(Load::new(Instant::now()));
    let shared = Shared::new(sender, Rc::clone(&load));
    let driven = poll_fn(move |cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        load.most.set(connection.current_max_send_streams());
        polled
    });
    drive(driven, endpoint);
    Ok(Connected::Http2(shared))
}

fn drive(connection: impl Future<Output = hyper::Result<()>> + 'static, endpoint: &Arc<EndpointStats>) {
    let endpoint = Arc::clone(endpoint);
    endpoint.opened();
    spawn_local(async move {
        // Its errors reach the requests that are under way; between requests they only say that the origin hung up.
        if let Err(error) = connection.await {
            tracing::trace!(address = %endpoint.address, %error, "upstream connection ended");
        }
        endpoint.closed();
    });
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

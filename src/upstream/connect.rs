//! Opening a connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::budget::UpstreamPermit;
use super::endpoint_stream::EndpointStream;
use super::http1::Http1;
use super::http2;
use super::http2::shared_connection::SharedConnection;
use super::sender::RequestSender;
use crate::http1::HeadLimits;
use crate::shared::shortage;
use crate::stats::EndpointStats;
use crate::table::spec::Protocol;
use crate::tls::{Handshake, TlsFailure};

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
pub(crate) enum Connected {
    /// For one exchange at a time.
    Http1(Box<Http1>),
    /// To be shared.
    Http2(SharedConnection),
}

impl Connected {
    /// What sends its first request, and what is left to share.
    #[must_use]
    pub(crate) fn begin(self) -> Option<(RequestSender, Option<SharedConnection>)> {
        match self {
            Self::Http1(connection) => Some((RequestSender::Http1(connection), None)),
            Self::Http2(mut shared) => Some((RequestSender::Http2(shared.stream()?), Some(shared))),
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
    /// HTTP could not begin on it.
    #[error("no HTTP on the connection to {0}")]
    Handshake(SocketAddr, #[source] h2::Error),
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
pub(crate) async fn connect(
    target: ConnectTarget<'_>,
    tls: Option<Handshake>,
    limits: ConnectLimits,
) -> Result<Connected, ConnectError> {
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
async fn secured(
    stream: TcpStream,
    target: ConnectTarget<'_>,
    tls: Handshake,
    heads: HeadLimits,
) -> Result<Connected, ConnectError> {
    let stream = EndpointStream::tls(tls.on(stream).await?, target.endpoint, target.permit);
    http(stream, target.protocol, target.endpoint.address, heads).await
}

/// HTTP on a connected stream.
async fn http(
    stream: EndpointStream,
    protocol: Protocol,
    address: SocketAddr,
    heads: HeadLimits,
) -> Result<Connected, ConnectError> {
    match protocol {
        Protocol::Http1 => Ok(Connected::Http1(Http1::new(stream, heads))),
        Protocol::Http2 => {
            let shared = http2::share(stream, address, heads, http2::PINGS).await;
            shared.map(Connected::Http2).map_err(|error| ConnectError::Handshake(address, error))
        }
    }
}

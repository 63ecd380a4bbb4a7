//! Opening a connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stats::EndpointStats;

/// The most header lines that an upstream may answer with; as many as the proxy takes from clients.
const ANSWER_HEADERS_MAX: usize = 100;

/// The most bytes that hyper buffers of an answer: its head must fit.
const ANSWER_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// A new connection, ready for its first request.
#[derive(Debug)]
pub struct Connected<B>(pub SendRequest<B>);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint, or the network on the way, said no.
    #[error("cannot connect to {0}")]
    Refused(SocketAddr, #[source] io::Error),
    /// Nobody said anything.
    #[error("no connection to {0} within {1:?}")]
    Timeout(SocketAddr, Duration),
    /// hyper would not take the connection.
    #[error("no HTTP/1.1 on the connection to {0}")]
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

/// Connects to `endpoint` and lets a task of this thread drive the connection until it ends.
///
/// # Errors
/// [`ConnectError`] when there is no connection within `limit`.
pub async fn connect<B>(endpoint: &Arc<EndpointStats>, limit: Duration) -> Result<Connected<B>, ConnectError>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let address = endpoint.address;
    let stream = match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ConnectError::Refused(address, error)),
        Err(_elapsed) => return Err(ConnectError::Timeout(address, limit)),
    };
    // Heads and small bodies go out at once; the cost is a packet more on bodies that hyper flushes in parts.
    stream.set_nodelay(true).map_err(|error| ConnectError::Refused(address, error))?;
    let handshake = http1::Builder::new()
        .max_headers(ANSWER_HEADERS_MAX)
        .max_buf_size(ANSWER_BUFFER_BYTES_MAX)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|error| ConnectError::Handshake(address, error))?;
    let endpoint = Arc::clone(endpoint);
    endpoint.opened();
    tokio::task::spawn_local(async move {
        // Its errors reach the request that is under way; between requests they only say that the origin hung up.
        if let Err(error) = connection.await {
            tracing::trace!(%address, %error, "upstream connection ended");
        }
        endpoint.closed();
    });
    Ok(Connected(sender))
}

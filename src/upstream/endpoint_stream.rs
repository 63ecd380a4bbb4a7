//! A connection to an endpoint, which counts as open there for as long as it is there.
//!
//! The bytes are those of [`MaybeTls`]. The count and the permit are part of the stream, so that no way in which a
//! connection can end forgets them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::budget::UpstreamPermit;
use crate::stats::EndpointStats;
use crate::tls::MaybeTls;
use crate::tls::maybe_tls::pass_on_writes;

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointStream {
    io: MaybeTls<TlsStream<TcpStream>>,
    endpoint: Arc<EndpointStats>,
    _permit: UpstreamPermit,
}

impl EndpointStream {
    /// A connection without TLS, counted in.
    #[must_use]
    pub(crate) fn plain(stream: TcpStream, endpoint: &Arc<EndpointStats>, permit: UpstreamPermit) -> Self {
        Self::new(MaybeTls::Plain(stream), endpoint, permit)
    }

    /// A connection inside TLS, counted in.
    #[must_use]
    pub(crate) fn tls(stream: TlsStream<TcpStream>, endpoint: &Arc<EndpointStats>, permit: UpstreamPermit) -> Self {
        Self::new(MaybeTls::Tls(Box::new(stream)), endpoint, permit)
    }

    fn new(io: MaybeTls<TlsStream<TcpStream>>, endpoint: &Arc<EndpointStats>, permit: UpstreamPermit) -> Self {
        endpoint.opened();
        Self { io, endpoint: Arc::clone(endpoint), _permit: permit }
    }

    /// Whether the endpoint has neither ended the connection nor sent anything on it. Takes what it sent, if it did.
    ///
    /// No system call unless the runtime knows of an event: a look at what it knows costs some sixty instructions.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match &mut self.io {
            MaybeTls::Plain(stream) => {
                // An event may be older than the last read; only the socket can tell.
                let looked = stream.try_io(Interest::READABLE, || {
                    let (count, _) = recv(&*stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
                    Ok(count)
                });
                looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            // Session tickets come when the endpoint likes; rustls takes them, and they are nothing to read.
            MaybeTls::Tls(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(stream.as_mut()).poll_read(&mut cx, &mut ReadBuf::new(&mut [0; 1])).is_pending()
            }
        }
    }

    /// Ends a connection that is not used: TLS says so, as far as that is possible at once.
    pub(crate) fn close(mut self) {
        self.io.say_goodbye();
    }
}

impl Drop for EndpointStream {
    fn drop(&mut self) {
        self.endpoint.closed();
    }
}

impl AsyncRead for EndpointStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for EndpointStream {
    pass_on_writes!(io: write, flush, shutdown);
}

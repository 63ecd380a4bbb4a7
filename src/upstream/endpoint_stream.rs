//! The bytes of an endpoint: plain, or inside TLS.
//!
//! An enum and not a boxed trait object, for the reasons that the clients' side has: one predictable branch, no
//! allocation. It counts as an open connection of its endpoint for as long as it is there.

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

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointStream {
    io: EndpointIo,
    endpoint: Arc<EndpointStats>,
    _permit: UpstreamPermit,
}

#[derive(Debug)]
enum EndpointIo {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl EndpointStream {
    /// A connection without TLS, counted in.
    #[must_use]
    pub(crate) fn plain(stream: TcpStream, endpoint: &Arc<EndpointStats>, permit: UpstreamPermit) -> Self {
        Self::new(EndpointIo::Plain(stream), endpoint, permit)
    }

    /// A connection inside TLS, counted in.
    #[must_use]
    pub(crate) fn tls(stream: TlsStream<TcpStream>, endpoint: &Arc<EndpointStats>, permit: UpstreamPermit) -> Self {
        Self::new(EndpointIo::Tls(Box::new(stream)), endpoint, permit)
    }

    fn new(io: EndpointIo, endpoint: &Arc<EndpointStats>, permit: UpstreamPermit) -> Self {
        endpoint.opened();
        Self { io, endpoint: Arc::clone(endpoint), _permit: permit }
    }

    /// Whether the endpoint has neither ended the connection nor sent anything on it. Takes what it sent, if it did.
    ///
    /// No system call unless the runtime knows of an event: a look at what it knows costs some sixty instructions.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match &mut self.io {
            EndpointIo::Plain(stream) => {
                // An event may be older than the last read; only the socket can tell.
                let looked = stream.try_io(Interest::READABLE, || {
                    let (count, _) = recv(&*stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
                    Ok(count)
                });
                looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            // Session tickets come when the endpoint likes; rustls takes them, and they are nothing to read.
            EndpointIo::Tls(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(stream.as_mut()).poll_read(&mut cx, &mut ReadBuf::new(&mut [0; 1])).is_pending()
            }
        }
    }

    /// Ends a connection that is not used: TLS says so, as far as that is possible at once.
    pub(crate) fn close(mut self) {
        if let EndpointIo::Tls(stream) = &mut self.io {
            let mut cx = Context::from_waker(Waker::noop());
            // Whatever becomes of it, the connection is dropped.
            let _told = Pin::new(stream.as_mut()).poll_shutdown(&mut cx);
        }
    }
}

impl Drop for EndpointStream {
    fn drop(&mut self) {
        self.endpoint.closed();
    }
}

/// Calls the method of whichever stream it is.
macro_rules! either {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match &mut $self.get_mut().io {
            EndpointIo::Plain(stream) => Pin::new(stream).$method($($argument),*),
            EndpointIo::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for EndpointStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for EndpointStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            EndpointIo::Plain(stream) => stream.is_write_vectored(),
            EndpointIo::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

//! A client's connection: what its handshake has agreed on, its socket, and how it is cut.
//!
//! The bytes are those of [`MaybeTls`]; what is here is only known of clients.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::tls::MaybeTls;

/// What the kernel takes of a response before it can be sent. Left alone it takes megabytes (`tcp_wmem`) for each
/// client, so that a few hundred slow readers exhaust what it has for all connections (`tcp_mem`), and everybody waits.
/// This much keeps a fast client busy until the worker comes round again.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Sends small responses at once, and keeps large ones from piling up in the kernel.
///
/// # Errors
/// When the connection is gone already.
pub(crate) fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

/// A client's connection.
pub(crate) type ClientStream = MaybeTls<TlsStream<TcpStream>>;

impl ClientStream {
    /// Whether HTTP/2 was agreed on in the handshake.
    #[must_use]
    pub(crate) fn agreed_on_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// The host that the client named in the handshake, in lower case.
    #[must_use]
    pub(crate) fn server_name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.server_name(),
        }
    }

    /// The socket, if nothing is around it.
    #[must_use]
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(_) => None,
        }
    }

    /// Ready when the socket has something to read, be it the end or an error; takes nothing. Bytes that TLS has read
    /// and not given yet do not count.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read_ready(cx)
    }

    /// Ends the connection with a reset, which cannot be taken for the end of what was sent.
    pub(crate) fn cut(self) {
        if let Err(error) = SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "a connection that is cut was gone already");
        }
    }

    /// Ends the connection without waiting for anything.
    pub(crate) fn close(mut self) {
        self.say_goodbye();
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn little_waits_in_the_kernel_for_a_client_that_does_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let (client, accepted) =
            tokio::join!(socket.connect(listener.local_addr().unwrap()), async { listener.accept().await.unwrap().0 });
        set_options(&accepted).unwrap();
        accepted.writable().await.unwrap();
        let mut count = 0;
        while let Ok(written) = accepted.try_write(&[0; 16 * 1024]) {
            count += written;
        }
        assert!((UNSENT_BYTES_MAX as usize / 2..512 * 1024).contains(&count), "{count}");
        drop(client);
    }
}

//! One client connection, whatever it speaks: which protocol that is, and how it ends.
//!
//! [`http1`] puts the codec of [`crate::http1`] to work with our limits, [`http2`] that of the crate `h2`; both call
//! the same [`proxy_request`](super::request::proxy_request::proxy_request) for a request. On TLS the protocol is what
//! was agreed on (ALPN). On a plain listener it is HTTP/1.1, unless the listener also takes HTTP/2 with prior
//! knowledge: then the first bytes tell, within the time that a head may take.

pub(crate) mod client_connection;
mod coop_budget;
pub(crate) mod date;
pub(crate) mod http1;
pub(crate) mod http2;
mod lingering_close;
pub(crate) mod park;
mod respond;
pub(crate) mod stream_permit;
pub(crate) mod transport;
pub(crate) mod write_timeout;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::accept::client_stream::{ClientStream, set_options};
use super::accept::tls_accept::secured;
use super::accept::waiting::unless_displaced;
use super::connection::client_connection::ClientConnection;
use super::drain;
use super::request::local_reply::LocalReply;
use super::worker::Worker;
use crate::stats::RejectReason;

/// What a client that speaks HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a server of HTTP/2 says to what is not that: its settings, and that it goes away because of a protocol error
/// (RFC 9113, 3.4).
const GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";

/// The most first bytes that are looked at to tell what they are.
const PEEKED_BYTES_MAX: usize = 128;

/// How long a connection is read at the most after its last response, so that unread bytes of the client do not turn
/// the response into a reset (RFC 9112, 9.6).
const LINGER_MAX: Duration = Duration::from_secs(10);

/// How long a client may fall silent in that time.
const LINGER_SILENCE_MAX: Duration = Duration::from_secs(1);

/// How many bytes are read in that time at the most: an upload that was refused may end, an endless one is cut off.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Serves `stream` until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: Rc<ClientConnection>) {
    let _counted = ConnectionGuard::new(&worker);
    if let Err(error) = set_options(&stream) {
        tracing::debug!(%error, "client connection ended before it began");
        return;
    }
    // On the heap, as what is below: the task of an idle connection has no room for them.
    let waiting = peer.waits(Instant::now());
    let beginning = drain::with_drain_deadline(&worker, begin(&worker, stream, &peer));
    let Some(begun) = Box::pin(unless_displaced(&waiting, beginning)).await else {
        return worker.stats.refused(RejectReason::Displaced);
    };
    let Some(Some((stream, protocol))) = begun else { return };
    match protocol {
        Ok(ClientProtocol::Http1) => http1::serve(worker, stream, peer, waiting).await,
        Ok(ClientProtocol::Http2) => Box::pin(http2::serve(worker, stream, peer, waiting)).await,
        Ok(ClientProtocol::Neither) => {
            worker.stats.refused(RejectReason::BadHead);
            Box::pin(write_error_and_close(stream, GOAWAY, peer.listener.idle_timeout)).await;
        }
        Err(NoProtocol::Late) => {
            worker.stats.refused(RejectReason::HeadTimeout);
            let reply = LocalReply::new(RejectReason::HeadTimeout, "the request's head did not come in time");
            Box::pin(write_error_and_close(stream, &reply.to_http1_bytes(false), peer.listener.idle_timeout)).await;
        }
        Err(NoProtocol::Gone) => {}
    }
}

/// All that comes before the first request.
async fn begin(
    worker: &Rc<Worker>,
    stream: TcpStream,
    peer: &ClientConnection,
) -> Option<(ClientStream, Result<ClientProtocol, NoProtocol>)> {
    let stream = secured(worker, stream, peer.listener.tls.as_ref()).await?;
    let protocol = protocol(&stream, peer).await;
    Some((stream, protocol))
}

/// What a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClientProtocol {
    Http1,
    Http2,
    /// Bytes that no client of HTTP/1.1 sends, where one of HTTP/2 may.
    Neither,
}

/// Why it is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NoProtocol {
    /// Part of a preface came, and then nothing.
    Late,
    /// Nothing came, or the client left.
    Gone,
}

async fn protocol(stream: &ClientStream, peer: &ClientConnection) -> Result<ClientProtocol, NoProtocol> {
    if stream.agreed_on_http2() {
        return Ok(ClientProtocol::Http2);
    }
    match stream.plain() {
        Some(plain) if peer.listener.h2c => {
            let mut begun = false;
            let limit = peer.listener.idle_timeout;
            match timeout(limit, peek(plain, &mut begun)).await {
                Ok(Ok(protocol)) => Ok(protocol),
                Ok(Err(_gone)) => Err(NoProtocol::Gone),
                Err(_elapsed) => Err(if begun { NoProtocol::Late } else { NoProtocol::Gone }),
            }
        }
        _ => Ok(ClientProtocol::Http1),
    }
}

/// Looks at the first bytes without taking them, until they are the preface or cannot become it.
async fn peek(stream: &TcpStream, begun: &mut bool) -> io::Result<ClientProtocol> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        // A part of the preface counts as nothing to read, so that the next look comes with the next bytes.
        let looked = stream.try_io(Interest::READABLE, || {
            let mut bytes = [0; PEEKED_BYTES_MAX];
            let (count, _) = recv(stream, &mut bytes, RecvFlags::PEEK)?;
            match &bytes[..count] {
                [] => Err(io::ErrorKind::UnexpectedEof.into()),
                whole if whole.starts_with(PREFACE) => Ok(ClientProtocol::Http2),
                part if PREFACE.starts_with(part) => {
                    *begun = true;
                    Err(io::ErrorKind::WouldBlock.into())
                }
                other if is_http1(other) => Ok(ClientProtocol::Http1),
                _ => Ok(ClientProtocol::Neither),
            }
        });
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if ready.is_read_closed() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            looked => return looked,
        }
    }
}

/// Whether what begins like this may be HTTP/1.1, if only a bad request of it: its first line names the protocol, or
/// has not ended yet. What begins with the first line of the preface is a client of HTTP/2 that breaks off there.
fn is_http1(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return true };
    !bytes.starts_with(&PREFACE[..14]) && bytes[..end].windows(6).any(|six| six.eq_ignore_ascii_case(b" HTTP/"))
}

/// Writes an error to a connection that has no codec (any more), and ends it.
async fn write_error_and_close(mut stream: ClientStream, reply: &[u8], limit: Duration) {
    // However it ends, the connection is over.
    let _written = timeout(limit, stream.write_all(reply)).await;
    close_lingering(stream).await;
}

/// Says that nothing more comes, and reads what the client still sends for a moment.
async fn close_lingering(mut stream: ClientStream) {
    use tokio::io::AsyncReadExt;
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
        Ok::<_, io::Error>(())
    };
    // However it ends, the connection is over: its errors and its delay do not matter any more.
    let _ended = timeout(LINGER_MAX, drained).await;
}

/// Counts an open connection; dropping it counts it out.
struct ConnectionGuard(Rc<Worker>);

impl ConnectionGuard {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.stats.connected();
        Self(Rc::clone(worker))
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.stats.disconnected();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a parked connection's task holds, besides the runtime's own: it has to stay small, whatever is added to the
    /// parts that serve.
    #[test]
    fn the_task_of_a_connection_is_small() {
        fn bytes_of<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = bytes_of(serve);
        assert!(bytes <= 768, "{bytes} bytes");
    }
}

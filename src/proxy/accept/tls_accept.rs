//! TLS with a client, before anything else: in time, or not at all.
//!
//! A failed handshake is counted and, because anybody can cause one with a port scan, told at debug level only.

use std::rc::Rc;
use std::sync::Arc;

use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::client_stream::ClientStream;
use crate::proxy::worker::Worker;
use crate::stats::{RejectReason, TlsHandshake};
use crate::tls::ServerTls;

/// The connection once it is what its listener speaks; `None` when TLS did not come about.
pub(crate) async fn secured(
    worker: &Rc<Worker>,
    stream: TcpStream,
    tls: Option<&Arc<ServerTls>>,
) -> Option<ClientStream> {
    let Some(side) = tls else { return Some(ClientStream::Plain(stream)) };
    let config = side.config();
    // On the heap: as a local it would be part of every connection's task for as long as that lives.
    let shaking = Box::pin(TlsAcceptor::from(Arc::clone(&config.rustls)).accept(stream));
    match timeout(side.settings().handshake_timeout, shaking).await {
        Ok(Ok(stream)) => {
            if let Err(error) = config.believes_still(stream.get_ref().1) {
                tracing::debug!(%error, place = side.place(), "a client has come back with a certificate of before");
                worker.stats.refused(RejectReason::TlsHandshake);
                return None;
            }
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            worker.stats.shook_hands(if resumed { TlsHandshake::Resumed } else { TlsHandshake::Full });
            Some(ClientStream::Tls(Box::new(stream)))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, place = side.place(), "no TLS with a client");
            worker.stats.refused(RejectReason::TlsHandshake);
            None
        }
        Err(_elapsed) => {
            worker.stats.refused(RejectReason::TlsTimeout);
            None
        }
    }
}

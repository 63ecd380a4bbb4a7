//! The accept loop of the admin API.
//!
//! Our own and not axum's, because the API shares a process, and so its descriptors, with the data plane: whoever can
//! connect must not be able to use them up. So connections are bounded, and one that sends no head is closed.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::listen::{Listener, Stream};
use crate::tls::ServerSide;
use crate::tls::certificate::client_name;

/// Connections at a time; the next ones wait in the backlog.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may be without the head of a request: longer than the pause between two scrapes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How long calls that are being answered may take after a shutdown.
const DRAIN: Duration = Duration::from_secs(5);

/// The pause after an accept that failed: without descriptors it would fail again at once, in a loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers on `listener` until `shutdown` ends, then finishes the calls that have begun.
pub(super) async fn serve(
    (listener, tls): (Listener, Option<Arc<ServerSide>>),
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok(stream) => {
                let (tls, router, stopped) = (tls.clone(), router.clone(), stopped.clone());
                connections.spawn(async move {
                    if let Some((stream, certificate)) = secured(stream, tls).await {
                        answer(stream, certificate, router, stopped).await;
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut when the set is dropped.
    tokio::time::timeout(DRAIN, drained).await.ok();
}

/// Whom the client certificate of a connection is for; its authority has been checked.
#[derive(Clone, Debug)]
pub(super) struct ClientCertificate(pub(super) Arc<str>);

/// The connection after its handshake, if there has to be one; `None` when that failed.
async fn secured(stream: Stream, tls: Option<Arc<ServerSide>>) -> Option<(Stream, Option<ClientCertificate>)> {
    let Some(side) = tls else { return Some((stream, None)) };
    let shaking = TlsAcceptor::from(Arc::clone(&side.config().rustls)).accept(stream);
    match timeout(side.settings().handshake_timeout, shaking).await {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| client_name(chain.first()?));
            Some((Box::new(stream), certificate.map(|name| ClientCertificate(name.into()))))
        }
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no TLS on an admin connection");
            None
        }
        Err(_elapsed) => None,
    }
}

/// Answers the calls of one connection.
async fn answer(
    stream: Stream,
    certificate: Option<ClientCertificate>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        router.call(request)
    });
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let stop = async {
        stopped.wait_for(|stopped| *stopped).await.ok();
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "an admin connection ended early");
    }
}

/// `accept` of either kind of listener.
impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is one write; waiting for an acknowledgement before its rest would cost 40 ms.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

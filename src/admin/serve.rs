//! The accept loop of the admin API.
//!
//! Our own and not axum's, because the API shares a process, and so its descriptors, with the data plane: a client that
//! can connect must not be able to use them up, nor to keep others out. Every connection is accepted at once and has a
//! [place](super::places); what its client owes has a [deadline](super::visit).

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::listen::{AdminListener, Stream};
use super::places::{ConnectionPlace, ConnectionPlaces, NoPlace};
use super::visit::{Origin, Visit};
use super::watched::{WatchedBody, WatchedStream};
use super::{AdminApi, AdminServer};
use crate::stats::AdminRefused;
use crate::tls::ServerTls;
use crate::tls::certificate::client_name;

/// How long calls that are being answered may take after a shutdown.
const DRAIN: Duration = Duration::from_secs(5);

/// Of all places, one in this many may be taken before the connections that have them are looked at.
const BATCH_PART: usize = 8;

/// What the kernel takes of an answer before it can be sent: enough to keep a reader busy, and little for one that
/// reads nothing and asks again and again.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// The pause after an accept that failed: without descriptors it would fail again at once, in a loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers calls until `shutdown` ends, then finishes the calls that have begun.
pub(crate) async fn serve(server: AdminServer, router: Router, shutdown: impl Future<Output = ()>) {
    let AdminServer { listener, tls, admin, .. } = server;
    let places = ConnectionPlaces::new(admin.access.connections_max());
    let (mut batch, batch_max) = (0, (admin.access.connections_max() / BATCH_PART).max(1));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, visit)) => {
                let visit = Arc::new(visit);
                match place(&places, &visit, &admin).await {
                    Ok(place) => {
                        let (tls, router, stopped) = (tls.clone(), router.clone(), stopped.clone());
                        let admin = Arc::clone(&admin);
                        connections.spawn(async move {
                            if let Some(reason) = converse(stream, tls, &visit, router, stopped).await {
                                admin.refused(reason);
                            }
                            drop(place);
                        });
                    }
                    Err(reason) => admin.refused(reason),
                }
                // Those that came are heard before later ones fill the places and displace them; and what was
                // displaced gives its descriptor back.
                batch += 1;
                if batch >= batch_max {
                    batch = 0;
                    yield_now().await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                // The client that has kept us waiting longest has a descriptor that another one can use.
                places.displace_one();
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

/// A place for a connection, if need be after a moment.
async fn place(
    places: &Arc<ConnectionPlaces>,
    visit: &Arc<Visit>,
    admin: &AdminApi,
) -> Result<ConnectionPlace, AdminRefused> {
    loop {
        let now = Instant::now();
        match places.enter(visit, now, |block| admin.access.logins().is_familiar(block, now)) {
            Ok(place) => return Ok(place),
            Err(NoPlace::Refused(reason)) => return Err(reason),
            Err(NoPlace::Until(then)) => sleep_until(then).await,
        }
    }
}

/// Whom the client certificate of a connection is for; its authority has been checked.
#[derive(Clone, Debug)]
pub(crate) struct ClientCertificate(pub(crate) Arc<str>);

/// One connection from its handshake to its end; why it was ended, if that is worth counting.
async fn converse(
    stream: Stream,
    tls: Option<Arc<ServerTls>>,
    visit: &Arc<Visit>,
    router: Router,
    stopped: watch::Receiver<bool>,
) -> Option<AdminRefused> {
    let conversation = async {
        if tls.is_some() {
            visit.shakes_hands(Instant::now());
        }
        match secured(stream, tls).await {
            Ok((stream, certificate)) => {
                visit.secured(Instant::now());
                respond(stream, certificate, visit, router, stopped).await;
                None
            }
            Err(reason) => Some(reason),
        }
    };
    tokio::select! {
        biased;
        ended = conversation => ended,
        why = visit.end() => why,
    }
}

/// The connection after its handshake, if there has to be one.
async fn secured(
    stream: Stream,
    tls: Option<Arc<ServerTls>>,
) -> Result<(Stream, Option<ClientCertificate>), AdminRefused> {
    let Some(tls) = tls else { return Ok((stream, None)) };
    let config = tls.config();
    let shaking = TlsAcceptor::from(Arc::clone(&config.rustls)).accept(stream);
    match timeout(tls.settings().handshake_timeout, shaking).await {
        Ok(Ok(stream)) => {
            if let Err(error) = config.believes_still(stream.get_ref().1) {
                tracing::debug!(%error, "a client of the admin API has come back with a certificate of before");
                return Err(AdminRefused::TlsHandshake);
            }
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| client_name(chain.first()?));
            Ok((Box::new(stream), certificate.map(|name| ClientCertificate(name.into()))))
        }
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no TLS on an admin connection");
            Err(AdminRefused::TlsHandshake)
        }
        Err(_elapsed) => Err(AdminRefused::TlsTimeout),
    }
}

/// Answers the calls of one connection.
async fn respond(
    stream: Stream,
    certificate: Option<ClientCertificate>,
    visit: &Arc<Visit>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let mut server = http1::Builder::new();
    // Its deadlines are the visit's.
    server.header_read_timeout(None);
    let router = TowerToHyperService::new(router);
    let caller = Arc::clone(visit);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let visit = Arc::clone(&caller);
        visit.called(Instant::now());
        let body = Arc::clone(&visit);
        let mut request = request.map(|incoming| Body::new(WatchedBody { incoming, visit: body }));
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        request.extensions_mut().insert(Arc::clone(&visit));
        let responding = router.call(request);
        async move {
            let response = responding.await;
            visit.responded(Instant::now());
            response
        }
    });
    let mut connection = pin!(server.serve_connection(TokioIo::new(WatchedStream::new(stream, visit)), service));
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
impl AdminListener {
    async fn accept(&self) -> io::Result<(Stream, Visit)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // An answer is one write; waiting for an acknowledgement before its rest would cost 40 ms.
                stream.set_nodelay(true)?;
                SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
                let visit =
                    Visit::new(Origin::of(address.ip()), address.ip().to_canonical().to_string(), Instant::now());
                Ok((Box::new(stream), visit))
            }
            Self::Unix(listener, _) => {
                let stream = listener.accept().await?.0;
                Ok((Box::new(stream), Visit::new(Origin::Unix, "unix".to_owned(), Instant::now())))
            }
        }
    }
}

//! The one client for requests of our own: a connection, one request, and as much of the answer as its sender wants.
//!
//! Health checks and smoke requests ask a [`Peer`], which is met as users' requests meet it: with the version's TLS,
//! whose files may have changed meanwhile, and in the version's protocol. Webhooks and the command line ask a
//! [site](super::site), which a URL or a path names. What is sent, what an answer means and the words of what goes
//! wrong belong to the senders.
//!
//! A new connection each time, because an endpoint whose accept queue is full or whose process is gone answers well on
//! connections that it has; what users meet is the next connection. None of this is traffic: it shares no connection
//! with users' requests and is in none of their counts.
//!
//! Why not a library such as reqwest: it brings pools, redirects, cookies, proxies and a second way to choose
//! authorities, dozens of crates in all, and each of those is something to turn off here. What is needed is one
//! request on one connection, and hyper, which does that, is here for the requests of users already.
//!
//! What must stay true: an exchange ends within its limit, the search for an address and the reading of the body
//! included; no more of a body is kept than was asked for; a redirect is an answer like others and is not followed; a
//! certificate is always checked; an error keeps what caused it, and which step it was.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::response::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::InvalidDnsNameError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinError;
use tokio::time::{Instant, timeout_at};

use crate::table::spec::Protocol;
use crate::tls::{ClientSettings, Clients, Handshake, TlsError, TlsFailure};

/// Longer than any process: what stands for a limit that no clock can hold.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// No answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The name has no address.
    #[error("cannot find its address")]
    Resolve(#[source] io::Error),
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// No TLS with an endpoint.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// The host of a site is none that a certificate can be for.
    #[error("its host is no name of a certificate")]
    HostName(#[from] InvalidDnsNameError),
    /// The files of our side of TLS with a site.
    #[error("{}", .0.iter().map(TlsError::line).collect::<Vec<_>>().join("; "))]
    Files(Vec<TlsError>),
    /// The task that reads those files.
    #[error(transparent)]
    Reader(#[from] JoinError),
    /// No TLS with a site.
    #[error("no TLS")]
    Handshake(#[source] io::Error),
    /// Something that is not HTTP, or the end.
    #[error("no HTTP answer")]
    Http(#[from] hyper::Error),
    /// A body that is longer than what is taken.
    #[error("found an answer of more than {0} bytes, want a shorter one")]
    TooLong(usize),
    /// Not all that was wanted in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl ExchangeError {
    /// Whether the time was up, in whichever step; a connection that the kernel gave up is another matter.
    #[must_use]
    pub(crate) fn is_late(&self) -> bool {
        match self {
            Self::Late(_) => true,
            Self::Connect(error) => error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none(),
            Self::Resolve(_)
            | Self::Tls(_)
            | Self::HostName(_)
            | Self::Files(_)
            | Self::Reader(_)
            | Self::Handshake(_)
            | Self::Http(_)
            | Self::TooLong(_) => false,
        }
    }
}

/// How long an answer is waited for, and how much of it is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeLimits {
    /// For all of it, from the search for an address to the end of what is read.
    pub time: Duration,
    /// What is read of the body.
    pub body: BodyWanted,
}

/// What is read of an answer's body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BodyWanted {
    /// Nothing: the head says it all.
    Nothing,
    /// Its first bytes, this many at most; what comes after them is left where it is.
    Beginning(usize),
    /// The same, but the head decides: what of it comes within `wait`, and be it broken off.
    Glimpse {
        /// This many bytes at most.
        bytes_max: usize,
        /// From the head on.
        wait: Duration,
    },
    /// All of it, which is an error if it has more bytes.
    Whole(usize),
}

/// An answer, as far as it was wanted.
#[derive(Debug)]
pub(crate) struct OutboundAnswer {
    /// Status and headers.
    pub head: Parts,
    /// What was read of the body.
    pub body: Vec<u8>,
}

/// An endpoint, and how it is met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer<'a> {
    /// Where it is.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// How TLS is spoken with it, if it is.
    pub tls: Option<&'a ClientSettings>,
    /// What the settings come to.
    pub clients: &'a Clients,
}

/// What is asked of a peer.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The `Host`, or what stands in its place.
    pub host: HeaderValue,
    /// Path and query.
    pub path: PathAndQuery,
    /// Method and headers; where it goes is in the other two.
    pub request: Request<Full<Bytes>>,
}

impl Peer<'_> {
    /// Connects as requests do, asks, and gives as much of the answer as is wanted.
    ///
    /// # Errors
    /// [`ExchangeError`] when there is no answer, or it breaks off before that.
    pub(crate) async fn ask(
        &self,
        question: Question,
        limits: ExchangeLimits,
    ) -> Result<OutboundAnswer, ExchangeError> {
        let wanted = limits.wanted();
        wanted.in_time(Box::pin(self.exchange(question, wanted))).await
    }

    async fn exchange(&self, question: Question, wanted: Wanted) -> Result<OutboundAnswer, ExchangeError> {
        let stream = TcpStream::connect(self.address).await.map_err(ExchangeError::Connect)?;
        stream.set_nodelay(true).map_err(ExchangeError::Connect)?;
        let Some(tls) = self.tls else { return self.over(stream, question, wanted).await };
        let stream = Handshake::with(tls, self.address, self.clients)?.on(stream).await?;
        self.over(stream, question, wanted).await
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        question: Question,
        wanted: Wanted,
    ) -> Result<OutboundAnswer, ExchangeError> {
        match self.protocol {
            Protocol::Http1 => {
                let read = async |answer| wanted.read(answer).await;
                over_http1(stream, question.for_http1(), read).await
            }
            Protocol::Http2 => over_http2(stream, question.for_http2(self.tls.is_some()), wanted).await,
        }
    }
}

impl Question {
    fn for_http1(self) -> Request<Full<Bytes>> {
        let Self { host, path, mut request } = self;
        *request.uri_mut() = Uri::from(path);
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        request
    }

    /// The host stands in the target (RFC 9113, 8.3.1).
    fn for_http2(self, secure: bool) -> Request<Full<Bytes>> {
        let Self { host, path, mut request } = self;
        let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
        // The config takes no host that is none.
        let authority = Authority::try_from(host.as_bytes()).unwrap_or_else(|_bad| Authority::from_static("localhost"));
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
        *request.uri_mut() = uri.unwrap_or_default();
        request.headers_mut().remove(HOST);
        request
    }
}

/// What is wanted, on the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    limits: ExchangeLimits,
    /// The end of the time for all of it.
    pub(crate) deadline: Instant,
}

impl ExchangeLimits {
    /// From now on.
    pub(crate) fn wanted(self) -> Wanted {
        let now = Instant::now();
        Wanted { limits: self, deadline: now.checked_add(self.time).unwrap_or_else(|| now + FOREVER) }
    }
}

impl Wanted {
    /// The exchange comes in a box: it holds a handshake and is kilobytes, which all futures around it would be too.
    pub(crate) async fn in_time<T>(
        self,
        exchange: impl Future<Output = Result<T, ExchangeError>>,
    ) -> Result<T, ExchangeError> {
        let late = |_elapsed| Err(ExchangeError::Late(self.limits.time));
        timeout_at(self.deadline, exchange).await.unwrap_or_else(late)
    }

    /// Reads as much of an answer as is wanted.
    pub(crate) async fn read(self, answer: Response<Incoming>) -> Result<OutboundAnswer, ExchangeError> {
        let (head, incoming) = answer.into_parts();
        let mut body = Vec::new();
        match self.limits.body {
            BodyWanted::Nothing => {}
            BodyWanted::Beginning(bytes_max) => beginning(incoming, bytes_max, &mut body).await?,
            BodyWanted::Glimpse { bytes_max, wait } => {
                // At the deadline, what is inside is asked before the limit around it, so that an answer whose head
                // came in time is one.
                let enough = self.deadline.min(Instant::now() + wait);
                let _all_or_some = timeout_at(enough, beginning(incoming, bytes_max, &mut body)).await;
            }
            BodyWanted::Whole(bytes_max) => {
                beginning(incoming, bytes_max.saturating_add(1), &mut body).await?;
                if body.len() > bytes_max {
                    return Err(ExchangeError::TooLong(bytes_max));
                }
            }
        }
        Ok(OutboundAnswer { head, body })
    }
}

/// Asks over HTTP/1.1, on a connection of its own, and has the answer read.
pub(crate) async fn over_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<OutboundAnswer, ExchangeError>,
) -> Result<OutboundAnswer, ExchangeError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    driven(async { read(sender.send_request(request).await?).await }, connection).await
}

async fn over_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    wanted: Wanted,
) -> Result<OutboundAnswer, ExchangeError> {
    // hyper leaves the connection to a task, which says goodbye when nothing asks any more.
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    driven(async { wanted.read(sender.send_request(request).await?).await }, connection).await
}

/// An exchange, while its `connection` is driven.
async fn driven<T>(exchange: impl Future<Output = T>, connection: impl Future<Output = hyper::Result<()>>) -> T {
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        received = &mut exchange => received,
        // It drives the exchange, and can end it at the moment it hands the rest over; the exchange has the error too.
        _ended = connection => exchange.await,
    }
}

/// Reads a body into `into`, up to `bytes_max`; what comes after that is left where it is.
async fn beginning(mut body: Incoming, bytes_max: usize, into: &mut Vec<u8>) -> hyper::Result<()> {
    while into.len() < bytes_max {
        let Some(frame) = body.frame().await else { return Ok(()) };
        if let Ok(data) = frame?.into_data() {
            let room = bytes_max - into.len();
            into.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(())
}

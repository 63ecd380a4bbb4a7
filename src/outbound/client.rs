//! The one client for requests of our own: a connection, one request, and as much of the answer as its sender wants.
//!
//! Health checks and smoke requests ask a [`Peer`], which is met as users' requests meet it: with the version's TLS,
//! whose files may have changed meanwhile, and in the version's protocol. Webhooks and the command line ask a
//! [`Site`], which a URL or a path names. What is sent, what an answer means and the words of what goes wrong belong to
//! the senders.
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
use std::path::Path;
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
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::table::spec::Protocol;
use crate::tls::{ClientSettings, Clients, Handshake, Load, TlsError, TlsFailure};

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
            Protocol::Http1 => over_http1(stream, question.for_http1(), wanted).await,
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

/// A place that a URL or a path names. It is asked over HTTP/1.1.
#[derive(Clone, Debug)]
pub(crate) enum Site<'a> {
    /// `HOST:PORT`.
    Tcp(&'a str),
    /// TLS with `HOST:PORT`.
    Tls {
        /// `HOST:PORT`; the certificate has to be for the host.
        authority: &'a str,
        /// Our side. Its files are read each time: calls are few, and a new authority counts at once.
        settings: ClientSettings,
    },
    /// A unix socket.
    Unix(&'a Path),
}

impl Site<'_> {
    /// Connects, sends `request`, which has all of its headers, and gives as much of the answer as is wanted.
    ///
    /// # Errors
    /// [`ExchangeError`] when there is no answer, or it breaks off before that.
    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        limits: ExchangeLimits,
    ) -> Result<OutboundAnswer, ExchangeError> {
        let wanted = limits.wanted();
        wanted.in_time(Box::pin(self.exchange(request, wanted))).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, wanted: Wanted) -> Result<OutboundAnswer, ExchangeError> {
        match self {
            Self::Tcp(authority) => over_http1(connect(authority, wanted.deadline).await?, request, wanted).await,
            Self::Tls { authority, settings } => {
                let stream = connect(authority, wanted.deadline).await?;
                over_http1(secured(authority, settings, stream).await?, request, wanted).await
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(ExchangeError::Connect)?;
                over_http1(stream, request, wanted).await
            }
        }
    }
}

/// Tries one address of `HOST:PORT` after the other, each for its part of the time: the first of them may be one that
/// swallows packets.
async fn connect(authority: &str, deadline: Instant) -> Result<TcpStream, ExchangeError> {
    let addresses: Vec<SocketAddr> = lookup_host(authority).await.map_err(ExchangeError::Resolve)?.collect();
    let left = deadline.saturating_duration_since(Instant::now());
    let share = left / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(late) => failed = late.into(),
        }
    }
    Err(ExchangeError::Connect(failed))
}

/// TLS with the host of `authority`.
async fn secured(
    authority: &str,
    settings: &ClientSettings,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, ExchangeError> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())?;
    let settings = settings.clone();
    // Reading hundreds of certificates takes milliseconds, from a disk.
    let loaded = spawn_blocking(move || settings.load(None)).await?.map_err(ExchangeError::Files)?;
    TlsConnector::from(loaded.config).connect(name, stream).await.map_err(ExchangeError::Handshake)
}

/// What is wanted, on the clock.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    limits: ExchangeLimits,
    deadline: Instant,
}

impl ExchangeLimits {
    /// From now on.
    fn wanted(self) -> Wanted {
        let now = Instant::now();
        Wanted { limits: self, deadline: now.checked_add(self.time).unwrap_or_else(|| now + FOREVER) }
    }
}

impl Wanted {
    /// The exchange comes in a box: it holds a handshake and is kilobytes, which all futures around it would be too.
    async fn in_time<T>(self, exchange: impl Future<Output = Result<T, ExchangeError>>) -> Result<T, ExchangeError> {
        let late = |_elapsed| Err(ExchangeError::Late(self.limits.time));
        timeout_at(self.deadline, exchange).await.unwrap_or_else(late)
    }

    /// Reads as much of an answer as is wanted.
    async fn read(self, answer: Response<Incoming>) -> Result<OutboundAnswer, ExchangeError> {
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

async fn over_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    wanted: Wanted,
) -> Result<OutboundAnswer, ExchangeError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    driven(async { wanted.read(sender.send_request(request).await?).await }, connection).await
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

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::super::fixture::{Server, ServerAct};

    const LONG: Duration = Duration::from_secs(60);

    fn request() -> Request<Full<Bytes>> {
        Request::get("/").header(HOST, "localhost").body(Full::default()).unwrap()
    }

    async fn asked(act: ServerAct, time: Duration, body: BodyWanted) -> Result<OutboundAnswer, ExchangeError> {
        let server = Server::new([act]).await;
        Site::Tcp(&server.address.to_string()).ask(request(), ExchangeLimits { time, body }).await
    }

    #[tokio::test]
    async fn as_much_of_a_body_is_read_as_is_wanted() {
        let read = async |body| asked(ServerAct::answer("200 OK", "hello"), LONG, body).await;
        for (wanted, text) in [
            (BodyWanted::Nothing, ""),
            (BodyWanted::Beginning(2), "he"),
            (BodyWanted::Glimpse { bytes_max: 3, wait: LONG }, "hel"),
            (BodyWanted::Whole(5), "hello"),
        ] {
            assert_eq!(read(wanted).await.unwrap().body, text.as_bytes(), "{wanted:?}");
        }
        assert!(matches!(read(BodyWanted::Whole(4)).await, Err(ExchangeError::TooLong(4))));
        let endless = asked(ServerAct::Endless("200 OK"), LONG, BodyWanted::Whole(1000)).await;
        assert!(matches!(endless, Err(ExchangeError::TooLong(1000))), "{endless:?}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_unless_the_head_decides() {
        let half = || ServerAct::raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        for wanted in [BodyWanted::Beginning(10), BodyWanted::Whole(10)] {
            let found = asked(half(), LONG, wanted).await;
            assert!(matches!(found, Err(ExchangeError::Http(_))), "{found:?}");
        }
        let glimpse = BodyWanted::Glimpse { bytes_max: 10, wait: LONG };
        assert_eq!(asked(half(), LONG, glimpse).await.unwrap().body, b"half");
    }

    #[tokio::test]
    async fn an_exchange_ends_within_its_limit() {
        let time = Duration::from_millis(200);
        let half = ServerAct::raw_open("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        for act in [ServerAct::Hang, half] {
            let error = asked(act, time, BodyWanted::Whole(10)).await.unwrap_err();
            assert!(matches!(error, ExchangeError::Late(limit) if limit == time) && error.is_late(), "{error:?}");
        }
        let endless = Duration::MAX;
        asked(ServerAct::answer("200 OK", ""), endless, BodyWanted::Whole(0)).await.unwrap();
    }

    #[tokio::test]
    async fn errors_say_which_step_it_was_and_keep_the_cause() {
        let limits = ExchangeLimits { time: LONG, body: BodyWanted::Nothing };
        let closed = Server::nobody().to_string();
        let error = Site::Tcp(&closed).ask(request(), limits).await.unwrap_err();
        let ExchangeError::Connect(cause) = &error else { panic!("{error:?}") };
        assert!(cause.kind() == io::ErrorKind::ConnectionRefused && !error.is_late(), "{error:?}");
        let error = Site::Tcp("no-port").ask(request(), limits).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Resolve(_)), "{error:?}");
        let error = Site::Unix(Path::new("/no/such/socket")).ask(request(), limits).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Connect(_)), "{error:?}");
        let error = asked(ServerAct::raw("SSH-2.0-OpenSSH\r\n"), LONG, BodyWanted::Nothing).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Http(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_unix_socket_is_asked_like_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1024];
            assert!(stream.read(&mut bytes).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        });
        let limits = ExchangeLimits { time: LONG, body: BodyWanted::Whole(2) };
        assert_eq!(Site::Unix(&path).ask(request(), limits).await.unwrap().body, b"hi");
    }
}

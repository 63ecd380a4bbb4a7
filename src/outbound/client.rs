//! One request of our own over a connection of its own: health checks, smoke requests, webhooks.
//!
//! A new connection each time, because an endpoint whose accept queue is full or whose process is gone answers well on
//! connections that it has; what users meet is the next connection. And an endpoint is met as users' requests meet it:
//! with the version's TLS, whose files may have changed meanwhile, and in the version's protocol. None of this is
//! traffic: it shares no connection with requests and is in none of their counts.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::table::spec::Protocol;
use crate::tls::{ClientSettings, Clients, Handshake, TlsFailure};

/// No answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// No TLS on it.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// Something that is not HTTP, or the end.
    #[error("no HTTP answer")]
    Http(#[from] hyper::Error),
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

/// What is asked of whom.
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
    /// Connects as requests do, asks, and gives what `receive` makes of the answer.
    ///
    /// # Errors
    /// [`ExchangeError`] when there is no answer, or it breaks off while `receive` reads it.
    pub(crate) async fn ask<F, T>(
        &self,
        question: Question,
        receive: impl FnOnce(Response<Incoming>) -> F,
    ) -> Result<T, ExchangeError>
    where
        F: Future<Output = hyper::Result<T>>,
    {
        let stream = TcpStream::connect(self.address).await.map_err(ExchangeError::Connect)?;
        stream.set_nodelay(true).map_err(ExchangeError::Connect)?;
        let Some(tls) = self.tls else { return Ok(self.over(stream, question, receive).await?) };
        let stream = Handshake::with(tls, self.address, self.clients)?.on(stream).await?;
        Ok(self.over(stream, question, receive).await?)
    }

    async fn over<F, T>(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        question: Question,
        receive: impl FnOnce(Response<Incoming>) -> F,
    ) -> hyper::Result<T>
    where
        F: Future<Output = hyper::Result<T>>,
    {
        match self.protocol {
            Protocol::Http1 => over_http1(stream, question.for_http1(), receive).await,
            Protocol::Http2 => over_http2(stream, question.for_http2(self.tls.is_some()), receive).await,
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

/// Asks over HTTP/1.1; `request` has its `Host`.
///
/// # Errors
/// When there is no answer, or it breaks off while `receive` reads it.
pub(crate) async fn over_http1<F, T>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    receive: impl FnOnce(Response<Incoming>) -> F,
) -> hyper::Result<T>
where
    F: Future<Output = hyper::Result<T>>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    driven(async { receive(sender.send_request(request).await?).await }, connection).await
}

async fn over_http2<F, T>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    receive: impl FnOnce(Response<Incoming>) -> F,
) -> hyper::Result<T>
where
    F: Future<Output = hyper::Result<T>>,
{
    // hyper leaves the connection to a task, which says goodbye when no caller asks any more.
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    driven(async { receive(sender.send_request(request).await?).await }, connection).await
}

/// An exchange, while its `connection` is driven.
async fn driven<T>(
    exchange: impl Future<Output = hyper::Result<T>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> hyper::Result<T> {
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        received = &mut exchange => received,
        // It drives the exchange, and can end it at the moment it hands the rest over; the exchange has the error too.
        _ended = connection => exchange.await,
    }
}

/// Reads a body into `into`, up to `bytes_max`; what comes after that is left where it is.
///
/// # Errors
/// When the body breaks off before that.
pub(crate) async fn beginning(mut body: Incoming, bytes_max: usize, into: &mut Vec<u8>) -> hyper::Result<()> {
    while into.len() < bytes_max {
        let Some(frame) = body.frame().await else { return Ok(()) };
        if let Ok(data) = frame?.into_data() {
            let room = bytes_max - into.len();
            into.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(())
}

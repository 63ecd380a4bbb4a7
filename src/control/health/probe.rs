//! One check: a connection of its own, one request, the head of the answer.
//!
//! A new connection each time, because an endpoint whose accept queue is full or whose process is gone answers well on
//! connections that it has; what users meet is the next connection. And it is made as theirs are: with the version's TLS,
//! whose files may have changed since the last check, and in the version's protocol.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::table::health::HealthSpec;
use crate::table::spec::{Protocol, VersionSpec};
use crate::tls::{ClientSettings, Clients, Handshake, TlsFailure};

/// Who asks: origins tell checks from users by it.
const AGENT: &str = concat!("pointsman-health/", env!("CARGO_PKG_VERSION"));

/// How an endpoint is asked.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Where it is.
    pub address: SocketAddr,
    /// The `Host` unless the spec has one.
    pub host: HeaderValue,
    /// What is asked and wanted.
    pub spec: ProbeSpec,
    /// What the version's TLS comes to.
    pub clients: Arc<Clients>,
}

/// What a version says of its checks.
#[derive(Clone, PartialEq, Debug)]
pub struct ProbeSpec {
    /// What is asked and wanted.
    pub health: Arc<HealthSpec>,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// How TLS is spoken with them, if it is.
    pub tls: Option<Arc<ClientSettings>>,
}

impl ProbeSpec {
    /// That of a version; `None` if it is not checked.
    #[must_use]
    pub fn of(version: &VersionSpec) -> Option<Self> {
        let health = version.health.clone()?;
        Some(Self { health, protocol: version.protocol, tls: version.tls.clone() })
    }
}

/// How a check failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// No TLS on it.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// No answer in time, the connection included.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Something that is not HTTP, or the end.
    #[error("no HTTP answer")]
    Http(#[from] hyper::Error),
    /// An answer that is not wanted.
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
}

impl ProbeError {
    /// The error and its causes, on one line: what an operator sees of it.
    #[must_use]
    pub fn line(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

impl Probe {
    /// Asks once.
    ///
    /// # Errors
    /// [`ProbeError`] unless a wanted answer comes in time.
    pub async fn ask(&self) -> Result<(), ProbeError> {
        let health = &self.spec.health;
        let asked = timeout(health.timeout, self.status()).await;
        let status = asked.map_err(|_late| ProbeError::Timeout(health.timeout))??;
        if health.expects(status) { Ok(()) } else { Err(ProbeError::Status(status)) }
    }

    /// Connects as requests do, and asks.
    async fn status(&self) -> Result<StatusCode, ProbeError> {
        let stream = TcpStream::connect(self.address).await.map_err(ProbeError::Connect)?;
        stream.set_nodelay(true).map_err(ProbeError::Connect)?;
        let Some(tls) = &self.spec.tls else { return self.exchange(stream).await };
        let stream = Handshake::with(tls, self.address, &self.clients)?.on(stream).await?;
        self.exchange(stream).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<StatusCode, ProbeError> {
        match self.spec.protocol {
            Protocol::Http1 => {
                let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                head_of(sender.send_request(self.http1_request()), connection).await
            }
            Protocol::Http2 => {
                // hyper leaves the connection to a task, which says goodbye when nobody asks any more.
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                head_of(sender.send_request(self.http2_request()), connection).await
            }
        }
    }

    fn request(&self, uri: Uri) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.spec.health.method.clone();
        *request.uri_mut() = uri;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request
    }

    fn host(&self) -> &HeaderValue {
        self.spec.health.host.as_ref().unwrap_or(&self.host)
    }

    fn http1_request(&self) -> Request<Empty<Bytes>> {
        let mut request = self.request(Uri::from(self.spec.health.path.clone()));
        let headers = request.headers_mut();
        headers.insert(HOST, self.host().clone());
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        request
    }

    /// The host stands in the target (RFC 9113, 8.3.1).
    fn http2_request(&self) -> Request<Empty<Bytes>> {
        let scheme = if self.spec.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let authority = Authority::try_from(self.host().as_bytes());
        // The config takes no host that is none.
        let authority = authority.unwrap_or_else(|_bad| Authority::from_static("localhost"));
        let uri =
            Uri::builder().scheme(scheme).authority(authority).path_and_query(self.spec.health.path.clone()).build();
        self.request(uri.unwrap_or_default())
    }
}

/// The status of an answer, while `connection` is driven.
async fn head_of(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> Result<StatusCode, ProbeError> {
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => Ok(answer?.status()),
        // It drives the exchange, and can end it at the moment it hands the answer over; the answer has the error too.
        _ended = connection => Ok(answer.await?.status()),
    }
}

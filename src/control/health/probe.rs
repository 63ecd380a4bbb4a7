//! One check: a connection of its own, one request, the head of the answer.
//!
//! A new connection each time, because an endpoint whose accept queue is full or whose process is gone answers well on
//! connections that it has; what users meet is the next connection.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::table::health::HealthSpec;

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
    pub spec: Arc<HealthSpec>,
}

/// How a check failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// No answer in time, the connection included.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Something that is not HTTP, or the end.
    #[error("no HTTP answer: {0}")]
    Http(#[from] hyper::Error),
    /// An answer that is not wanted.
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
}

impl Probe {
    /// Asks once.
    ///
    /// # Errors
    /// [`ProbeError`] unless a wanted answer comes in time.
    pub async fn ask(&self) -> Result<(), ProbeError> {
        let asked = async {
            let stream = self.connect().await.map_err(ProbeError::Connect)?;
            self.exchange(stream).await
        };
        let status =
            timeout(self.spec.timeout, asked).await.map_err(|_late| ProbeError::Timeout(self.spec.timeout))??;
        if self.spec.expects(status) { Ok(()) } else { Err(ProbeError::Status(status)) }
    }

    /// The connection that is asked over. A version whose requests go over TLS or HTTP/2 has its checks go the same way
    /// from here on: whatever this returns is what [`Probe::exchange`] talks over.
    async fn connect(&self) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<StatusCode, ProbeError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut answer = pin!(sender.send_request(self.request()));
        tokio::select! {
            biased;
            answer = &mut answer => Ok(answer?.status()),
            // It drives the exchange, and can end it at the moment it hands the answer over; the answer has the error too.
            _ended = connection => Ok(answer.await?.status()),
        }
    }

    fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.spec.method.clone();
        *request.uri_mut() = Uri::from(self.spec.path.clone());
        let headers = request.headers_mut();
        headers.insert(HOST, self.spec.host.as_ref().unwrap_or(&self.host).clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        request
    }
}

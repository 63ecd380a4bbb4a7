//! One check: a connection of its own, one request, the head of the answer.
//!
//! [`client`](crate::outbound::client) says why a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;

use crate::outbound::client::{BodyWanted, ExchangeError, ExchangeLimits, Peer, Question};
use crate::problem::chain;
use crate::shared::shortage;
use crate::table::spec::health_check::HealthSpec;
use crate::table::spec::{Protocol, VersionSpec};
use crate::tls::{ClientSettings, Clients};

/// Who asks: origins tell checks from users by it.
const AGENT: &str = concat!("pointsman-health/", env!("CARGO_PKG_VERSION"));

/// How an endpoint is asked.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
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
pub(crate) struct ProbeSpec {
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
    pub(crate) fn of(version: &VersionSpec) -> Option<Self> {
        let health = version.health.clone()?;
        Some(Self { health, protocol: version.protocol, tls: version.tls.clone() })
    }
}

/// How a check failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// No answer.
    #[error(transparent)]
    Exchange(ExchangeError),
    /// No answer in time, the connection included.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// An answer that is not wanted.
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
}

impl From<ExchangeError> for ProbeError {
    fn from(error: ExchangeError) -> Self {
        if let ExchangeError::Late(limit) = error { Self::Timeout(limit) } else { Self::Exchange(error) }
    }
}

impl ProbeError {
    /// Whether it is for want of descriptors or ports of our own, and says nothing of the endpoint.
    #[must_use]
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Exchange(ExchangeError::Connect(error)) if shortage::is_own(error))
    }

    /// The error and its causes, on one line: what an operator sees of it.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        chain(self)
    }
}

impl Probe {
    /// Asks once.
    ///
    /// # Errors
    /// [`ProbeError`] unless a wanted answer comes in time.
    pub(crate) async fn ask(&self) -> Result<(), ProbeError> {
        let health = &self.spec.health;
        let status = self.status().await?;
        if health.expects(status) { Ok(()) } else { Err(ProbeError::Status(status)) }
    }

    async fn status(&self) -> Result<StatusCode, ExchangeError> {
        let ProbeSpec { health, protocol, tls } = &self.spec;
        let peer = Peer { address: self.address, protocol: *protocol, tls: tls.as_deref(), clients: &self.clients };
        let mut request = Request::new(Full::<Bytes>::default());
        *request.method_mut() = health.method.clone();
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let host = health.host.as_ref().unwrap_or(&self.host).clone();
        let question = Question { host, path: health.path.clone(), request };
        let limits = ExchangeLimits { time: health.timeout, body: BodyWanted::Nothing };
        Ok(peer.ask(question, limits).await?.head.status)
    }
}

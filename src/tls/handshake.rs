//! TLS with an endpoint, between its TCP connection and its HTTP. Whatever goes wrong here is a connection that did not
//! come about: nothing of a request was sent.
//!
//! Requests and health checks come through here both: an endpoint that passes its checks is one that requests reach.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client_config::Clients;
use super::tls_settings::{Alpn, ClientSettings};

/// How TLS is spoken with one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    config: Arc<ClientConfig>,
    address: SocketAddr,
    name: ServerName<'static>,
    /// Whether nothing but HTTP/2 will do.
    http2: bool,
}

/// There is no TLS with an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFailure {
    /// The handshake failed.
    #[error("no TLS with {address} as {name}: {why}")]
    Handshake {
        /// The endpoint.
        address: SocketAddr,
        /// Whom its certificate has to be for.
        name: String,
        /// What to do.
        why: &'static str,
        /// What rustls or the network said.
        #[source]
        source: io::Error,
    },
    /// HTTP/2 was not agreed on.
    #[error("no HTTP/2 with {0}: it did not agree on it (ALPN); does it speak h2 on this port?")]
    NoHttp2(SocketAddr),
    /// The version's settings came into force without their files.
    #[error("the TLS settings of {0} were never read, which is a bug")]
    Unprepared(SocketAddr),
}

impl Handshake {
    /// What a new connection to `address` under `settings` needs.
    ///
    /// # Errors
    /// When the settings were not prepared.
    pub(crate) fn with(settings: &ClientSettings, address: SocketAddr, clients: &Clients) -> Result<Self, TlsFailure> {
        let config = clients.config(settings).ok_or(TlsFailure::Unprepared(address))?;
        let http2 = settings.alpn == [Alpn::H2];
        Ok(Self { config, address, name: settings.name_for(address.ip()), http2 })
    }

    /// Speaks TLS on `stream`, which is connected to the address.
    ///
    /// # Errors
    /// [`TlsFailure`], which says why in the operator's words.
    pub(crate) async fn on(self, stream: TcpStream) -> Result<TlsStream<TcpStream>, TlsFailure> {
        let Self { config, address, name, http2 } = self;
        let connected = TlsConnector::from(config).connect(name.clone(), stream).await;
        let stream = connected.map_err(|source| {
            let cause = source.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
            let why = cause.map_or("the connection ended in the handshake", why);
            TlsFailure::Handshake { address, name: name.to_str().into_owned(), why, source }
        })?;
        // HTTP/1.1 is what an origin speaks that knows nothing of ALPN; HTTP/2 over TLS is never guessed.
        match stream.get_ref().1.alpn_protocol() {
            agreed if http2 && agreed != Some(b"h2") => Err(TlsFailure::NoHttp2(address)),
            _ => Ok(stream),
        }
    }
}

/// The usual reasons, and what mends them.
fn why(error: &rustls::Error) -> &'static str {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    #[expect(clippy::wildcard_enum_match_arm, reason = "the source says the rest, and there are dozens")]
    match error {
        InvalidCertificate(CertificateError::UnknownIssuer) => "its certificate is not from an authority of tls.ca",
        InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate is for another name; set tls.server_name to one that it has"
        }
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "its certificate is not valid yet; is a clock wrong?"
        }
        // The library says it in a type that it keeps to itself.
        InvalidCertificate(CertificateError::Other(other)) if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's own; issue one for the server with it (CA:FALSE)"
        }
        InvalidCertificate(_) => "its certificate is not good",
        AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown,
        ) => "it does not take our certificate; look at tls.cert and tls.key",
        InvalidMessage(_) => "it does not speak TLS on this port",
        _ => "it and we do not agree",
    }
}

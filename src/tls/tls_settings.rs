//! The TLS settings of a config. Nothing here has been read from a file.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;

/// A certificate chain and its private key, both PEM.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct KeyPair {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
}

/// A protocol that a connection may speak, by its ALPN name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Alpn {
    /// HTTP/2.
    H2,
    /// HTTP/1.1.
    Http11,
}

impl Alpn {
    /// All of them, the preferred one first.
    pub const ALL: [Self; 2] = [Self::H2, Self::Http11];

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::Http11 => "http/1.1",
        }
    }
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MinVersion {
    /// 1.2: what every client of the last ten years speaks, safe with the cipher suites that rustls has.
    Tls12,
    /// 1.3.
    Tls13,
}

/// Client certificates on a listener.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClientAuth {
    /// The authorities that sign them, PEM.
    pub ca: PathBuf,
    /// Whether a client without one is turned away.
    pub required: bool,
}

/// The serving end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServerSettings {
    /// Certificates, at least one; the first is for clients that name no host, or an unknown one.
    pub certificates: Vec<KeyPair>,
    /// Protocols, at least one, the preferred one first.
    pub alpn: Vec<Alpn>,
    /// The oldest version of TLS.
    pub min_version: MinVersion,
    /// Client certificates, if they are asked for.
    pub client_auth: Option<ClientAuth>,
    /// Keys of tickets that other processes have as well; none: keys that this process makes itself.
    pub ticket_keys: Option<PathBuf>,
    /// Longest wait for a handshake.
    pub handshake_timeout: Duration,
}

/// Whose certificates are believed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Trust {
    /// Those of the authorities in a file, PEM.
    Ca(PathBuf),
    /// Those that the system trusts: every public authority there is.
    System,
}

/// The connecting end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClientSettings {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Our own certificate, if the servers ask for one.
    pub identity: Option<KeyPair>,
    /// The name that a server's certificate must have and that it is asked for; `None`: its address.
    pub server_name: Option<String>,
    /// Protocols, at least one, the preferred one first.
    pub alpn: Vec<Alpn>,
}

impl ClientSettings {
    /// Whom the certificate of the server at `address` must be for.
    #[must_use]
    pub fn name_for(&self, address: IpAddr) -> ServerName<'static> {
        let configured = self.server_name.clone().and_then(|name| ServerName::try_from(name).ok());
        configured.unwrap_or_else(|| ServerName::from(address))
    }

    /// Whether `name` is one that a certificate can have.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        ServerName::try_from(name).is_ok()
    }
}

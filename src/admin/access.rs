//! Access to the admin API: tokens with roles, and the hosts under which a browser may know us.
//!
//! A browser that visits a hostile page can be made to send requests to loopback, and by DNS rebinding even to read the
//! answers. So a request has to name a host from a short list, and one that comes from a page (`Origin`) has to come
//! from that list too. On a unix socket there is no browser and no name, and the file's mode decides.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::logins::Logins;
use super::places::CONNECTIONS_MAX;
use crate::tokens::{AccessRole, AccessToken, BadToken, Tokens};

/// Who is let in, as the config says it.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// Host names besides our own address and localhost.
    pub hosts: Vec<String>,
    /// The tokens; without any, everybody who can connect may do everything.
    pub tokens: Vec<AccessToken>,
    /// Names in client certificates, and what they allow.
    pub clients: Vec<(String, AccessRole)>,
    /// Connections at a time, if there are not descriptors for [`CONNECTIONS_MAX`].
    pub connections_max: Option<usize>,
}

/// Where the API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Who is let in, ready to be asked.
pub struct Access {
    /// Allowed hosts; none on a unix socket, where every host is good.
    hosts: Option<Vec<String>>,
    /// The port that a literal address may have, when we listen on all addresses.
    any_address: Option<u16>,
    tokens: Tokens,
    clients: Vec<(Arc<str>, AccessRole)>,
    logins: Logins,
    connections_max: usize,
}

/// Why the API cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Tokens cannot be used.
    #[error("{}", lines(.0).join("\n"))]
    Tokens(Vec<BadToken>),
    /// An open door.
    #[error(
        "admin.address: found {0} and no token, want a token or client certificates for an address that others can reach; add [admin.tokens] or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
}

impl Access {
    /// Reads the tokens and works out the hosts for `address`, the one that is bound.
    ///
    /// # Errors
    /// [`AccessError`] when a token cannot be used, or anybody could come in.
    pub fn new(address: &Address, settings: &AccessSettings) -> Result<Self, AccessError> {
        let tokens = Tokens::new("admin", settings.tokens.clone()).map_err(AccessError::Tokens)?;
        let clients: Vec<_> = settings.clients.iter().map(|(name, role)| (name.as_str().into(), *role)).collect();
        let connections_max = settings.connections_max.unwrap_or(CONNECTIONS_MAX);
        let access = |hosts, any_address, clients| {
            let logins = Logins::default();
            Self { hosts, any_address, tokens, clients, logins, connections_max }
        };
        match address {
            Address::Unix(_) => Ok(access(None, None, clients)),
            Address::Tcp(socket) if !socket.ip().is_loopback() && settings.tokens.is_empty() && clients.is_empty() => {
                Err(AccessError::Open(*socket))
            }
            Address::Tcp(socket) => {
                let port = socket.port();
                let own = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}"));
                let configured = settings.hosts.iter().map(|host| host.to_ascii_lowercase());
                let hosts = own.into_iter().chain([socket.to_string()]).chain(configured).collect();
                let any_address = socket.ip().is_unspecified().then_some(port);
                Ok(access(Some(hosts), any_address, clients))
            }
        }
    }

    /// Whether a request may name `host`. A host of the config stands for every port.
    #[must_use]
    pub fn knows_host(&self, host: &str) -> bool {
        self.hosts.is_none() || self.lists(host)
    }

    /// Whether a page from `origin` may call us; also on a unix socket no page may.
    #[must_use]
    pub fn knows_origin(&self, origin: &str) -> bool {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| self.lists(host))
    }

    fn lists(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host.as_str(),
        };
        // A name can be rebound, an address cannot: when we listen on all of them, each is our own.
        let literal = || host.parse::<SocketAddr>().is_ok_and(|address| Some(address.port()) == self.any_address);
        self.hosts.iter().flatten().any(|known| *known == host || *known == name) || literal()
    }

    /// Who sends these credentials: the author and the role. A token counts before a certificate: a client that sends
    /// one wants to be known by it. Without tokens and clients, everybody is `local` and may operate.
    #[must_use]
    pub fn caller(&self, authorization: Option<&[u8]>, certificate: Option<&str>) -> Option<(Arc<str>, AccessRole)> {
        if self.is_open() {
            return Some(("local".into(), AccessRole::Operate));
        }
        if authorization.is_none() || self.tokens.in_use().is_empty() {
            return self.clients.iter().find(|(name, _)| certificate == Some(&**name)).cloned();
        }
        let (scheme, secret) = authorization?.split_at_checked("bearer ".len())?;
        let secret = scheme.eq_ignore_ascii_case(b"bearer ").then(|| secret.trim_ascii())?;
        self.tokens.find(secret)
    }

    /// Whether everybody who can connect may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.in_use().is_empty() && self.clients.is_empty()
    }

    /// Logins that failed, and addresses that have shown a good token.
    pub(crate) fn logins(&self) -> &Logins {
        &self.logins
    }

    /// Connections at a time.
    pub(crate) fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// The tokens, which can change while it is asked.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

/// A line for each.
fn lines(bad: &[BadToken]) -> Vec<String> {
    bad.iter().map(ToString::to_string).collect()
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("hosts", &self.hosts)
            .field("tokens", &self.tokens.in_use().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(address: &str, hosts: &[&str]) -> Access {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let settings = AccessSettings { hosts, ..AccessSettings::default() };
        Access::new(&Address::Tcp(address.parse().expect("an address")), &settings).expect("loopback")
    }

    #[test]
    fn hosts_are_a_short_list() {
        let access = access("127.0.0.1:9900", &["Admin.example.com"]);
        for good in ["localhost:9900", "127.0.0.1:9900", "[::1]:9900", "admin.example.com", "ADMIN.example.com:443"] {
            assert!(access.knows_host(good), "{good}");
        }
        for bad in ["", "localhost", "localhost:80", "evil.example", "127.0.0.1.evil.example:9900", "10.0.0.1:9900"] {
            assert!(!access.knows_host(bad), "{bad}");
        }
        assert!(access.knows_origin("http://localhost:9900"));
        assert!(!access.knows_origin("null") && !access.knows_origin("https://evil.example"));
    }

    #[test]
    fn an_open_door_is_refused() {
        let address = Address::Tcp("0.0.0.0:9900".parse().expect("an address"));
        let error = Access::new(&address, &AccessSettings::default()).expect_err("no token");
        assert!(matches!(error, AccessError::Open(_)), "{error}");
    }
}

//! `[admin]`: who may look at and change what, and where.
//!
//! Without the section the admin API answers on loopback. To open it to a network takes a token: a switch
//! of all traffic that anybody can throw is not a default, and not an oversight that a config may hold.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::admin_token::{AdminRole, AdminToken};
use crate::config::build::Build;
use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::ErrorGuaranteed;
use crate::config::service::route;
use crate::config::tls::RawServerTls;
use crate::problem::Mismatch;
use crate::table::spec::HostPattern;
use crate::tls::{Alpn, ServerSettings};

/// The admin API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminConfig {
    /// Where it listens.
    pub address: AdminAddress,
    /// Host names that it answers besides its own address and localhost; lower case, without a port.
    pub hosts: Vec<String>,
    /// Who may use it.
    pub tokens: Vec<AdminToken>,
    /// TLS, if it is spoken.
    pub tls: Option<ServerSettings>,
    /// Who may use it by a client certificate.
    pub clients: Vec<CertificateClient>,
}

/// Where the admin API listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AdminAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl AdminAddress {
    /// Where that is in the network.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => Some(*socket),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A caller that is known by a client certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateClient {
    /// The name in the certificate, and the author of the changes.
    pub name: String,
    /// What it allows.
    pub role: AdminRole,
}

impl Default for AdminConfig {
    fn default() -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);
        Self {
            address: AdminAddress::Tcp(address),
            hosts: Vec::new(),
            tokens: Vec::new(),
            tls: None,
            clients: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawAdmin {
    address: Option<String>,
    hosts: List<String>,
    tokens: BTreeMap<String, RawToken>,
    tls: Option<RawServerTls>,
    clients: BTreeMap<String, RawClient>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawToken {
    role: Option<AdminRole>,
    file: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawClient {
    role: Option<AdminRole>,
}

impl RawAdmin {
    /// The TCP address that it listens on, if it can be read.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        match (&self.address, AdminConfig::default().address) {
            (Some(text), _) => text.parse().ok(),
            (None, AdminAddress::Tcp(address)) => Some(address),
            (None, AdminAddress::Unix(_)) => None,
        }
    }

    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<AdminConfig, ErrorGuaranteed> {
        let address_at = at.key("address");
        let address = match &self.address {
            Some(text) => address(text, &address_at, build),
            None => Ok(AdminConfig::default().address),
        };
        let (hosts_at, tokens_at) = (at.key("hosts"), at.key("tokens"));
        let hosts = every(self.hosts.iter().map(|(i, text)| host(text, &hosts_at.item(i), build)));
        let tokens = every(self.tokens.iter().map(|(name, raw)| raw.build(name, &tokens_at.key(name), build)));
        let clients_at = at.key("clients");
        let clients = every(self.clients.iter().map(|(name, raw)| raw.build(name, &clients_at.key(name), build)));
        let tls = self.tls(&address, at, build);
        let address = address?;
        if let AdminAddress::Tcp(socket) = address
            && !socket.ip().is_loopback()
            && self.tokens.is_empty()
            && self.clients.is_empty()
        {
            let text = Mismatch::new(
                format!("{socket} and no token"),
                "a token or client certificates for an address that others can reach",
                "add [admin.tokens.NAME], or use 127.0.0.1 or a unix socket",
            );
            return Err(build.report.unless(&tokens_at, &address_at, text));
        }
        Ok(AdminConfig { address, hosts: hosts?, tokens: tokens?, tls: tls?, clients: clients? })
    }

    /// TLS, and whether client certificates and those who may use them fit together.
    fn tls(
        &self,
        address: &Result<AdminAddress, ErrorGuaranteed>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<Option<ServerSettings>, ErrorGuaranteed> {
        let tls_at = at.key("tls");
        let (ca_at, clients_at) = (tls_at.key("client_ca"), at.key("clients"));
        let settings = self.tls.as_ref().map(|raw| raw.build(&[Alpn::Http11], build.base, &tls_at, &mut build.report));
        let settings = settings.transpose()?;
        let asks = settings.as_ref().is_some_and(|settings| settings.client_auth.is_some());
        if settings.is_some() && matches!(address, Ok(AdminAddress::Unix(_))) {
            let text =
                Mismatch::new("it on a unix socket, whose file says who may connect", "it on IP:PORT", "remove it");
            return Err(build.report.problem(&tls_at, text));
        }
        if settings.as_ref().is_some_and(|settings| settings.alpn != [Alpn::Http11]) {
            let text = Mismatch::new("another protocol than \"http/1.1\"", "that alone", "leave it out");
            return Err(build.report.problem(&tls_at.key("alpn"), text));
        }
        if !self.clients.is_empty() && !asks {
            let text = Mismatch::new(
                "clients, and no authority of their certificates",
                "one",
                "add client_ca = \"clients.pem\" to tls",
            );
            return Err(build.report.unless(&ca_at, &clients_at, text));
        }
        if asks && self.clients.is_empty() && self.tokens.is_empty() {
            let text = Mismatch::new(
                "client certificates, and nobody who may use them",
                "a role for each",
                "add [admin.clients.NAME] with role = \"read\" or \"operate\"",
            );
            return Err(build.report.unless(&clients_at, &ca_at, text));
        }
        Ok(settings)
    }
}

impl RawClient {
    fn build(
        &self,
        name: &str,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<CertificateClient, ErrorGuaranteed> {
        // A common name has at most 64 characters, and is often a person's.
        let good = (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !good {
            let text = Mismatch::new(
                format!("{name:?}"),
                "the name of a client certificate",
                "its CN, or else its first DNS name",
            );
            return Err(build.report.problem(at, text));
        }
        Ok(CertificateClient { name: name.to_owned(), role: role(self.role, at, build)? })
    }
}

impl RawToken {
    fn build(&self, name: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<AdminToken, ErrorGuaranteed> {
        let file_at = at.key("file");
        let file = match &self.file {
            Some(text) => check::file(text, build.base, &file_at, &mut build.report),
            None => Err(build
                .report
                .missing(&file_at, Mismatch::new("none", "the file of the token", "add file = \"ops.token\""))),
        };
        let role = role(self.role, at, build);
        let name = check::name(name, at, &mut build.report);
        let (name, file) = (name?, file?);
        // Whatever its role, the file is looked at.
        let token = AdminToken { name, role: role.unwrap_or(AdminRole::Read), file };
        build.report.files.tokens.push((build.report.key(&file_at), token.clone()));
        role.map(|_| token)
    }
}

fn role(role: Option<AdminRole>, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<AdminRole, ErrorGuaranteed> {
    role.ok_or_else(|| {
        let text = Mismatch::new("none", "\"read\" or \"operate\"", "add role = \"read\"");
        build.report.missing(&at.key("role"), text)
    })
}

/// `IP:PORT` or `unix:PATH`.
fn address(text: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<AdminAddress, ErrorGuaranteed> {
    match text.strip_prefix("unix:") {
        Some(path) => check::made_file(path, build.base, at, &mut build.report).map(AdminAddress::Unix),
        None => check::socket(text, at, &mut build.report).map(AdminAddress::Tcp),
    }
}

/// A host name in full.
fn host(text: &str, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<String, ErrorGuaranteed> {
    match route::host(text, at, &mut build.report)? {
        HostPattern::Exact(host) => Ok(host.into()),
        HostPattern::Below(_) => {
            let text = Mismatch::new(format!("{text:?}"), "host names in full", "name each host of the admin API");
            Err(build.report.problem(at, text))
        }
    }
}

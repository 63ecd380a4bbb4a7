//! `tls = { ... }`, of listeners, of the admin API and of versions: which files, and what is spoken.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::check;
use super::files::{PairKeys, TlsFiles};
use super::reader::config_path::ConfigPath;
use super::reader::list::List;
use super::reader::report::{ErrorGuaranteed, Report};
use super::reader::units::{Setting, TimeSpan};
use crate::problem::{Mismatch, suggest};
use crate::tls::{Alpn, ClientAuth, ClientSettings, KeyPair, MinVersion, ServerSettings, Trust};

/// Far more than the two or three round trips that a handshake takes on a bad line, and what nginx's 60 s are often
/// lowered to: until then a connection costs a descriptor and has shown nothing.
const HANDSHAKE_TIMEOUT: TimeSpan = TimeSpan::secs(10);

/// `[listeners.NAME] tls`, `[ofrep] tls`, `[admin] tls`
#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawServerTls {
    cert: Option<String>,
    key: Option<String>,
    certificates: List<RawKeyPair>,
    alpn: Option<List<String>>,
    min_version: Option<String>,
    client_ca: Option<String>,
    client_auth: Option<RawClientAuth>,
    ticket_keys: Option<String>,
    handshake_timeout: Option<Setting<TimeSpan>>,
}

/// `[services.X.versions.NAME] tls`
#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawClientTls {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    server_name: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawKeyPair {
    cert: Option<String>,
    key: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawClientAuth {
    Require,
    Request,
}

impl RawServerTls {
    /// The serving end that speaks `alpn` unless it says otherwise.
    pub(crate) fn build(
        &self,
        alpn: &[Alpn],
        base: &Path,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<ServerSettings, ErrorGuaranteed> {
        let (certificates, pairs) = self.certificates(base, at, report);
        let alpn = match &self.alpn {
            Some(names) => protocols(names, &at.key("alpn"), report),
            None => Ok(alpn.to_vec()),
        };
        let min_version = min_version(self.min_version.as_deref(), &at.key("min_version"), report);
        let client_auth = self.client_auth(base, at, report);
        let tickets_at = at.key("ticket_keys");
        let tickets = self.ticket_keys.as_deref().map(|file| check::file(file, base, &tickets_at, report)).transpose();
        let range = TimeSpan::millis(100)..=TimeSpan::secs(3_600);
        let timeout_at = at.key("handshake_timeout");
        let timeout = check::setting(self.handshake_timeout, HANDSHAKE_TIMEOUT, range, &timeout_at, report);
        let (keys, usable): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        // Whatever is wrong with the rest, the files are looked at.
        let settings = ServerSettings {
            certificates: usable,
            alpn: alpn.as_ref().map_or_else(|_| Alpn::ALL.to_vec(), Vec::clone),
            min_version: *min_version.as_ref().unwrap_or(&MinVersion::Tls12),
            client_auth: client_auth.as_ref().ok().cloned().flatten(),
            ticket_keys: tickets.as_ref().ok().cloned().flatten(),
            handshake_timeout: timeout.unwrap_or(HANDSHAKE_TIMEOUT).0,
        };
        let authorities = report.key(&at.key("client_ca"));
        let tickets_at = report.key(&tickets_at);
        report.files.servers.push(TlsFiles {
            settings: settings.clone(),
            pairs: keys,
            authorities,
            tickets: tickets_at,
        });
        certificates
            .and(alpn.map(drop))
            .and(min_version.map(drop))
            .and(client_auth.map(drop))
            .and(tickets.map(drop))?;
        timeout.map(|_| settings)
    }

    /// The pairs that are whole with their keys, and whether all are; the one at the top first: it is for clients that
    /// name no host.
    fn certificates(
        &self,
        base: &Path,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> (Result<(), ErrorGuaranteed>, Vec<Pair>) {
        if self.cert.is_none() && self.key.is_none() && self.certificates.is_empty() {
            let text =
                Mismatch::new("no certificate", "at least one", "add cert = \"tls/site.pem\", key = \"tls/site.key\"");
            return (Err(report.missing(&at.key("cert"), text)), Vec::new());
        }
        let mut all = vec![pair(self.cert.as_deref(), self.key.as_deref(), base, at, report)];
        let list = at.key("certificates");
        for (index, raw) in self.certificates.iter() {
            let at = list.item(index);
            all.push(match pair(raw.cert.as_deref(), raw.key.as_deref(), base, &at, report) {
                Ok(None) => {
                    Err(report.missing(&at, Mismatch::new("neither cert nor key", "both", "name the two files")))
                }
                found => found,
            });
        }
        let refused = all.iter().find_map(|pair| pair.as_ref().err().copied());
        (refused.map_or(Ok(()), Err), all.into_iter().filter_map(|pair| pair.ok().flatten()).collect())
    }

    fn client_auth(
        &self,
        base: &Path,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Option<ClientAuth>, ErrorGuaranteed> {
        let ca_at = at.key("client_ca");
        match (&self.client_ca, self.client_auth) {
            (Some(ca), auth) => {
                let required = matches!(auth, None | Some(RawClientAuth::Require));
                Ok(Some(ClientAuth { ca: check::file(ca, base, &ca_at, report)?, required }))
            }
            (None, Some(_)) => {
                let text = Mismatch::new(
                    "client_auth without client_ca",
                    "the authorities of the clients",
                    "add client_ca = \"tls/clients.pem\"",
                );
                Err(report.unless(&ca_at, &at.key("client_auth"), text))
            }
            (None, None) => Ok(None),
        }
    }
}

impl RawClientTls {
    /// The connecting end that speaks `alpn`.
    pub(crate) fn build(
        &self,
        alpn: &[Alpn],
        base: &Path,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Arc<ClientSettings>, ErrorGuaranteed> {
        let ca_at = at.key("ca");
        let trust = match self.ca.as_deref() {
            Some("system") => Ok(Trust::System),
            Some(file) => check::file(file, base, &ca_at, report).map(Trust::Ca),
            None => {
                let text = Mismatch::new(
                    "none",
                    "whose certificates are believed",
                    "add ca = \"tls/ca.pem\", or \"system\" for the public authorities",
                );
                Err(report.missing(&ca_at, text))
            }
        };
        let identity = pair(self.cert.as_deref(), self.key.as_deref(), base, at, report);
        let server_name = match &self.server_name {
            Some(name) if !ClientSettings::is_name(name) => {
                let text = Mismatch::new(format!("{name:?}"), "a host name or an address", "as the certificate has it");
                Err(report.problem(&at.key("server_name"), text))
            }
            name => Ok(name.clone()),
        };
        let trust = trust?;
        let (keys, own) = identity.as_ref().ok().cloned().flatten().unzip();
        let name = server_name.as_ref().ok().cloned().flatten();
        let settings = Arc::new(ClientSettings { trust, identity: own, server_name: name, alpn: alpn.to_vec() });
        // Whatever is wrong with the rest, the files are looked at.
        let files = TlsFiles {
            settings: Arc::clone(&settings),
            pairs: keys.into_iter().collect(),
            authorities: report.key(&ca_at),
            // The end that connects has none.
            tickets: report.key(&ca_at),
        };
        report.files.clients.push(files);
        identity.map(drop).and(server_name.map(drop)).map(|()| settings)
    }
}

/// A certificate and its key, with what names them.
type Pair = (PairKeys, KeyPair);

/// A certificate and its key: both or neither.
fn pair(
    cert: Option<&str>,
    key: Option<&str>,
    base: &Path,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Option<Pair>, ErrorGuaranteed> {
    let (cert_at, key_at) = (at.key("cert"), at.key("key"));
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => {
            let certificate = check::file(cert, base, &cert_at, report);
            let key = check::file(key, base, &key_at, report);
            let keys = PairKeys { cert: report.key(&cert_at), key: report.key(&key_at) };
            Ok(Some((keys, KeyPair { certificate: certificate?, key: key? })))
        }
        (Some(_), None) => Err(report.missing(
            &key_at,
            Mismatch::new("none", "the private key of the certificate", "add key = \"tls/site.key\""),
        )),
        (None, Some(_)) => Err(report
            .missing(&cert_at, Mismatch::new("none", "the certificate of the key", "add cert = \"tls/site.pem\""))),
    }
}

fn protocols(names: &List<String>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Vec<Alpn>, ErrorGuaranteed> {
    if names.is_empty() {
        let text = Mismatch::new("an empty list", "at least one protocol", "leave it out for both");
        return Err(report.missing(at, text));
    }
    let mut protocols: Vec<Alpn> = Vec::new();
    let mut refused = Ok(());
    for (index, name) in names.iter() {
        let at = at.item(index);
        match Alpn::ALL.into_iter().find(|protocol| protocol.name() == name) {
            Some(protocol) if protocols.contains(&protocol) => {
                let text = Mismatch::new(
                    format!("{name:?} for the second time"),
                    "each protocol once",
                    "remove one of the two",
                );
                refused = Err(report.problem(&at, text));
            }
            Some(protocol) => protocols.push(protocol),
            None => {
                let remedy = match suggest(name, Alpn::ALL.map(Alpn::name)) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => "other protocols are not spoken, leave it out".to_owned(),
                };
                let text = Mismatch::new(format!("{name:?}"), "\"h2\" or \"http/1.1\"", remedy);
                refused = Err(report.problem(&at, text));
            }
        }
    }
    refused.map(|()| protocols)
}

fn min_version(
    text: Option<&str>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<MinVersion, ErrorGuaranteed> {
    match text {
        None | Some("1.2") => Ok(MinVersion::Tls12),
        Some("1.3") => Ok(MinVersion::Tls13),
        Some(other) => {
            let remedy =
                if matches!(other, "1.0" | "1.1") { "older versions are broken" } else { "leave it out for 1.2" };
            Err(report.problem(at, Mismatch::new(format!("{other:?}"), "\"1.2\" or \"1.3\"", remedy)))
        }
    }
}

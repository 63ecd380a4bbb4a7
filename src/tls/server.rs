//! The serving end: a listener's certificates, protocols and client certificates, as rustls wants them.
//!
//! Tickets: a client that comes back resumes its session without a key exchange and without our private key. They are
//! sealed with a key that all threads share and that is changed every six hours, so whichever worker the kernel picks
//! can open them. The key belongs to the listener: a ticket of a listener that asks for no certificate opens no door of
//! one that does. It outlives a reload of the certificates, but not one of the client authorities, or a client that was
//! let in by the old ones could come back with a ticket; and a client's certificate is looked at again whenever a
//! session is resumed with it, for it may have expired since ([`Server::believes_still`]). With keys in a file
//! ([`super::ticket_keys`]) other processes open them as well. Early data (0-RTT) is never taken: it can be replayed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, StoresServerSessions, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection};

use super::certificate::Certificate;
use super::certificates::Certificates;
use super::error::{FileFault, TlsError, TlsPart};
use super::files::{PemReader, error};
use super::private_file::{KeptFrom, warning};
use super::provider;
use super::reloadable::{Examined, Load, LoadedTls, ReloadableTls};
use super::ticket_keys::{TicketClients, TicketKeys};
use super::tls_settings::{ClientAuth, KeyPair, MinVersion, ServerSettings};

/// A listener's TLS.
pub(crate) type ServerTls = ReloadableTls<ServerSettings>;

/// What rustls serves with, and whose clients it believes.
#[derive(Debug)]
pub struct Server {
    /// For the next handshake.
    pub rustls: Arc<ServerConfig>,
    /// The certificates in it.
    pub certificates: Arc<Certificates>,
    /// The client authorities, to see whether they changed.
    authorities: Option<RootCertStore>,
    /// What looks at the certificates of clients, if they are asked for.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Server {
    /// Looks at the certificate of a client again whose session was resumed: a ticket has it as it was when it was
    /// shown.
    ///
    /// # Errors
    /// What is wrong with it by now.
    pub(crate) fn believes_still(&self, connection: &ServerConnection) -> Result<(), rustls::Error> {
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let Some(verifier) = self.clients.as_ref().filter(|_| resumed) else { return Ok(()) };
        let Some([own, between @ ..]) = connection.peer_certificates() else { return Ok(()) };
        verifier.verify_client_cert(own, between, UnixTime::now()).map(drop)
    }
}

impl Load for ServerSettings {
    type Config = Server;

    fn load(&self, old: Option<&LoadedTls<Server>>) -> Result<LoadedTls<Server>, Vec<TlsError>> {
        let ServerContents { pairs, authorities, tickets, errors, digest } = self.contents();
        if !errors.is_empty() {
            return Err(errors);
        }
        let kept = old.filter(|old| same(old.config.authorities.as_ref(), authorities.as_ref()));
        let served = Arc::new(Certificates::new(&pairs));
        let clients = self.verifier(authorities.as_ref()).map_err(|found| vec![found])?;
        let rustls = self.config(&served, clients.clone(), kept.map(|old| &*old.config.rustls));
        let mut rustls = rustls.map_err(|found| vec![found])?;
        if let Some(shared) = tickets {
            rustls.ticketer = Arc::new(shared);
        }
        let certificates: Vec<Certificate> = pairs.into_iter().map(|(_, certificate)| certificate).collect();
        let config = Arc::new(Server { rustls: Arc::new(rustls), certificates: served, authorities, clients });
        Ok(LoadedTls { config, certificates, digest })
    }

    fn examine(&self) -> Examined {
        let ServerContents { pairs, authorities, mut errors, .. } = self.contents();
        if errors.is_empty() {
            let clients = self.verifier(authorities.as_ref());
            let made = clients.and_then(|clients| self.config(&Arc::new(Certificates::new(&pairs)), clients, None));
            errors.extend(made.err());
        }
        let mut reader = PemReader::default();
        let facts = self.certificates.iter().enumerate().map(|(index, pair)| reader.facts(index, pair)).collect();
        Examined { certificates: facts, errors }
    }

    fn pairs(&self) -> &[KeyPair] {
        &self.certificates
    }

    fn files(&self) -> Vec<PathBuf> {
        let pairs = self.certificates.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        pairs.chain(self.client_auth.as_ref().map(|auth| &auth.ca)).chain(&self.ticket_keys).cloned().collect()
    }

    fn exposed(&self) -> Vec<(TlsPart, String)> {
        let keys = self.certificates.iter().enumerate();
        let keys = keys.filter_map(|(index, pair)| Some((TlsPart::Key(index), warning(&pair.key, KeptFrom::Others)?)));
        let tickets = self.ticket_keys.as_ref().and_then(|file| warning(file, KeptFrom::All));
        keys.chain(tickets.map(|text| (TlsPart::Tickets, text))).collect()
    }
}

/// What is in the files, as far as they can be used.
struct ServerContents {
    pairs: Vec<(Arc<rustls::sign::CertifiedKey>, Certificate)>,
    authorities: Option<RootCertStore>,
    tickets: Option<TicketKeys>,
    errors: Vec<TlsError>,
    digest: u64,
}

impl ServerSettings {
    fn contents(&self) -> ServerContents {
        let mut reader = PemReader::default();
        let (mut pairs, mut errors) = (Vec::new(), Vec::new());
        for (index, pair) in self.certificates.iter().enumerate() {
            match reader.key_pair(index, pair) {
                Ok(pair) => pairs.push(pair),
                Err(found) => errors.extend(found),
            }
        }
        let authorities = self.client_auth.as_ref().map(|auth| reader.authorities(&auth.ca)).transpose();
        let authorities = authorities.unwrap_or_else(|found| {
            errors.push(found);
            None
        });
        let required = self.client_auth.as_ref().is_some_and(|auth| auth.required);
        let clients = TicketClients { authorities: authorities.as_ref(), required };
        let tickets = self.ticket_keys.as_ref().map(|file| reader.ticket_keys(file, clients)).transpose();
        let tickets = tickets.unwrap_or_else(|found| {
            errors.push(found);
            None
        });
        ServerContents { pairs, authorities, tickets, errors, digest: reader.digest() }
    }

    /// What looks at the certificates of clients; none: they are not asked for.
    fn verifier(&self, authorities: Option<&RootCertStore>) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        self.client_auth.as_ref().zip(authorities).map(|(auth, authorities)| verifier(auth, authorities)).transpose()
    }

    fn config(
        &self,
        certificates: &Arc<Certificates>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        old: Option<&ServerConfig>,
    ) -> Result<ServerConfig, TlsError> {
        let file = self.certificates.first().map_or(Path::new(""), |pair| &pair.certificate);
        let failed = |source| error(TlsPart::Certificate(0), file, FileFault::Tls(source));
        let versions: &[_] = match self.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let verifier = clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth);
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let builder = builder.map_err(failed)?.with_client_cert_verifier(verifier);
        let mut config = builder.with_cert_resolver(Arc::<Certificates>::clone(certificates));
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.name().into()).collect();
        let (tickets, sessions): (Arc<dyn ProducesTickets>, Arc<dyn StoresServerSessions>) = match old {
            Some(old) => (Arc::clone(&old.ticketer), Arc::clone(&old.session_storage)),
            None => (Ticketer::new().map_err(failed)?, Arc::clone(&config.session_storage)),
        };
        (config.ticketer, config.session_storage) = (tickets, sessions);
        Ok(config)
    }
}

fn verifier(auth: &ClientAuth, authorities: &RootCertStore) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.clone()), provider());
    let builder = if auth.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|source| error(TlsPart::Authorities, &auth.ca, FileFault::Authorities(Box::new(source))))
}

/// Whether the same clients are believed.
fn same(a: Option<&RootCertStore>, b: Option<&RootCertStore>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.roots == b.roots,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

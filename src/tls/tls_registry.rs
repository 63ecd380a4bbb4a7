//! All ends of TLS of a process.

use std::path::PathBuf;
use std::sync::Arc;

use super::certificate::Certificate;
use super::client_config::Clients;
use super::reloadable::TlsFacts;
use super::server::ServerTls;

/// All ends of TLS of a process.
#[derive(Debug, Default)]
pub struct TlsRegistry {
    /// Those that serve: listeners and the admin API.
    pub servers: Vec<Arc<ServerTls>>,
    /// Those that connect: versions.
    pub clients: Arc<Clients>,
}

/// What is told of one end after its files were read again: its certificates, or what is wrong, a line each.
pub(crate) type ReloadNews = (String, Result<Vec<Certificate>, Vec<String>>);

impl TlsRegistry {
    /// All their files.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let servers = self.servers.iter().flat_map(|tls| tls.files());
        servers.chain(self.clients.all().iter().flat_map(|tls| tls.files())).collect()
    }

    /// Reads all files again, and swaps the ends that have good new ones. A bad one keeps what it has and holds up no
    /// other one: one team's broken renewal must not expire another team's certificate.
    #[must_use]
    pub fn reload(&self) -> Vec<ReloadNews> {
        let servers = self.servers.iter().map(|tls| (tls.place().to_owned(), tls.reload()));
        let clients = self.clients.all();
        let clients = clients.iter().map(|tls| (tls.place().to_owned(), tls.reload()));
        servers.chain(clients).filter_map(|(place, outcome)| Some((place, outcome?))).collect()
    }

    /// Looks again who can read the keys: what is new, a place and a line each.
    #[must_use]
    pub fn look_at_keys(&self) -> Vec<(String, String)> {
        let at = |place: &str, lines: Vec<String>| {
            lines.into_iter().map(|line| (place.to_owned(), line)).collect::<Vec<_>>()
        };
        let servers = self.servers.iter().flat_map(|tls| at(tls.place(), tls.look_at_keys()));
        servers.chain(self.clients.all().iter().flat_map(|tls| at(tls.place(), tls.look_at_keys()))).collect()
    }

    /// What metrics and status show.
    #[must_use]
    pub fn facts(&self) -> Vec<TlsFacts> {
        let servers = self.servers.iter().map(|tls| tls.facts());
        servers.chain(self.clients.all().iter().map(|tls| tls.facts())).collect()
    }
}

//! All ends of TLS of a process.

use std::path::PathBuf;
use std::sync::Arc;

use super::certificate::Certificate;
use super::client::Clients;
use super::server::ServerSide;
use super::side::SideFacts;

/// All ends of TLS of a process.
#[derive(Debug, Default)]
pub struct Sides {
    /// Those that serve: listeners and the admin API.
    pub servers: Vec<Arc<ServerSide>>,
    /// Those that connect: versions.
    pub clients: Arc<Clients>,
}

/// What a side has to tell after its files were read again: its certificates, or what is wrong, a line each.
pub(crate) type News = (String, Result<Vec<Certificate>, Vec<String>>);

impl Sides {
    /// All their files.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let servers = self.servers.iter().flat_map(|side| side.files());
        servers.chain(self.clients.sides().iter().flat_map(|side| side.files())).collect()
    }

    /// Reads all files again, and swaps the sides that have good new ones. A bad side keeps what it has and holds up no
    /// other one: one team's broken renewal must not expire another team's certificate.
    #[must_use]
    pub fn reload(&self) -> Vec<News> {
        let servers = self.servers.iter().map(|side| (side.place().to_owned(), side.reload()));
        let clients = self.clients.sides();
        let clients = clients.iter().map(|side| (side.place().to_owned(), side.reload()));
        servers.chain(clients).filter_map(|(place, outcome)| Some((place, outcome?))).collect()
    }

    /// Looks again who can read the keys: what is new, a place and a line each.
    #[must_use]
    pub fn look_at_keys(&self) -> Vec<(String, String)> {
        let at = |place: &str, lines: Vec<String>| {
            lines.into_iter().map(|line| (place.to_owned(), line)).collect::<Vec<_>>()
        };
        let servers = self.servers.iter().flat_map(|side| at(side.place(), side.look_at_keys()));
        servers.chain(self.clients.sides().iter().flat_map(|side| at(side.place(), side.look_at_keys()))).collect()
    }

    /// What metrics and status show.
    #[must_use]
    pub fn facts(&self) -> Vec<SideFacts> {
        let servers = self.servers.iter().map(|side| side.facts());
        servers.chain(self.clients.sides().iter().map(|side| side.facts())).collect()
    }
}

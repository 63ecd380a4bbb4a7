//! The TLS files of a config, read before anything is bound: a process with a bad one does not start.

use std::sync::Arc;

use crate::config::Config;
use crate::table::{ServiceSpec, Table};
use crate::tls::tls_registry::TlsRegistry;
use crate::tls::{ClientSettings, Clients, ServerSettings, ServerTls, TlsError};

/// TLS files that cannot be used: one line each, with the key of the config.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct MaterialError(pub Vec<String>);

/// Everything that a config's TLS needs.
#[derive(Debug)]
pub(crate) struct TlsMaterial {
    /// In the order of the config's listeners.
    pub(crate) listeners: Vec<Option<Arc<ServerTls>>>,
    pub(crate) admin: Option<Arc<ServerTls>>,
    /// All of them, for those who reload and show.
    pub(crate) tls: Arc<TlsRegistry>,
}

impl TlsMaterial {
    /// Reads the files.
    pub(crate) fn load(config: &Config) -> Result<Self, MaterialError> {
        let mut problems = Vec::new();
        let mut server = |place: String, settings: &Option<ServerSettings>| {
            let tls = ServerTls::new(place.clone(), settings.clone()?);
            tls.map(Arc::new).map_err(|errors| problems.extend(errors.iter().map(|error| line(&place, error)))).ok()
        };
        let place = |listener: &crate::config::ListenerConfig| format!("{}.tls", listener.section());
        let listeners: Vec<_> =
            config.listeners.iter().map(|listener| server(place(listener), &listener.tls)).collect();
        let admin = server("admin.tls".to_owned(), &config.admin.tls);
        let clients = Arc::new(Clients::default());
        if let Err(MaterialError(found)) = prepare(&clients, &config.services) {
            problems.extend(found);
        }
        if !problems.is_empty() {
            return Err(MaterialError(problems));
        }
        let servers = listeners.iter().flatten().chain(&admin).map(Arc::clone).collect();
        Ok(Self { listeners, admin, tls: Arc::new(TlsRegistry { servers, clients }) })
    }

    /// What their owners should know, a line each: certificates that have expired, or soon will, and keys that others
    /// can read.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let now = jiff::Timestamp::now().as_second();
        let facts = self.tls.facts();
        let each = facts.iter().flat_map(|tls| tls.certificates.iter().map(move |certificate| (tls, certificate)));
        let certificates =
            each.filter_map(|(tls, certificate)| Some(format!("{}: {}", tls.place, certificate.warning(now)?)));
        let keys = facts.iter().flat_map(|tls| tls.exposed.iter().map(|line| format!("{}: {line}", tls.place)));
        certificates.chain(keys).collect()
    }
}

/// Reads the files that the versions of `services` name and that are not known yet.
pub(crate) fn prepare(clients: &Clients, services: &[Arc<ServiceSpec>]) -> Result<(), MaterialError> {
    clients
        .prepare(settings(services))
        .map_err(|errors| MaterialError(errors.iter().map(|(place, error)| line(place, error)).collect()))
}

/// The same for services that will follow those of `in_force`; what neither of them uses is forgotten.
pub(crate) fn prepare_next(
    clients: &Clients,
    in_force: &Table,
    next: &[Arc<ServiceSpec>],
) -> Result<(), MaterialError> {
    prepare(clients, next)?;
    let in_force: Vec<_> = in_force.services().map(|service| Arc::clone(&service.spec)).collect();
    clients.retain(settings(&in_force).chain(settings(next)).map(|(_, settings)| &**settings));
    Ok(())
}

/// The TLS settings of all versions, with their places in the config.
pub(crate) fn settings(services: &[Arc<ServiceSpec>]) -> impl Iterator<Item = (String, &Arc<ClientSettings>)> {
    services.iter().flat_map(|service| {
        let versions = service.versions.iter();
        versions.filter_map(|version| {
            let place = || format!("services.{}.versions.{}.tls", service.name, version.name);
            version.tls.as_ref().map(|tls| (place(), tls))
        })
    })
}

fn line(place: &str, error: &TlsError) -> String {
    format!("{place}: {}", error.line())
}

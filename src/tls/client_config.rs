//! The connecting end: how versions with TLS, and our own command line, reach their servers.
//!
//! A table holds [`ClientSettings`] only, because it is pure; what they come to is found here, at each new connection,
//! not at each request. The caller that puts a table in force has [prepared](Clients::prepare) its settings before.
//! There is no way to turn verification off: an own authority is four lines of openssl, and a switch that is flipped
//! "for now" is found by an attacker, not by its owner.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ClientConfig;

use super::certificate::Certificate;
use super::error::{FileFault, TlsError, TlsPart};
use super::files::{PemReader, error};
use super::provider;
use super::reloadable::{Examined, Load, LoadedTls, ReloadableTls};
use super::tls_settings::{ClientSettings, KeyPair, Trust};

/// A version's TLS.
pub(crate) type ClientTls = ReloadableTls<ClientSettings>;

impl Load for ClientSettings {
    type Config = ClientConfig;

    fn load(&self, _: Option<&LoadedTls<ClientConfig>>) -> Result<LoadedTls<ClientConfig>, Vec<TlsError>> {
        let mut reader = PemReader::default();
        let roots = match &self.trust {
            Trust::Ca(file) => reader.authorities(file),
            Trust::System => reader.system_authorities(),
        };
        let identity = self.identity.as_ref().map(|pair| reader.key_pair(0, pair)).transpose();
        let (roots, identity) = match (roots, identity) {
            (Ok(roots), Ok(identity)) => (roots, identity),
            (roots, identity) => {
                return Err(roots.err().into_iter().chain(identity.err().into_iter().flatten()).collect());
            }
        };
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder =
            builder.map_err(|source| vec![error(TlsPart::Authorities, "ca".as_ref(), FileFault::Tls(source))])?;
        let builder = builder.with_root_certificates(roots);
        let (mut config, certificates): (_, Vec<Certificate>) = match identity {
            Some((key, facts)) => {
                let resolver = rustls::sign::SingleCertAndKey::from(key);
                (builder.with_client_cert_resolver(Arc::new(resolver)), vec![facts])
            }
            None => (builder.with_no_client_auth(), Vec::new()),
        };
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.name().into()).collect();
        Ok(LoadedTls { config: Arc::new(config), certificates, digest: reader.digest() })
    }

    fn examine(&self) -> Examined {
        let mut reader = PemReader::default();
        let certificates = self.identity.iter().map(|pair| reader.facts(0, pair)).collect();
        Examined { certificates, errors: self.load(None).err().unwrap_or_default() }
    }

    fn pairs(&self) -> &[KeyPair] {
        self.identity.as_slice()
    }

    fn files(&self) -> Vec<PathBuf> {
        let ca = match &self.trust {
            Trust::Ca(file) => Some(file),
            Trust::System => None,
        };
        let identity = self.identity.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        ca.into_iter().chain(identity).cloned().collect()
    }
}

/// All connecting ends of a process, by their settings.
#[derive(Debug, Default)]
pub struct Clients {
    clients: RwLock<HashMap<Arc<ClientSettings>, Arc<ClientTls>>>,
}

impl Clients {
    /// What a new connection under `settings` works with; `None` when they were never prepared.
    #[must_use]
    pub fn config(&self, settings: &ClientSettings) -> Option<Arc<ClientConfig>> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.get(settings).map(|tls| tls.config())
    }

    /// Reads the files of settings that are not known yet, each with its place in the config.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place; nothing has changed then.
    pub fn prepare<'s>(
        &self,
        wanted: impl IntoIterator<Item = (String, &'s Arc<ClientSettings>)>,
    ) -> Result<(), Vec<(String, TlsError)>> {
        let (mut new, mut errors) = (HashMap::new(), Vec::new());
        for (place, settings) in wanted {
            if self.config(settings).is_none() && !new.contains_key(settings) {
                match ReloadableTls::new(place.clone(), ClientSettings::clone(settings)) {
                    Ok(tls) => drop(new.insert(Arc::clone(settings), Arc::new(tls))),
                    Err(found) => errors.extend(found.into_iter().map(|error| (place.clone(), error))),
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        self.clients.write().unwrap_or_else(PoisonError::into_inner).extend(new);
        Ok(())
    }

    /// Forgets all settings but those that are `used`: a config that was replaced names files that are no longer
    /// renewed.
    pub fn retain<'s>(&self, used: impl IntoIterator<Item = &'s ClientSettings>) {
        let used: std::collections::HashSet<_> = used.into_iter().collect();
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|settings, _| used.contains(&**settings));
    }

    /// All of them, in order of their places.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ClientTls>> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        let mut clients: Vec<_> = clients.values().map(Arc::clone).collect();
        clients.sort_by(|a, b| a.place().cmp(b.place()));
        clients
    }
}

//! PEM files: chains, keys, authorities. Whatever is wrong names the file.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::error::{FileFault, TlsError, TlsPart};
use super::ticket_keys::{TicketClients, TicketKeys};
use super::tls_settings::KeyPair;

/// Reads files, and remembers what they held, so that the same contents can be told from new ones.
#[derive(Debug, Default)]
pub(crate) struct PemReader {
    digest: DefaultHasher,
}

impl PemReader {
    /// What distinguishes everything that was read from other contents.
    #[must_use]
    pub(crate) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    fn bytes(&mut self, part: TlsPart, file: &Path, what: &'static str) -> Result<Vec<u8>, TlsError> {
        let bytes = fs::read(file).map_err(|source| error(part, file, FileFault::Unreadable(source)))?;
        bytes.hash(&mut self.digest);
        if bytes.trim_ascii().is_empty() {
            return Err(error(part, file, FileFault::Empty(what)));
        }
        Ok(bytes)
    }

    /// The certificates of a file, at least one.
    fn chain(&mut self, part: TlsPart, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let bytes = self.bytes(part, file, "a certificate")?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let chain = chain.map_err(|source| error(part, file, FileFault::Pem(source.into())))?;
        if chain.is_empty() { Err(error(part, file, FileFault::Missing("certificate"))) } else { Ok(chain) }
    }

    /// The first private key of a file.
    fn key(&mut self, part: TlsPart, file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
        let bytes = self.bytes(part, file, "a private key")?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| {
            let encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
            let fault = if encrypted {
                FileFault::Encrypted
            } else if matches!(source, pem::Error::NoItemsFound) {
                FileFault::Missing("private key")
            } else {
                FileFault::Pem(source.into())
            };
            error(part, file, fault)
        })
    }

    /// A chain, and what its first certificate says.
    fn certified(
        &mut self,
        part: TlsPart,
        file: &Path,
    ) -> Result<(Vec<CertificateDer<'static>>, Certificate), TlsError> {
        let chain = self.chain(part, file)?;
        let facts = Certificate::of(&chain[0], file).map_err(|fault| error(part, file, fault))?;
        Ok((chain, facts))
    }

    /// What a certificate says, whether or not its key fits.
    #[must_use]
    pub(crate) fn facts(&mut self, index: usize, pair: &KeyPair) -> Option<Certificate> {
        self.certified(TlsPart::Certificate(index), &pair.certificate).ok().map(|(_, facts)| facts)
    }

    /// A chain and its key, which belong together; the pair is number `index` of its settings.
    ///
    /// # Errors
    /// Everything that is wrong with the two files.
    pub(crate) fn key_pair(
        &mut self,
        index: usize,
        pair: &KeyPair,
    ) -> Result<(Arc<CertifiedKey>, Certificate), Vec<TlsError>> {
        let (file, of_certificate, of_key) = (&pair.certificate, TlsPart::Certificate(index), TlsPart::Key(index));
        let chain = self.certified(of_certificate, file);
        let key = self.key(of_key, &pair.key).and_then(|key| {
            let signing = super::provider().key_provider.load_private_key(key);
            signing.map_err(|source| error(of_key, &pair.key, FileFault::Key(source)))
        });
        let ((chain, facts), key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A key that cannot tell its public half is taken on trust: the first handshake would show.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok((Arc::new(certified), facts))
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(vec![error(of_key, &pair.key, FileFault::Mismatch(file.clone()))])
            }
            Err(source) => Err(vec![error(of_certificate, file, FileFault::unusable(source))]),
        }
    }

    /// The authorities of a file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn authorities(&mut self, file: &Path) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        let failed = |fault| error(TlsPart::Authorities, file, fault);
        for certificate in self.chain(TlsPart::Authorities, file)? {
            Certificate::of(&certificate, file).map_err(failed)?;
            roots.add(certificate).map_err(|source| failed(FileFault::authority(source)))?;
        }
        Ok(roots)
    }

    /// The keys of tickets in a file, for an end with these clients.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn ticket_keys(&mut self, file: &Path, clients: TicketClients<'_>) -> Result<TicketKeys, TlsError> {
        let failed = |fault| error(TlsPart::Tickets, file, fault);
        let bytes = fs::read(file).map_err(|source| failed(FileFault::Unreadable(source)))?;
        bytes.hash(&mut self.digest);
        TicketKeys::read(&bytes, clients).map_err(|bad| failed(bad.into()))
    }

    /// The authorities of the system.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn system_authorities(&mut self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for certificate in &found.certs {
            certificate.as_ref().hash(&mut self.digest);
        }
        // Every system has a few that are too old to be used.
        let (added, _ignored) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            Err(error(TlsPart::Authorities, Path::new("system"), FileFault::NoSystemTrust))
        } else {
            Ok(roots)
        }
    }
}

/// What is wrong with `file`.
pub(crate) fn error(part: TlsPart, file: &Path, fault: FileFault) -> TlsError {
    TlsError { part, file: file.to_owned(), fault }
}

//! The choice of a certificate for a client, by the host that it names (SNI).
//!
//! An exact host wins over a wildcard, which stands for one label as in the certificate itself. Among several for a
//! host (ECDSA and RSA) the first that the client can verify is taken, in the order of the config. A client that names
//! no host, or one that no certificate is for, gets the first certificate of the listener rather than an alert: probes
//! and tools that connect by address work, a person sees a name that does not match and knows what is wrong, and
//! nothing is lost, because requests are routed by their own host and client certificates are asked for by listener,
//! never by name.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// The certificates of a listener.
#[derive(Debug)]
pub struct Certificates {
    /// In the order of the config.
    all: Vec<Arc<CertifiedKey>>,
    /// Positions by exact host.
    exact: HashMap<String, Vec<usize>>,
    /// Positions by what follows `*.`.
    below: HashMap<String, Vec<usize>>,
    /// Positions of those that are for an address.
    of_address: Vec<usize>,
}

impl Certificates {
    /// Orders certificates by their hosts.
    #[must_use]
    pub fn new(pairs: &[(Arc<CertifiedKey>, Certificate)]) -> Self {
        let (mut exact, mut below) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (index, (_, certificate)) in pairs.iter().enumerate() {
            for host in &certificate.hosts {
                match host.strip_prefix("*.") {
                    Some(parent) => below.entry(parent.to_owned()).or_default().push(index),
                    None => exact.entry(host.clone()).or_default().push(index),
                }
            }
        }
        let of_address = pairs.iter().enumerate().filter(|(_, (_, certificate))| certificate.has_address);
        let of_address = of_address.map(|(index, _)| index).collect();
        Self { all: pairs.iter().map(|(key, _)| Arc::clone(key)).collect(), exact, below, of_address }
    }

    /// Whether a connection whose client named `name` in its handshake may ask for `host`: a certificate that it may
    /// have been given is for both, or they are the same. Another certificate that names the host exactly, where this
    /// one has a wildcard, changes nothing: the client has verified that it may ask here (RFC 9113, 9.1.1). A client
    /// that named none got the first certificate, and verified it by whatever it connected to.
    #[must_use]
    pub fn covers(&self, name: &str, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if host == name {
            return true;
        }
        let address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        let given = match self.of(name) {
            [] => &[0],
            given => given,
        };
        let is_for = |index: &usize| match address {
            true => self.of_address.contains(index),
            false => self.exact_or_below(&host).any(|positions| positions.contains(index)),
        };
        given.iter().any(is_for)
    }

    /// The positions of the certificates that name a host, and those of the ones that have a wildcard for it.
    fn exact_or_below(&self, host: &str) -> impl Iterator<Item = &Vec<usize>> {
        let below = host.split_once('.').and_then(|(_, parent)| self.below.get(parent));
        self.exact.get(host).into_iter().chain(below)
    }

    /// The positions of the certificates for a host in lower case.
    fn of(&self, host: &str) -> &[usize] {
        self.exact_or_below(host).next().map_or(&[], Vec::as_slice)
    }

    /// The certificate for a client that names `host` and verifies these `schemes`.
    fn pick(&self, host: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let of = |positions: &[usize]| positions.iter().map(|index| &self.all[*index]).find(fits);
        let exact = host.and_then(|host| self.exact.get(host)).and_then(|positions| of(positions));
        let below = || {
            let (_, parent) = host?.split_once('.')?;
            of(self.below.get(parent)?)
        };
        exact.or_else(below).or_else(|| self.all.iter().find(fits))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has made the name lower case.
        self.pick(hello.server_name(), hello.signature_schemes()).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::provider;

    /// A self-made certificate for `hosts`, with an ECDSA or an Ed25519 key.
    fn pair(hosts: &[&str], ed25519: bool) -> (Arc<CertifiedKey>, Certificate) {
        let algorithm = if ed25519 { &rcgen::PKCS_ED25519 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let names = hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
        let signed = rcgen::CertificateParams::new(names).and_then(|p| p.self_signed(&key)).expect("a certificate");
        let facts = Certificate::of(signed.der(), "x.pem".as_ref()).expect("X.509");
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS 8");
        let key = provider().key_provider.load_private_key(key).expect("a key of ours");
        (Arc::new(CertifiedKey::new(vec![signed.der().clone()], key)), facts)
    }

    #[test]
    fn a_connection_is_for_the_hosts_of_its_certificate() {
        let certificates = Certificates::new(&[
            pair(&["default.example"], false),
            pair(&["*.shop.example", "shop.example"], false),
            pair(&["bank.example", "a.shop.example"], false),
            pair(&["192.0.2.1"], false),
        ]);
        for (name, host, covered) in [
            ("shop.example", "shop.example", true),
            ("shop.example", "b.Shop.example.", true),
            ("b.shop.example", "shop.example", true),
            ("shop.example", "bank.example", false),
            // Also where another one is for that very host: the client cannot know of it.
            ("shop.example", "a.shop.example", true),
            ("b.shop.example", "a.shop.example", true),
            ("a.shop.example", "shop.example", false),
            ("a.shop.example", "b.shop.example", false),
            ("a.shop.example", "bank.example", true),
            ("shop.example", "x.b.shop.example", false),
            ("shop.example", "other.example", false),
            ("unknown.example", "unknown.example", true),
            ("unknown.example", "default.example", true),
            ("unknown.example", "shop.example", false),
            ("shop.example", "192.0.2.1", false),
            ("shop.example", "[::1]", false),
        ] {
            assert_eq!(certificates.covers(name, host), covered, "{name} {host}");
        }
    }

    #[test]
    fn hosts_choose_the_certificate() {
        let pairs = [
            pair(&["default.example"], false),
            pair(&["*.shop.example", "shop.example"], false),
            pair(&["a.shop.example"], true),
            pair(&["a.shop.example"], false),
        ];
        let certificates = Certificates::new(&pairs);
        let both = [SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256];
        let picked = |host, schemes: &[SignatureScheme]| {
            let found = certificates.pick(host, schemes)?;
            pairs.iter().position(|(key, _)| Arc::ptr_eq(key, found))
        };
        for (host, wanted) in [
            (Some("shop.example"), 1),
            (Some("b.shop.example"), 1),
            (Some("a.shop.example"), 2),
            (Some("x.b.shop.example"), 0),
            (Some("other.example"), 0),
            (Some("example"), 0),
            (None, 0),
        ] {
            assert_eq!(picked(host, &both), Some(wanted), "{host:?}");
        }
        assert_eq!(picked(Some("a.shop.example"), &both[1..]), Some(3), "the client cannot verify Ed25519");
        assert_eq!(picked(Some("default.example"), &both[..1]), Some(2), "better another name than none");
        assert_eq!(picked(None, &[]), None);
    }
}

//! A certificate of the listeners: ECDSA on P-256, the usual kind. It is signed by itself; the clients look at this
//! file only.

use std::fs;
use std::path::{Path, PathBuf};

/// The name in it.
pub(crate) const HOST: &str = "shop.example";

/// A certificate and its key, each in a file and both in one.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) both: PathBuf,
}

impl Certificate {
    /// A new one, in a folder.
    pub(crate) fn new(folder: &Path) -> Self {
        // wrk asks for the address as if it was a name.
        let names = vec![HOST.to_owned(), "127.0.0.1".to_owned()];
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        let (cert, key) = (cert.pem(), signing_key.serialize_pem());
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        Self {
            cert: write("cert.pem", &cert),
            key: write("key.pem", &key),
            both: write("both.pem", &format!("{cert}{key}")),
        }
    }
}

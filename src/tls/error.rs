//! What is wrong with the files of a side: the file, what was found, what is wanted, what to do.

use std::io;
use std::path::PathBuf;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {fault}", file = file.display())]
pub struct TlsError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: FileFault,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It is not there, or not for us.
    #[error("cannot read it; make it exist and be readable by the user of this process")]
    Unreadable(#[source] io::Error),
    /// Nothing in it.
    #[error("found an empty file, want {0} in PEM (a renewal may have failed half-way; write it again)")]
    Empty(&'static str),
    /// Not what is wanted.
    #[error("found no {0}, want one in PEM, which begins with -----BEGIN")]
    Missing(&'static str),
    /// A key behind a password.
    #[error("found an encrypted private key, want a plain one (decrypt it: openssl pkey -in FILE -out NEW, mode 0600)")]
    Encrypted,
    /// Broken armour.
    #[error("found broken PEM, want whole -----BEGIN/-----END blocks of base64 (copy the file again)")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// A block that is no certificate.
    #[error("found a certificate that cannot be read ({0}), want X.509 (issue it again)")]
    Certificate(String),
    /// A key that cannot be used.
    #[error("found a private key that cannot be used, want RSA, ECDSA P-256, P-384 or Ed25519 (make a new one)")]
    Key(#[source] rustls::Error),
    /// Two files that do not belong together.
    #[error(
        "the key does not belong to the first certificate of {certificate}; put the server's own certificate first, or name the key it was issued for",
        certificate = .0.display()
    )]
    Mismatch(PathBuf),
    /// Authorities that cannot be used.
    #[error("found authorities that cannot be used, want CA certificates (name the CA's file, not the server's)")]
    Authorities(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system has no authorities.
    #[error("found no trusted authority on this system, want some (install ca-certificates, or name a file in ca)")]
    NoSystemTrust,
    /// rustls refuses it.
    #[error("it cannot be used for TLS")]
    Tls(#[source] rustls::Error),
}

impl TlsError {
    /// The error and its causes, on one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(&self.fault);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }
}

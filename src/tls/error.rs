//! The errors of TLS files: the file, what was found, what is wanted, what to do.

use std::path::PathBuf;
use std::{fmt, io};

use rustls::CertificateError;
use rustls::pki_types::pem;

use super::ticket_keys::BadTicketKeys;

/// Which file of the settings, so that a caller who knows the config can name its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsPart {
    /// The certificate of a pair, from 0.
    Certificate(usize),
    /// The key of a pair, from 0.
    Key(usize),
    /// The authorities whose certificates are believed.
    Authorities,
    /// The keys of tickets.
    Tickets,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {fault}", file = file.display())]
pub struct TlsError {
    /// What it is for.
    pub part: TlsPart,
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
    #[error("found broken PEM: {0}, want whole -----BEGIN/-----END blocks of base64 (copy the file again)")]
    Pem(BrokenPem),
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
    /// A certificate of the years before 1996, which some scripts still make.
    #[error(
        "found a certificate of X.509 version 1, want version 3 (issue it again with extensions: openssl req -x509 -addext ...)"
    )]
    OldCertificate,
    /// No keys of tickets.
    #[error(transparent)]
    Tickets(#[from] BadTicketKeys),
    /// rustls refuses it.
    #[error("it cannot be used for TLS")]
    Tls(#[source] rustls::Error),
}

/// What is broken about a PEM file, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokenPem(String);

impl From<pem::Error> for BrokenPem {
    fn from(error: pem::Error) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        #[expect(clippy::wildcard_enum_match_arm, reason = "the library may find more that is wrong")]
        Self(match error {
            pem::Error::MissingSectionEnd { end_marker } => {
                format!("a block without its line -----END {}-----", text(&end_marker))
            }
            pem::Error::IllegalSectionStart { line } => format!("the line {:?}, which begins no block", text(&line)),
            pem::Error::Base64Decode(_) => "a block that is not base64".to_owned(),
            other => other.to_string(),
        })
    }
}

impl fmt::Display for BrokenPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FileFault {
    /// Why rustls does not take a certificate of ours.
    pub(crate) fn unusable(source: rustls::Error) -> Self {
        if is_old(&source) { Self::OldCertificate } else { Self::Tls(source) }
    }

    /// Why rustls does not take an authority.
    pub(crate) fn authority(source: rustls::Error) -> Self {
        if is_old(&source) { Self::OldCertificate } else { Self::Authorities(Box::new(source)) }
    }
}

/// Whether it is for the version of a certificate; the library says it in a type that it keeps to itself.
fn is_old(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(other))
        if other.to_string().contains("UnsupportedCertVersion"))
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

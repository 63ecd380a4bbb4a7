//! TLS: from files to what rustls serves and connects with, and again when the files change. A leaf.
//!
//! [`tls_settings`] is what a config says, [`files`] reads PEM, [`certificate`] is what can be said of one certificate,
//! and [`certificates`] picks one by the name that a client asks for. [`server`] and [`client_config`] build the two
//! ends; [`ticket_keys`] are those that several processes share. A [`ReloadableTls`](reloadable::ReloadableTls) holds
//! what is in use, and the [`tls_registry`] has all of a process. [`handshake`] is how an endpoint is met,
//! [`maybe_tls`] a connection with TLS or without, and [`private_file`] warns of files that others can read.
//!
//! A swap is a write under a lock that each *handshake* reads, not each request: the lock is a thousandth of what the
//! handshake costs, and a connection keeps what it began with. New files never replace half of a set: all files of an
//! end are read and checked first, and anything that is wrong with them leaves the old ones in use.

pub(crate) mod certificate;
pub(crate) mod certificates;
pub(crate) mod client_config;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod handshake;
pub(crate) mod maybe_tls;
pub(crate) mod private_file;
pub(crate) mod reloadable;
pub(crate) mod server;
pub(crate) mod ticket_keys;
pub(crate) mod tls_registry;
pub(crate) mod tls_settings;

pub(crate) use certificate::Certificate;
pub(crate) use client_config::Clients;
pub(crate) use error::{TlsError, TlsPart};
pub(crate) use handshake::{Handshake, TlsFailure};
pub(crate) use maybe_tls::MaybeTls;
pub(crate) use reloadable::{Examined, Load, TlsFacts};
pub(crate) use server::ServerTls;
pub(crate) use tls_registry::TlsRegistry;
pub(crate) use tls_settings::{Alpn, ClientAuth, ClientSettings, KeyPair, MinVersion, ServerSettings, Trust};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The cryptography, named wherever rustls wants it: a process-wide default could be set by another crate first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

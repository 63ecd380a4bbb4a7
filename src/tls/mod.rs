//! TLS material: from files to what rustls serves and connects with, and again when the files change. A leaf.
//!
//! [`settings`] is what a config says, [`files`] reads PEM, [`certificate`] is what can be said of one certificate,
//! [`certificates`] picks one by the name that a client asks for, [`server`] and [`client`] build the two ends, and a
//! [`Side`](side::Side) holds what is in use and swaps it whole when the files are good; [`sides`] are all of a process. [`handshake`]
//! is how an endpoint is met, [`private_file`] what is said of files that others can read.
//!
//! A swap is a write under a lock that each *handshake* reads, not each request: the lock is a thousandth of what the
//! handshake costs, and a connection keeps what it began with. New files never replace half of a set: all of a side is
//! read and checked first, and what is wrong with it leaves the old side in use.

pub(crate) mod certificate;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod handshake;
pub(crate) mod private_file;
pub(crate) mod server;
pub(crate) mod settings;
pub(crate) mod side;
pub(crate) mod sides;

pub(crate) use certificate::Certificate;
pub(crate) use client::{ClientSide, Clients};
pub(crate) use error::{Part, TlsError};
pub(crate) use handshake::{Handshake, TlsFailure};
pub(crate) use server::ServerSide;
pub(crate) use settings::{Alpn, ClientAuth, ClientSettings, KeyPair, MinVersion, ServerSettings, Trust};
pub(crate) use side::{Examined, Load, SideFacts};
pub(crate) use sides::Sides;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The cryptography, named wherever rustls wants it: a process-wide default could be set by somebody else first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

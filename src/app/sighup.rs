//! SIGHUP, which asks to read everything again: the config, the certificates and tokens, and to open the access log
//! anew.
//!
//! Its default is to end the process, so it is listened to before anything is bound, and before anybody can know of the
//! process (but who sends to all of a name). Each part has a receiver from then on: one that it registered when it
//! first runs would miss a signal that came just before.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A receiver for each part that reads something again.
#[derive(Debug)]
pub(crate) struct SighupStreams {
    /// The config file.
    pub(crate) config: Signal,
    /// The access log's file.
    pub(crate) log: Signal,
    /// Certificates, keys and tokens.
    pub(crate) tls_material: Signal,
    /// systemd, which is told of a reload.
    pub(crate) systemd: Signal,
}

impl SighupStreams {
    /// Listens from now on. Inside a tokio runtime.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub(crate) fn listen() -> io::Result<Self> {
        let listen = || signal(SignalKind::hangup());
        Ok(Self { config: listen()?, log: listen()?, tls_material: listen()?, systemd: listen()? })
    }
}

//! The hosts that may be asked for on a connection: those that its certificate is for (RFC 9110, 15.5.20).
//!
//! Clients of HTTP/2 use a connection for other hosts as well, if its certificate covers them (RFC 9113, 9.1.1). One
//! that asks for others is told so with 421, and asks again on a connection of its own: what it was promised by the
//! handshake is not what it would get. That holds whatever certificates the other host has, and whether the listener
//! knows it or not.
//!
//! Not asked: clients of HTTP/1.1, who open a connection for each host; trusted proxies, who keep one connection to us
//! and name us, not the host, in its handshake; clients that named no host, who connected by an address. Client
//! certificates need no rule of their own, because a listener asks all of its clients for one or none of them.

use std::sync::Arc;

use crate::proxy::request::local_reply::LocalReply;
use crate::stats::RejectReason;
use crate::tls::ServerTls;
use crate::tls::certificates::Certificates;

/// What a client was shown in the handshake.
#[derive(Debug)]
pub(crate) struct Authority {
    /// The host that it named.
    name: Box<str>,
    certificates: Arc<Certificates>,
}

impl Authority {
    /// A client named `name` in a handshake with `side`.
    #[must_use]
    pub(crate) fn new(name: &str, side: &ServerTls) -> Self {
        Self { name: name.into(), certificates: Arc::clone(&side.config().certificates) }
    }

    /// Refuses a request for a `host` that the connection is not for.
    ///
    /// # Errors
    /// The local reply.
    pub(crate) fn check(&self, host: &str) -> Result<(), LocalReply> {
        if *host == *self.name || self.certificates.covers(&self.name, host) {
            return Ok(());
        }
        let detail = "the certificate of this connection is not for this host: ask on a connection of its own";
        Err(LocalReply::new(RejectReason::Misdirected, detail))
    }
}

//! How many requests a client has in flight on streams of HTTP/2, where one connection can have many.
//!
//! A request over HTTP/1.1 needs one connection to an endpoint at the most for one of its client's, and there are
//! descriptors for as many of the one as of the other. A stream beside others on its connection needs one that nobody has
//! counted on. So streams are counted, for each connection and for each client, and [`budget`](crate::upstream::budget)
//! lends them what is free. HTTP/1.1 pays nothing for this.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::proxy::request::proxy_request::ClientConnection;
use crate::upstream::budget::PermitClaim;

/// The streams of a client on all its connections, over all workers.
#[derive(Debug, Default)]
pub(crate) struct ClientStreams(AtomicUsize);

/// A request on a stream; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct StreamPermit(Rc<ClientConnection>);

impl StreamPermit {
    /// Counts a request in.
    #[must_use]
    pub(crate) fn enter(peer: &Rc<ClientConnection>) -> Self {
        peer.streams.set(peer.streams.get() + 1);
        if let Some(client) = &peer.client {
            client.streams.0.fetch_add(1, Relaxed);
        }
        Self(Rc::clone(peer))
    }

    /// What a connection for this request counts as.
    #[must_use]
    pub(crate) fn claim(&self) -> PermitClaim {
        let of_connection = self.0.streams.get();
        match &self.0.client {
            _ if of_connection <= 1 => PermitClaim::First,
            Some(client) => PermitClaim::Further { of_client: client.streams.0.load(Relaxed) },
            None => PermitClaim::Further { of_client: 0 },
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        if let Some(client) = &self.0.client {
            client.streams.0.fetch_sub(1, Relaxed);
        }
    }
}

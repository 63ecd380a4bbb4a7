//! The permit of a request on a stream of HTTP/2: one connection can have many, and a client has a limit.
//!
//! A request over HTTP/1.1 needs one connection to an endpoint at the most for one of its client's, and there are
//! descriptors for as many of the one as of the other. A stream beside others on its connection needs one that was not
//! counted on. So streams are counted, for each connection and for each client, and [`budget`](crate::upstream::budget)
//! lends them what is free. HTTP/1.1 pays nothing for this.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::upstream::budget::PermitClaim;

/// The streams of a client on all its connections, over all workers.
#[derive(Debug, Default)]
pub(crate) struct ClientStreams(AtomicUsize);

/// The streams of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionStreams {
    open: Cell<usize>,
    /// None behind a trusted proxy, whose streams are those of many clients.
    of_client: Option<Arc<ClientStreams>>,
}

impl ConnectionStreams {
    /// None yet, of a connection of a client with these.
    #[must_use]
    pub(crate) fn new(of_client: Option<Arc<ClientStreams>>) -> Rc<Self> {
        Rc::new(Self { open: Cell::new(0), of_client })
    }
}

/// A request on a stream; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct StreamPermit(Rc<ConnectionStreams>);

impl StreamPermit {
    /// Counts a request in.
    #[must_use]
    pub(crate) fn enter(streams: &Rc<ConnectionStreams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        if let Some(of_client) = &streams.of_client {
            of_client.0.fetch_add(1, Relaxed);
        }
        Self(Rc::clone(streams))
    }

    /// What a connection for this request counts as.
    #[must_use]
    pub(crate) fn claim(&self) -> PermitClaim {
        match &self.0.of_client {
            _ if self.0.open.get() <= 1 => PermitClaim::First,
            Some(of_client) => PermitClaim::Further { of_client: of_client.0.load(Relaxed) },
            None => PermitClaim::Further { of_client: 0 },
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if let Some(of_client) = &self.0.of_client {
            of_client.0.fetch_sub(1, Relaxed);
        }
    }
}

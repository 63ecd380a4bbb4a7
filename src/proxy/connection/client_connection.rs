//! A client connection, as far as its requests have it in common.

use std::cell::{OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::stream_permit::ConnectionStreams;
use crate::proxy::accept::connection_limit::CountedClient;
use crate::proxy::accept::listener_policy::ListenerSettings;
use crate::proxy::accept::waiting::{WaitingConnection, WaitingList};
use crate::proxy::request::admit::authority::Authority;
use crate::proxy::request::header_edits::PeerAddress;
use crate::proxy::request::local_reply::LocalReply;
use crate::proxy::streams::tunnel::Tunnel;
use crate::proxy::worker::Worker;
use crate::upstream::Pools;

/// What a request needs to know of its connection.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    /// The other end.
    pub address: PeerAddress,
    /// Where it came in.
    pub listener: Rc<ListenerSettings>,
    /// The tunnel that the connection becomes when its codec is done, or the stream whose stages have ended just now.
    pub(crate) tunnel: RefCell<Option<Tunnel>>,
    /// The client that its connection counts for; none behind a trusted proxy.
    pub(crate) client: Option<CountedClient>,
    /// Its requests in flight on streams.
    pub(crate) streams: Rc<ConnectionStreams>,
    /// The connections of its listener and worker that wait.
    pub(crate) waiting: Rc<WaitingList>,
    /// Connections to endpoints that are for this one alone, once there may be some.
    pub(crate) private: OnceCell<Rc<Pools>>,
    /// What its client was shown, if it may ask for that alone.
    authority: OnceCell<Authority>,
}

impl ClientConnection {
    /// A connection from `address`, which counts for `client`.
    #[must_use]
    pub(crate) fn new(
        address: IpAddr,
        listener: Rc<ListenerSettings>,
        client: Option<CountedClient>,
        waiting: Rc<WaitingList>,
    ) -> Self {
        let (address, tunnel) = (PeerAddress::new(address), RefCell::default());
        let streams = ConnectionStreams::new(client.as_ref().map(|client| Arc::clone(&client.streams)));
        let (private, authority) = (OnceCell::new(), OnceCell::new());
        Self { address, listener, tunnel, client, streams, waiting, private, authority }
    }

    /// The list that its connection is on while it waits since then.
    pub(crate) fn waits(&self, since: Instant) -> WaitingConnection {
        self.waiting.enter(since, self.client.as_ref().map(|client| client.block))
    }

    /// From now on only what this client was shown is asked for.
    pub(crate) fn is_for(&self, authority: Authority) {
        // A connection has one handshake.
        _ = self.authority.set(authority);
    }

    /// Refuses a host that the connection is not for.
    pub(crate) fn check(&self, host: &str, trusted: bool) -> Result<(), LocalReply> {
        self.authority.get().filter(|_| !trusted).map_or(Ok(()), |authority| authority.check(host))
    }

    /// The pool of its own, from now on.
    pub(crate) fn own_pools(&self, worker: &Worker) -> Rc<Pools> {
        Rc::clone(self.private.get_or_init(|| Rc::new(Pools::new(worker.settings.pools))))
    }

    /// What the connection has become, if that is a tunnel.
    #[must_use]
    pub(crate) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }
}

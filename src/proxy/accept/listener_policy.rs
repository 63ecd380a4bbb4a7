//! The policy of a listener: who may connect, before the first byte of TLS or HTTP, and how often a client may ask.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::connection_limit::{ConnectionLimit, ConnectionPermit, CountedClient};
use super::proxy_protocol;
use super::proxy_protocol::ProxyProtocolPolicy;
use super::waiting::WaitingList;
use crate::proxy::limits::rate::RateLimiter;
use crate::proxy::request::admit::AdmitSettings;
use crate::proxy::request::local_reply::LocalReply;
use crate::proxy::request::own_call::OwnCalls;
use crate::proxy::worker::Worker;
use crate::shared::client_prefix::block;
use crate::stats::RejectReason;
use crate::tls::ServerTls;

/// What a listener asks of a connection. Its clones count together.
#[derive(Clone, Debug)]
pub(crate) struct ListenerPolicy {
    /// Whether it begins with a header of the PROXY protocol.
    pub proxy_protocol: Option<ProxyProtocolPolicy>,
    /// The connections that are there.
    pub connections: Arc<ConnectionLimit>,
    /// How often clients may ask.
    pub rate: Option<Arc<RateLimiter>>,
}

impl ListenerPolicy {
    /// A place for a connection that was accepted; `None` when it has to be closed, which has been counted.
    pub(crate) fn enter(&self, worker: &Worker) -> Option<ConnectionPermit> {
        let now_ms = || worker.clock_ms(Instant::now());
        self.connections.enter(now_ms).map_err(|refused| worker.stats.refused(refused)).ok()
    }

    /// The address that the connection is accounted to; `None` when it has to be closed, which has been counted.
    pub(crate) async fn identify(&self, worker: &Worker, stream: &mut TcpStream, peer: IpAddr) -> Option<IpAddr> {
        let identified = match &self.proxy_protocol {
            None => Ok(peer),
            Some(how) => {
                let _arriving = ArrivingGuard::new(worker);
                // On the heap: as a part of the task it would take room as long as the connection lives.
                Box::pin(proxy_protocol::read(stream, peer, how)).await
            }
        };
        if let Err(refused) = identified {
            tracing::debug!(%peer, ?refused, "a connection is not let in");
            refused.inspect(|reason| worker.stats.refused(*reason));
        }
        identified.ok()
    }

    /// Takes a request of `client`, unless it asks too often.
    ///
    /// # Errors
    /// The local reply.
    pub(crate) fn take(&self, worker: &Worker, client: IpAddr, now: Instant) -> Result<(), LocalReply> {
        let Some(rate) = &self.rate else { return Ok(()) };
        let now = now.saturating_duration_since(worker.settings.clock_start);
        rate.take(block(client), now).map_err(|early| {
            let seconds = early.as_secs() + u64::from(early.subsec_nanos() > 0);
            LocalReply::new(RejectReason::RateLimited, "this client asks more often than it may")
                .retry_after(seconds.max(1))
        })
    }
}

/// What the connections of a listener have in common.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSettings {
    /// What it takes.
    pub admit: AdmitSettings,
    /// Who gets in.
    pub policy: ListenerPolicy,
    /// Its TLS, if it speaks it.
    pub tls: Option<Arc<ServerTls>>,
    /// Longest wait for a head, which is also the longest idle time of a connection.
    pub idle_timeout: Duration,
    /// Whether a plain connection may speak HTTP/2 from its first byte on.
    pub h2c: bool,
    /// Calls that it answers itself, if it answers some.
    pub own: Option<OwnCalls>,
}

impl ListenerSettings {
    /// The list of a worker's connections that wait.
    pub(super) fn waiting(&self, worker: &Worker) -> Rc<WaitingList> {
        let summary = self.policy.connections.waiting().get(worker.index).map(Arc::clone).unwrap_or_default();
        WaitingList::new(summary, worker.settings.clock_start)
    }

    /// The client that a connection from `address` counts for: none if that is a trusted proxy.
    ///
    /// # Errors
    /// When it has as many connections as it may.
    pub(super) fn claim(
        &self,
        permit: &mut ConnectionPermit,
        address: IpAddr,
        waiting: &WaitingList,
    ) -> Result<Option<CountedClient>, RejectReason> {
        if self.admit.trusts(address) { Ok(None) } else { permit.claim(address, waiting).map(Some) }
    }
}

/// Counts a connection that is not served yet; dropping it counts it out.
struct ArrivingGuard<'w>(&'w Worker);

impl<'w> ArrivingGuard<'w> {
    fn new(worker: &'w Worker) -> Self {
        worker.stats.arriving();
        Self(worker)
    }
}

impl Drop for ArrivingGuard<'_> {
    fn drop(&mut self) {
        self.0.stats.disconnected();
    }
}

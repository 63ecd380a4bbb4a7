//! The door of a listener: who gets in, before the first byte of TLS or HTTP.

use std::net::IpAddr;

use tokio::net::TcpStream;

use super::proxy_protocol::{self, ProxyProtocol};
use super::worker::Worker;

/// What a listener asks of a connection.
#[derive(Clone, Debug)]
pub struct Door {
    /// Whether it begins with a header of the PROXY protocol.
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Door {
    /// The address that the connection is accounted to; `None` when it has to be closed, which has been counted.
    pub async fn identify(&self, worker: &Worker, stream: &mut TcpStream, peer: IpAddr) -> Option<IpAddr> {
        let Some(how) = &self.proxy_protocol else { return Some(peer) };
        let _arriving = Arriving::new(worker);
        let identified = proxy_protocol::read(stream, peer, how).await;
        if let Err(refused) = identified {
            tracing::debug!(%peer, ?refused, "a connection did not say whose it is");
            refused.inspect(|reason| worker.stats.refused(*reason));
        }
        identified.ok()
    }
}

/// Counts a connection that is not served yet; dropping it counts it out.
struct Arriving<'w>(&'w Worker);

impl<'w> Arriving<'w> {
    fn new(worker: &'w Worker) -> Self {
        worker.stats.arriving();
        Self(worker)
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.stats.disconnected();
    }
}

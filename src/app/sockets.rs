//! Listening sockets: each worker has its own on every address, so that the kernel spreads connections without a lock.
//!
//! `SO_REUSEPORT` would also let a second process of the same user bind the same port and quietly take half of the
//! connections, so a probe without it comes first: a port in use is an error, as everybody expects.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::call_listeners::CallListeners;
use super::inherited::Inherited;
use super::settings;
use crate::config;
use crate::proxy::accept::accept_loop::WorkerListener;
use crate::proxy::accept::listener_policy::ListenerSettings;
use crate::proxy::accept::waiting::WaitingSummary;
use crate::proxy::request::admit::AdmitSettings;
use crate::table::Name;
use crate::tls::ServerTls;

/// Connections that may wait to be accepted, per socket; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has it.
    #[error("{key}: {address} is in use; stop the other process or choose another address")]
    InUse {
        /// The key in the config.
        key: String,
        /// The address.
        address: String,
    },
    /// Anything else.
    #[error("{key}: cannot listen on {address}; choose an address that this host has and may use")]
    Other {
        /// The key in the config.
        key: String,
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    fn new(key: String, address: &impl ToString, source: io::Error) -> Self {
        let address = address.to_string();
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::InUse { key, address }
        } else {
            Self::Other { key, address, source }
        }
    }
}

/// A listener's sockets, one a worker.
#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) name: Name,
    pub(crate) address: SocketAddr,
    sockets: Vec<TcpListener>,
}

/// Binds all listeners for this many workers.
///
/// Sockets that were inherited are taken as they are, all of them: the queue of one that was left would be lost. If
/// there are fewer than workers (systemd makes one), the workers share them. A socket more would get connections at
/// once, and lose them again if this process does not come to serve.
pub(crate) fn listeners(
    wanted: &[config::ListenerConfig],
    workers: usize,
    inherited: &mut Inherited,
) -> Result<Vec<BoundListener>, BindError> {
    let bound = wanted.iter().map(|listener| {
        let failed = |error| BindError::new(format!("{}.address", listener.section()), &listener.address, error);
        let mut sockets = inherited.tcp(listener.name.as_str(), listener.address);
        if let Some(first) = sockets.first() {
            let address = first.local_addr().map_err(failed)?;
            let inherited = sockets.len();
            for index in inherited..workers {
                sockets.push(sockets[index % inherited].try_clone().map_err(failed)?);
            }
            return Ok(BoundListener { name: listener.name.clone(), address, sockets });
        }
        if listener.address.port() != 0 {
            // Closed again at once: it only asks whether anybody listens there. It does not listen itself, or a client
            // that comes now would be let in by the kernel and reset.
            drop(bind(listener.address, false).map_err(failed)?);
        }
        let first = listen(listener.address).map_err(failed)?;
        let address = first.local_addr().map_err(failed)?;
        let mut sockets = vec![first];
        for _ in 1..workers {
            sockets.push(listen(address).map_err(failed)?);
        }
        Ok(BoundListener { name: listener.name.clone(), address, sockets })
    });
    bound.collect()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a process before this one may still wait for their last packets.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Second descriptors of all sockets with their listeners' names, to be handed over.
pub(crate) fn share(listeners: &[BoundListener]) -> io::Result<Vec<(String, OwnedFd)>> {
    let shared = listeners.iter().flat_map(|listener| {
        listener.sockets.iter().map(|socket| Ok((listener.name.to_string(), socket.try_clone()?.into())))
    });
    shared.collect()
}

/// What the connections of each listener have in common.
pub(crate) fn settings(
    config: &config::Config,
    workers: usize,
    tls: &[Option<Arc<ServerTls>>],
    calls: &CallListeners,
) -> Vec<(Name, ListenerSettings)> {
    let of = |(wanted, tls): (&config::ListenerConfig, &Option<Arc<ServerTls>>)| {
        let admit = AdmitSettings {
            target_bytes_max: config.proxy.request_heads.target_bytes_max,
            strict_targets: wanted.strict_targets,
            trusted_proxies: wanted.trusted_proxies.clone(),
            https: tls.is_some(),
            redirect_https: wanted.redirect_https,
        };
        let own = calls.of(wanted);
        let (idle_timeout, h2c, door) = (wanted.head_read_timeout, wanted.h2c, settings::door(wanted, workers));
        (wanted.name.clone(), ListenerSettings { admit, policy: door, tls: tls.clone(), idle_timeout, h2c, own })
    };
    config.listeners.iter().zip(tls).map(of).collect()
}

/// Deals the sockets out: element `n` has those of worker `n`.
pub(crate) fn by_worker(
    listeners: Vec<BoundListener>,
    workers: usize,
    settings: &[(Name, ListenerSettings)],
) -> Vec<Vec<WorkerListener>> {
    let mut dealt: Vec<Vec<WorkerListener>> = (0..workers).map(|_| Vec::new()).collect();
    for (listener, (_, settings)) in listeners.into_iter().zip(settings) {
        for (index, socket) in listener.sockets.into_iter().enumerate() {
            dealt[index % workers].push(WorkerListener { socket, settings: settings.clone() });
        }
    }
    dealt
}

/// The lists of connections that wait, of all listeners and workers.
pub(crate) fn waiting(listeners: &[Vec<WorkerListener>]) -> Vec<Arc<WaitingSummary>> {
    // Each worker's settings share the lists of all workers.
    let first = listeners.first().into_iter().flatten();
    first.flat_map(|listener| listener.settings.policy.connections.waiting().iter().map(Arc::clone)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn asking_whether_an_address_is_free_lets_nobody_in() {
        let probe = bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = probe.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn an_address_that_somebody_listens_on_is_in_use() {
        let address = listen("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let second = listen(address).unwrap();
        assert_eq!(bind(address, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(second);
    }
}

//! Endpoints at run time, one set of pools a worker: which endpoint of a version to take ([`balance`]), the connections
//! to it ([`pool`]), how many there may be ([`budget`]), how to open one ([`mod@connect`], with TLS if the version asks
//! for it: an [`endpoint_stream`] of bytes), and what sends a request on it ([`sender`]): [`mod@http1`] or
//! [`mod@http2`]. The response's body is [`incoming`].
//!
//! A worker owns its pools alone, on its own thread: taking a connection is popping a vector. Pools shared by all
//! workers would need fewer idle connections and a lock on every request.

pub(crate) mod balance;
pub(crate) mod budget;
pub(crate) mod connect;
pub(crate) mod endpoint_stream;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod incoming;
pub(crate) mod incoming_error;
pub(crate) mod pool;
pub(crate) mod sender;

pub(crate) use crate::http1::HeadLimits;
pub(crate) use connect::{ConnectError, ConnectLimits, ConnectTarget, connect};
pub(crate) use incoming::{Incoming, TunnelUpstream};
pub(crate) use incoming_error::IncomingError;
pub(crate) use pool::{Opened, PoolSettings, Pools};
pub(crate) use sender::RequestSender;

//! Endpoints at run time, one set of pools a worker: which endpoint of a version to take ([`balance`]), the connections
//! to it ([`pool`]), how many there may be ([`budget`]), how to open one ([`mod@connect`], with TLS if the version asks for it: a [`stream`] of bytes), and what
//! sends a request on it ([`sender`]): [`mod@http1`] is ours, HTTP/2 is hyper's. The answer's body is [`incoming`].
//!
//! A worker owns its pools alone, on its own thread: taking a connection is popping a vector. Pools shared by all
//! workers would need fewer idle connections and a lock on every request.

pub mod balance;
pub mod budget;
pub mod connect;
pub mod http1;
pub mod incoming;
pub mod pool;
pub mod sender;
pub mod stream;

pub use crate::http1::HeadLimits;
pub use connect::{ConnectError, ConnectLimits, Connected, connect};
pub use incoming::{Incoming, IncomingError};
pub use pool::{Opened, PoolSettings, Pools};
pub use sender::{Sender, Shared};
pub use stream::EndpointStream;

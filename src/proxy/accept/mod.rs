//! From a listening socket to a connection that speaks HTTP.
//!
//! [`accept_loop`] accepts within the [`connection_limit`] of the listener and its clients and the [`global_limit`] of
//! the process; when there is no room, [`waiting`] names the idle connection that gives way. [`proxy_protocol`] reads
//! who the client is, [`tls_accept`] shakes hands, and a [`client_stream`] is what comes of it. [`listener_policy`] is
//! what a listener allows.

pub(crate) mod accept_loop;
pub(crate) mod client_stream;
pub(crate) mod connection_limit;
pub(crate) mod global_limit;
pub(crate) mod listener_policy;
pub(crate) mod proxy_protocol;
pub(crate) mod tls_accept;
pub(crate) mod waiting;

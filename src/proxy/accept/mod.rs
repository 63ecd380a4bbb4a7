//! TODO page of accept.

pub(crate) mod accept_loop;
pub(crate) mod client_stream;
pub(crate) mod connection_limit;
pub(crate) mod global_limit;
pub(crate) mod listener_policy;
pub(crate) mod proxy_protocol;
pub(crate) mod tls;
pub(crate) mod waiting;

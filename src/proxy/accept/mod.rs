//! TODO page of accept.

pub mod accept_loop;
pub mod client_stream;
pub mod connection_limit;
pub mod global_limit;
pub mod listener_policy;
pub mod proxy_protocol;
pub mod tls;
pub mod waiting;

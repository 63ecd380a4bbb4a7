//! TODO page of accept.

pub mod accept_loop;
pub mod global_limit;
pub mod connection_limit;
pub mod listener_policy;
pub mod waiting;
pub mod proxy_protocol;
pub mod tls;
pub mod client_stream;

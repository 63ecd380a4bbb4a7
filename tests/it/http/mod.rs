//! HTTP/1.1 with clients and endpoints on raw sockets: framing, heads, hosts, limits, and what the proxy says by
//! itself.

mod caches;
mod conformance;
mod conformance_panic;
mod edge_headers;
mod edge_responses;
mod feature_interactions;
mod framing;
mod headers;
mod host;
mod interim;
mod limits;
mod loops;
pub(crate) mod mixed_traffic;
mod park;
mod private;
mod proxy_protocol;
mod refusals;
mod resend;
mod responses;
mod smuggling;
mod targets;
mod tunnels;
mod uploads;
mod upstream;

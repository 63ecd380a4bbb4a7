//! HTTP/2 on streams of the crate `h2`, as both sides of the proxy use it: a [body](outgoing_body) on its way out, the
//! bytes of a [tunnel](tunnel_stream), and whether the other side is [still there](liveness). A leaf.
//!
//! The frames and the state of the streams are the codec's. What is driven by a task, and what is refused, is said in
//! the folders of the two sides: `proxy/connection/http2` serves clients, `upstream/http2` asks endpoints.

pub(crate) mod liveness;
pub(crate) mod outgoing_body;
pub(crate) mod tunnel_stream;

pub(crate) use liveness::{Liveness, LivenessVerdict, PingTimes};
pub(crate) use outgoing_body::OutgoingBody;
pub(crate) use tunnel_stream::TunnelStream;

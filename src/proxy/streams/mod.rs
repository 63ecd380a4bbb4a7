//! Streams that last longer than a request and its response.
//!
//! [`websocket`] recognises a handshake, [`tunnel`] copies the bytes both ways, and [`long_lived`] ends streams whose
//! version lost its traffic.

pub(crate) mod long_lived;
pub(crate) mod tunnel;
pub(crate) mod websocket;

//! TODO page of streams.

pub(crate) mod long_lived;
pub(crate) mod tunnel;
pub(crate) mod websocket;

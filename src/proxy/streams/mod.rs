//! TODO page of streams.

pub mod long_lived;
pub mod tunnel;
pub mod websocket;

//! TODO page of outbound.

pub mod client;
pub mod excerpt;
#[cfg(test)]
pub(crate) mod fixture;
pub mod hook;
pub mod notify;
pub mod secret;
pub mod sign;
pub mod smoke;
pub mod webhook;

//! TODO page of outbound.

pub(crate) mod client;
pub(crate) mod excerpt;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod hook;
pub(crate) mod notify;
pub(crate) mod secret;
pub(crate) mod sign;
pub(crate) mod smoke;
pub(crate) mod webhook;

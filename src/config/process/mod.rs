//! TODO page of process.

pub(crate) mod access_log;
pub(crate) mod admin;
pub(crate) mod notify;
pub(crate) mod proxy;
pub(crate) mod state;

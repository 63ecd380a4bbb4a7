//! TODO page of process.

pub(crate) mod admin;
pub(crate) mod access_log;
pub(crate) mod state;
pub(crate) mod proxy;
pub(crate) mod notify;

//! TODO page of listener.

pub(crate) mod port_conflict;
pub(crate) mod proxy_protocol;
pub(crate) mod redirect;
pub(crate) mod settings;

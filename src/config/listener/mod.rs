//! TODO page of listener.

pub(crate) mod settings;
pub(crate) mod proxy_protocol;
pub(crate) mod redirect;
pub(crate) mod port_conflict;

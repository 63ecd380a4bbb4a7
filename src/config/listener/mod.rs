//! The sections `[listeners.NAME]`: [`settings`], [`proxy_protocol`] and [`redirect`]. [`port_conflict`] finds two that want
//! the same address.

pub(crate) mod port_conflict;
pub(crate) mod proxy_protocol;
pub(crate) mod redirect;
pub(crate) mod settings;

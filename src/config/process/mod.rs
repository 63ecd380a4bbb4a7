//! The sections about the process itself: `[admin]`, `[access_log]`, `[state]`, `[proxy]`, `[jwt]` and `[notify]`.

pub(crate) mod access_log;
pub(crate) mod admin;
pub(crate) mod admin_token;
pub(crate) mod notify;
pub(crate) mod proxy;
pub(crate) mod state;
pub(crate) mod token_keys;

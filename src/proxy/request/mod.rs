//! TODO page of request.

pub(crate) mod acquire;
pub(crate) mod admit;
pub(crate) mod connect;
pub(crate) mod context;
pub(crate) mod fallback;
pub(crate) mod forward;
pub(crate) mod headers;
pub(crate) mod interim;
pub(crate) mod local_reply;
pub(crate) mod private;
pub(crate) mod proxy_request;
pub(crate) mod redirect;
pub(crate) mod route;
pub(crate) mod send;

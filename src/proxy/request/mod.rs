//! TODO page of request.

pub mod proxy_request;
pub mod context;
pub mod admit;
pub mod acquire;
pub mod route;
pub mod connect;
pub mod private;
pub mod headers;
pub mod forward;
pub(crate) mod send;
pub mod interim;
pub mod fallback;
pub mod local_reply;
pub mod redirect;

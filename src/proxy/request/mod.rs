//! TODO page of request.

pub mod acquire;
pub mod admit;
pub mod connect;
pub mod context;
pub mod fallback;
pub mod forward;
pub mod headers;
pub mod interim;
pub mod local_reply;
pub mod private;
pub mod proxy_request;
pub mod redirect;
pub mod route;
pub(crate) mod send;

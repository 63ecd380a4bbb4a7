//! What happens to one request, step by step.
//!
//! [`proxy_request`] is the list of steps on one [`context`]: [`admit`] the head, [`acquire`] a permit, find its [`route`],
//! [`connect`] to an endpoint (a [`private`] connection, if the client has one), edit the [`headers`], [`forward`] the
//! request ([`send`] is one attempt, [`fallback`] the other version that can take over), pass [`interim`] responses on.
//! [`local_reply`] is the one side exit, and [`redirect`] takes it too.

pub(crate) mod acquire;
pub(crate) mod admit;
pub(crate) mod connect;
pub(crate) mod context;
pub(crate) mod deliver;
pub(crate) mod destination;
pub(crate) mod fallback;
pub(crate) mod finish;
pub(crate) mod forward;
pub(crate) mod headers;
pub(crate) mod interim;
pub(crate) mod local_reply;
pub(crate) mod private;
pub(crate) mod proxy_request;
pub(crate) mod redirect;
pub(crate) mod route;
pub(crate) mod send;
pub(crate) mod upstream_connection;

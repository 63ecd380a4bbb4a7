//! Bodies on their way through: nothing is buffered but what an attempt after this one may need.
//!
//! An [`inbound`] body becomes a [`request_body`] on its way to the upstream, and [`response_body`] carries a response
//! to its end. [`body_limit`] bounds size and slowness, [`idle`] bounds silence, [`rewind`] can begin anew with what is
//! [`kept`], and a [`body_fault`] is how a body broke.

pub(crate) mod body_fault;
pub(crate) mod body_limit;
pub(crate) mod event_body;
pub(crate) mod idle;
pub(crate) mod inbound;
pub(crate) mod kept;
pub(crate) mod request_body;
pub(crate) mod response_body;
pub(crate) mod rewind;
pub(crate) mod spoiler;

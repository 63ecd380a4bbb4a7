//! The data plane: the life of a request, stage by stage. Each file is a stage or what a stage needs.
//!
//! [`accept`] a connection, [`connection`] serves it (bounded by [`stall`]), [`handle`] is the list of a request's
//! stages: [`admit`] the head (with [`framing`], [`host`], [`client`], [`connection_header`]), decide (in
//! [`table`](crate::table)),
//! [`dial`] an endpoint, [`edit`] the headers, [`forward`] with its [`body`], pass the [`answer`] on, [`observe`] how it
//! ended (and whom to [`blame`]); [`refuse`] is the one side exit. [`worker`] is what a thread owns, [`access_log`] what it tells.
//!
//! One thread per core, each with its own runtime, listening socket and upstream connections: a request never leaves
//! its thread, so what it touches needs no locks and stays in one core's cache. A work-stealing runtime would even out
//! the threads, at the price of synchronised pools and reference counts in every request.

pub mod accept;
pub mod access_log;
pub mod admit;
pub mod answer;
mod blame;
pub mod body;
pub mod client;
pub mod connection;
pub mod connection_header;
pub mod dial;
pub mod edit;
pub mod forward;
pub mod framing;
pub mod handle;
pub mod host;
pub mod observe;
pub mod refuse;
pub mod stall;
pub mod worker;

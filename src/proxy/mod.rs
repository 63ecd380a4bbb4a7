//! The data plane: the life of a request, stage by stage. Each file is a stage or what a stage needs.
//!
//! [`accept`] a connection (up to the [`ceiling`], as a [`client_stream`], through [`mod@tls`] if it has to) at its listener's [`door`] (with its [`crowd`],
//! [`rate`] and [`proxy_protocol`], and a list of those that are [`waiting`]), [`connection`] serves it (bounded by [`stall`], with a [`date`] on what it answers), [`handle`] (for a [`peer`]) is the
//! list of a request's stages, whose panics are [`caught`]: [`admit`] the head (with [`host`], [`authority`], [`client`] and [`connection_header`]),
//! [`settle`] on a snapshot and a [`target`] in it (when there is [`load`] room for it, no [`hold`], and each stream of HTTP/2 has its [`stream_place`]), decide where it is [`routed`] (in [`table`](crate::table)),
//! [`dial`] an endpoint (on a [`private`] connection, if the client has one), [`edit`] the headers, [`forward`] (by [`send`]) with its [`body`] (under a [`meter`], behind the [`shield`], if there
//! is one), pass the [`answer`] on (after what was [`interim`]), [`observe`] how it ended (with a [`gauge`] of what is in flight, whom to [`blame`], and what to tell a rollout as its
//! [`juror`]); [`refuse`] is the one side exit
//! ([`redirect`] takes it too). A [`websocket`] becomes a
//! [`tunnel`], which like other [`long`] streams belongs to a version. [`worker`] is what a thread owns, [`access_log`] what
//! it tells, [`leave`] how it ends.
//!
//! One thread per core, each with its own runtime, listening socket and upstream connections: a request never leaves
//! its thread, so what it touches needs no locks and stays in one core's cache. A work-stealing runtime would even out
//! the threads, at the price of synchronised pools and reference counts in every request.

pub(crate) mod accept;
pub(crate) mod access_log;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod drain;
pub(crate) mod limits;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod streams;
pub(crate) mod worker;

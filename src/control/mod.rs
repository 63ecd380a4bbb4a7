//! The only writer of the traffic state.
//!
//! In reading order: [`change`] is what may be asked and what comes of it, with [`endpoint`] for drains, [`undo`] for
//! rollbacks, [`rollout_change`] for rollouts, [`mod@file`] for
//! the config and [`difference`] for what moves, all pure; [`store`] keeps revisions; [`writer`] puts them together on
//! one thread, in one order (plan, compile, commit, publish, answer), and [`handle`] is how to ask it; [`publish`] holds
//! the one pointer that the data plane loads, and [`retired`] frees the tables that it led to. [`hold`] makes a change
//! while nothing runs, and [`unusable`] says which changes nobody should make. [`watch`] reloads the config file and
//! [`renew`] certificates and tokens, both by [`files`]; [`resolve`] finds the addresses of endpoints by name, and
//! [`health`] looks after them; [`upgrade`] is how another process is asked to take over. [`rollouts`] does what a release
//! asks for, and [`exchange`] is how it and the health checks send requests of our own. [`effective`], [`live`],
//! [`standing`] and [`export`] are what is shown of the result, and
//! [`admin`] is the API on top.
//!
//! One thread and not a lock, because a change has to be durable before it is visible, and a lock held over a disk
//! flush would stop whoever only wants to look.

pub(crate) mod certificate_reloader;
pub(crate) mod change;
pub(crate) mod difference;
pub(crate) mod drain;
pub(crate) mod effective;
pub(crate) mod endpoint;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod files;
pub(crate) mod handle;
pub(crate) mod hold;
pub(crate) mod publish;
pub(crate) mod rollback;
pub(crate) mod rollout_change;
pub(crate) mod store;
pub(crate) mod table_reclaimer;
pub(crate) mod unusable;
pub(crate) mod upgrade;
pub(crate) mod upkeep;
pub(crate) mod watch;
pub(crate) mod writer;

pub(crate) use handle::{ApplyError, Handle};
pub(crate) use store::Store;
pub(crate) use writer::Writer;

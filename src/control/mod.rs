//! The only writer of the traffic state.
//!
//! In reading order: [`change`] is what may be asked and what comes of it, with [`endpoint`] for drains, [`rollback`] for
//! the way back, [`rollout_change`] for rollouts, [`mod@file`] for the config and [`difference`] for what moves, all pure.
//! [`store`] keeps revisions. [`writer`] puts them together on one thread, in one order (plan, compile, commit, publish,
//! answer), and [`handle`] is how to ask it. [`publish`] holds the one pointer that the data plane loads, and
//! [`table_reclaimer`] frees the tables that it led to. [`hold`] makes a change while nothing runs, and [`unusable`] says
//! which changes would send users to a dead version. [`watch`] reloads the config file and [`certificate_reloader`]
//! certificates and tokens, both by [`files`]. [`upgrade`] is how another process is asked to take over. [`effective`] is
//! what versions get at this moment.
//!
//! One thread and not a lock, because a change has to be durable before it is visible, and a lock held over a disk
//! flush would stop those who only want to look.

pub(crate) mod certificate_reloader;
pub(crate) mod change;
pub(crate) mod difference;
pub(crate) mod drain;
pub(crate) mod effective;
pub(crate) mod endpoint;
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

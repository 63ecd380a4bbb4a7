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

pub mod certificate_reloader;
pub mod change;
pub mod difference;
pub mod drain;
pub mod effective;
pub mod endpoint;
pub mod fault;
pub mod file;
pub mod files;
pub mod handle;
pub mod hold;
pub mod publish;
pub mod rollback;
pub mod rollout_change;
pub mod store;
pub mod table_reclaimer;
pub mod unusable;
pub mod upgrade;
pub mod upkeep;
pub mod watch;
pub mod writer;

pub use change::{Action, Change, State};
pub use fault::{Fault, FaultKind};
pub use handle::{Applied, ApplyError, ChangeRequest, Handle};
pub use store::Store;
pub use writer::Writer;

//! The only writer of the traffic state.
//!
//! In reading order: [`change`] is what may be asked and what comes of it ([`planned`] has its state and plan), with
//! [`endpoint_change`] for drains, [`flag_change`] for flags, [`experiment_change`] for experiments (whose runs are in
//! [`experiment_states`]), [`mirror_change`] for mirrors, [`rollback`] for the way back, [`rollout_change`] for
//! rollouts, [`mod@file`] for the config (which remembers each [`service_intent`]), [`difference`], [`flag_difference`]
//! and [`experiment_difference`] for what moves, all pure. [`store`] keeps revisions. [`writer`] puts them together on
//! one thread, in one order (plan, compile, commit, publish, respond), and [`handle`] is how it is asked. [`publish`]
//! holds the one pointer that the data plane loads, and [`table_reclaimer`] frees the tables that it led to.
//! [`mod@fleet`] is the same traffic as replicas share it.
//! [`hold_registry`] makes a change while nothing runs, [`drain_wait`] waits until an endpoint has nothing left to do,
//! and [`unusable`] says which changes would send users to a dead version. [`weight_marks`] remembers who set weights,
//! and which commits were taken back; [`mark_change`] says what a change comes to for that, and [`file_origin`] which
//! commit a config is. [`overridden`] is what is in force and not as the config says; [`expiry`] is the end of what was
//! set for a time, and [`expiry_clock`] looks when it is over. [`watch`] puts the config file in force when it changes,
//! [`upkeep`] looks after the store, and [`clock`] is the process's.
//!
//! One thread and not a lock, because a change has to be durable before it is visible, and a lock held over a disk
//! flush would stop those who only want to look.
//!
//! Nothing else changes the traffic: the admin API, rollouts and the config file ask the [`handle`].

pub(crate) mod change;
pub(crate) mod clock;
pub(crate) mod difference;
pub(crate) mod drain_wait;
pub(crate) mod endpoint_change;
pub(crate) mod experiment_change;
pub(crate) mod experiment_difference;
pub(crate) mod experiment_states;
pub(crate) mod expiry;
pub(crate) mod expiry_clock;
pub(crate) mod file;
pub(crate) mod file_origin;
pub(crate) mod flag_change;
pub(crate) mod flag_difference;
pub(crate) mod fleet;
pub(crate) mod handle;
pub(crate) mod hold_registry;
pub(crate) mod mark_change;
pub(crate) mod mirror_change;
pub(crate) mod overridden;
pub(crate) mod planned;
pub(crate) mod publish;
pub(crate) mod rollback;
pub(crate) mod rollout_change;
pub(crate) mod service_intent;
pub(crate) mod store;
pub(crate) mod table_reclaimer;
pub(crate) mod unusable;
pub(crate) mod upkeep;
pub(crate) mod watch;
pub(crate) mod weight_marks;
pub(crate) mod writer;

pub(crate) use handle::{ApplyError, Handle};
pub(crate) use store::Store;
pub(crate) use writer::Writer;

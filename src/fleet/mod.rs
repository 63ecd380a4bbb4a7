//! A fleet: replicas that share one traffic state, in one key of etcd, and know of each other.
//!
//! [`etcd_words`] and [`etcd_client`] are etcd's JSON gateway; [`fleet_keys`] is what a fleet has there.
//! [`etcd_port`] is how the writer puts a change there ([`crate::control::fleet`] has the rules), [`etcd_watch`] how
//! news come, [`fleet_keeper`] the task that follows them, keeps this replica's lease and says what it has
//! ([`config_print`] of its config, [`standing_news`] in the log), and [`election`] how one of them comes to lead.
//! [`fleet_facts`] is what is known, [`fleet_handle`] how others ask, [`replica_client`] how one replica asks
//! another, [`passed_call`] how the leader gets calls that are for it, and [`fleet_start`] what a process finds when
//! it starts.
//!
//! # A change
//!
//! ```text
//!  replica 1: plan, compile ── txn(document is what I saw: document', revision) ──> etcd
//!             store, publish                                                         │ watch
//!                            replica 2: store, compile, publish, "I have 57" ────────┤
//!                            replica 3: store, compile, publish, "I have 57" ────────┘
//!  replica 1 answers when all live replicas have said so, or names those that have not
//! ```
//!
//! # What must stay true
//!
//! - Without etcd nothing changes: what is in force stays in force for ever, changes are refused with the reason, and
//!   it is over by itself when etcd is back. No replica waits for another to serve a request.
//! - News are followed from the last that was seen, never from a number that came from elsewhere; a watch that ends for
//!   whatever reason is followed by a reading of everything. What a watch has missed is found by the next beat.
//! - There is one leader at the most: it holds a key by its lease, and takes itself for the leader for less time than
//!   etcd does, by its own clock from before it asked. What it writes is refused once the key is another's.
//! - Each change of state is logged once. Whatever fails is tried again with a pause of chance, that grows.

mod config_print;
mod election;
pub(crate) mod etcd_client;
mod etcd_port;
mod etcd_watch;
mod etcd_words;
pub(crate) mod fleet_facts;
pub(crate) mod fleet_handle;
pub(crate) mod fleet_keeper;
mod fleet_keys;
pub(crate) mod fleet_start;
pub(crate) mod passed_call;
pub(crate) mod replica_client;
mod standing_news;

pub(crate) use fleet_keys::FleetMember;

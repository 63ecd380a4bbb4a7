//! The traffic as replicas share it, from the side of the writer.
//!
//! The traffic of all replicas is one document ([`shared_state`]) in one key, with a number that grows by each write: a
//! replica that changes it says which document it has seen, and is refused if there is another one by then. So a change
//! of any number of services is one swap on each replica, and a revision has one number everywhere. A revision, with
//! who, when and why, is written with it to a key of its own, so that a replica that was away gets the history that it
//! has missed.
//!
//! [`fleet_port`] is what the writer wants of the place of the key, [`fleet_link`] is where it stands with it,
//! [`fleet_calls`] how it is told, and [`shared_intent`] what the fleet was told by files. That it is etcd is known
//! to [`fleet`](crate::fleet) alone.
//!
//! # What must stay true
//!
//! - The key is written before the store of the replica: what is in no store is in no key of another, and a power cut
//!   in
//!   between costs nothing, because the replica reads the key when it comes back.
//! - A write that may or may not have arrived is never told as refused: the caller is told to look.
//! - The number of writes of a document never goes back on a replica. A place that was restored from a copy of an hour
//!   ago is refused, and what is in force stays in force.

mod fleet_calls;
pub(crate) mod fleet_link;
pub(crate) mod fleet_mark;
pub(crate) mod fleet_port;
pub(crate) mod shared_intent;
pub(crate) mod shared_state;

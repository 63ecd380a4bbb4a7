//! Replicas that share the traffic in a real etcd.

mod away;
pub(crate) mod etcd;
mod joining;
mod leader;
mod one_acts;
pub(crate) mod place;
mod together;

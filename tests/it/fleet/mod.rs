//! Replicas that share the traffic in a real etcd.

mod away;
mod etcd;
mod joining;
mod leader;
mod place;
mod together;

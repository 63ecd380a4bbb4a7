//! Replicas that share the traffic in a real etcd.

mod away;
mod clocks;
pub(crate) mod etcd;
mod evidence;
mod experiments;
mod figures;
mod joining;
mod leader;
mod one_acts;
mod passed_on;
pub(crate) mod place;
mod simulated;
mod together;
mod versions;

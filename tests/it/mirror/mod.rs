//! Mirrors on real sockets.

mod circles;
mod copies;
mod differences;
mod left_out;
mod protocols;
mod restarts;
mod rollouts;
mod secure_targets;
mod surface;
mod targets;

//! Mirrors on real sockets.

mod copies;
mod differences;
mod protocols;
mod rollouts;
mod surface;
mod targets;

<<<<<<< HEAD
//! All integration tests, in one binary: they share their support code and are linked once.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests say what they expect by panicking")]

mod change;
mod store;
mod support;
mod writer;
=======
//! Integration tests: one binary, a module for each part.

mod config;
>>>>>>> 575207ae3b131d32138abd13b2b6cdc61824fe2e

//! All integration tests, in one binary: they share their support code and are linked once.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests say what they expect by panicking")]

mod admin;
mod admin_access;
mod change;
mod export;
mod store;
mod support;
mod watch;
mod writer;

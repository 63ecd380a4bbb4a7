//! All integration tests, in one binary: they share their support code and are linked once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "tests say what they expect by panicking, and what they skip on standard error"
)]

mod admin;
mod admin_access;
mod change;
mod export;
mod store;
mod support;
mod watch;
mod writer;

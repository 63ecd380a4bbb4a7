//! All integration tests, in one binary: they share their support code and are linked once. Those of the request path
//! run a whole proxy in this process, with real sockets on both sides and raw bytes; everything binds port 0.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "tests say what they expect by panicking, and what they measured or skip on the standard streams"
)]

mod admin;
mod attacks;
mod chaos;
mod clients;
mod config;
mod console;
mod control;
mod endpoints;
mod experiments;
mod flags;
mod fleet;
mod fuzz;
mod gitops;
mod h2;
mod http;
mod mirror;
mod operations;
mod rollout;
mod slo;
mod soak;
mod support;
mod tls;

//! Integration tests: a whole proxy in this process, real sockets on both sides, raw bytes. One binary, because linking
//! is what costs; everything runs in parallel and binds port 0.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]
#![allow(clippy::print_stdout, reason = "the long run reports what it measured")]

mod support;

mod http_framing;
mod http_headers;
mod http_host;
mod http_refusals;
mod http_smuggling;
mod http_upstream;
mod traffic;

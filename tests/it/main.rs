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

mod access_log;
mod admin;
mod admin_access;
mod admin_pressure;
mod admin_reach;
mod attacks;
mod bench_peers;
mod binary;
mod change;
mod clients;
mod config;
mod config_files;
mod config_saves;
mod conformance;
mod conformance_h2;
mod conformance_panic;
mod corners;
mod crowded;
mod dead_versions;
mod demo;
mod descriptors;
mod drain;
mod drain_names;
mod durable;
mod examples;
mod export;
mod fuzz;
mod health;
mod health_dns;
mod health_drain;
mod health_outlier;
mod health_secure;
mod health_terms;
mod hold;
mod http2;
mod http_answers;
mod http_framing;
mod http_headers;
mod http_host;
mod http_refusals;
mod http_smuggling;
mod http_uploads;
mod http_upstream;
mod interim;
mod last_resort;
mod limits;
mod logs;
mod loops;
mod park;
mod private;
mod proxy_protocol;
mod rollout;
mod rollout_endpoints;
mod rollout_life;
mod rollout_rolling;
mod shield;
mod soak;
mod store;
mod store_lost;
mod streams_refused;
mod supervise;
mod support;
mod switch;
mod systemd;
mod targets;
mod tls;
mod tls_admin;
mod tls_upstream;
mod traffic;
mod tunnels;
mod tunnels_outlier;
mod upgrade;
mod watch;
mod writer;

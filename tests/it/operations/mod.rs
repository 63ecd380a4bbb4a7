//! The binary as its operator meets it: start, stop, logs, metrics, upgrades, the demo and the examples.

mod access_log;
mod bench_peers;
mod binary;
mod command_line;
mod demo;
mod demo_game;
mod dependencies;
mod deploy;
mod descriptors;
mod examples;
mod guides;
mod install;
mod jwt;
mod logs;
mod metrics;
mod supervise;
mod systemd;
mod upgrade;

//! The binary as its operator meets it: start, stop, logs, metrics, upgrades, the demo and the examples.

mod access_log;
mod alerts_fired;
mod bench_peers;
mod binary;
mod command_line;
mod dashboards;
mod demo;
mod demo_game;
mod dependencies;
mod deploy;
mod descriptors;
mod examples;
mod guides;
mod install;
mod json_schema;
mod jwt;
mod logs;
mod metrics;
mod status_view;
mod supervise;
mod systemd;
mod upgrade;

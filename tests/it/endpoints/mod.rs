//! Endpoints that are checked, resolved, ejected, drained, or dead.

mod dead_versions;
mod drain;
mod drain_names;
mod drain_waits;
mod health;
mod idle_connections;
mod last_resort;
mod names;
mod outlier;
mod secure_checks;
mod tunnels_outlier;

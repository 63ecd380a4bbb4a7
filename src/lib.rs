//! Pointsman.
pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod proxy;
pub mod stats;
pub mod table;
pub mod upstream;

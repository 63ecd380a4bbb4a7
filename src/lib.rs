//! Pointsman.
pub mod config;
pub mod table;

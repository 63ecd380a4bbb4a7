//! Pointsman.
pub mod control;
pub mod stats;
pub mod table;

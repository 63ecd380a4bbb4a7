//! Pointsman.
pub mod stats;
pub mod table;

//! Pointsman.
pub mod table;

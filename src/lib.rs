//! Pointsman.
pub mod control;
pub mod proxy;
pub mod stats;
pub mod table;
pub mod upstream;

//! What tests share.

pub mod control;
pub mod spec;

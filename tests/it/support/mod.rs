//! What tests share.

pub mod spec;

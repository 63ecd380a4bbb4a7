//! TODO page of body.

pub mod limits;
pub mod response_body;
pub mod rewind;
pub mod transfer;

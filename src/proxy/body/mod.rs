//! TODO page of body.

pub mod transfer;
pub mod response_body;
pub mod rewind;
pub mod limits;

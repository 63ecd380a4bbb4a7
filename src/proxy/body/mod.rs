//! TODO page of body.

pub(crate) mod limits;
pub(crate) mod response_body;
pub(crate) mod rewind;
pub(crate) mod transfer;

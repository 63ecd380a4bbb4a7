//! How bodies pass through: nothing is buffered that nobody asked to keep.
//!
//! [`transfer`] moves the frames of a request's body, [`limits`] bounds its size and its slowness, [`rewind`] keeps what
//! may have to be sent again, and [`response_body`] carries a response to its end.

pub(crate) mod limits;
pub(crate) mod response_body;
pub(crate) mod rewind;
pub(crate) mod transfer;

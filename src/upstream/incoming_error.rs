//! The errors with which the body of a response breaks, whatever its connection speaks.

use std::io;

use crate::http1::Broken;

/// How a response broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IncomingError {
    /// Its framing, or its length.
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the connection broke inside the answer")]
    Connection(#[from] io::Error),
    /// Its stream.
    #[error("the stream of the answer broke")]
    Http2(#[from] h2::Error),
}

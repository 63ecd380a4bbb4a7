//! The ways in which a body breaks, however it is framed.

/// How a body broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// Its framing made no sense.
    #[error("the chunked coding of the body is broken")]
    Malformed,
    /// The connection ended in the middle.
    #[error("the connection ended before the body did")]
    Short,
}

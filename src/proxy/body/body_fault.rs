//! The fault of a body that broke, whichever side it comes from and whatever protocol that speaks.
//!
//! An error of a body never ends the other side cleanly (docs/http-rules.md#rule-7): the sender of a body aborts its
//! connection, or resets its stream, when the body fails, so a fault is passed on as an error.

use std::io;

use crate::http1::Broken;
use crate::upstream::IncomingError;

/// How a body broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    /// Its framing made no sense.
    #[error("the framing of the body is broken")]
    Malformed,
    /// The sender went away in the middle.
    #[error("the sender of the body went away")]
    Gone,
    /// The sender fell silent.
    #[error("the sender of the body fell silent")]
    Silent,
    /// It is larger than its service takes.
    #[error("the body is too large")]
    TooLarge,
    /// It came too slowly.
    #[error("the sender of the body is too slow")]
    Slow,
    /// It is not needed any more.
    #[error("the exchange is over")]
    Over,
}

impl BodyFault {
    /// What an error of a stream of HTTP/2 says about the sender: the kind of the I/O error below tells, if there is
    /// one.
    fn of(error: &h2::Error) -> Self {
        let malformed =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
        if error.get_io().is_some_and(malformed) { Self::Malformed } else { Self::Gone }
    }
}

impl From<Broken> for BodyFault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Malformed => Self::Malformed,
            Broken::Short => Self::Gone,
        }
    }
}

impl From<IncomingError> for BodyFault {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::Broken(broken) => broken.into(),
            IncomingError::Connection(_) => Self::Gone,
            IncomingError::Http2(error) => Self::of(&error),
        }
    }
}

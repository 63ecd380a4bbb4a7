//! How a body broke, whichever side it comes from and whatever protocol that speaks.
//!
//! An error of a body never ends the other side cleanly (docs/http-rules.md#rule-7): the sender of a body aborts its
//! connection, or resets its stream, when the body fails, so a fault is passed on as an error.

use std::error::Error;
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
    /// What an error of hyper's says about the sender. `is_parse` and `is_incomplete_message` are false for errors of
    /// bodies; the kind of the I/O error below tells.
    fn of(error: &hyper::Error) -> Self {
        let mut source: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(found) = source {
            if let Some(io) = found.downcast_ref::<io::Error>() {
                let malformed = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData].contains(&io.kind());
                return if malformed { Self::Malformed } else { Self::Gone };
            }
            source = found.source();
        }
        Self::Gone
    }
}

impl From<hyper::Error> for BodyFault {
    fn from(error: hyper::Error) -> Self {
        Self::of(&error)
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

//! The errors with which a user's request brings no page.
//!
//! One type for all reasons, because the demo only counts failures and shows the last; each keeps its source, so that
//! what is shown names the cause.

use std::io;
use std::time::Duration;

use http::StatusCode;

use super::shop_version::ShopVersion;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitError {
    /// It could not be made.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// It was sent, or should have been.
    #[error("{request}")]
    Failed {
        /// Its method and target.
        request: String,
        /// Why.
        #[source]
        why: VisitFailure,
    },
}

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitFailure {
    /// The connection did not come about.
    #[error(transparent)]
    Connect(#[from] io::Error),
    /// The connection or what came over it was bad.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// It was answered, and not with a page.
    #[error("answered {status}: {line}")]
    Status {
        /// With this status.
        status: StatusCode,
        /// The first line of the body.
        line: String,
        /// By this version, if it was one.
        version: Option<ShopVersion>,
    },
    /// The page could be of anything.
    #[error("the answer names no version of the shop")]
    NoVersion,
    /// It took too long.
    #[error("no answer within {} seconds", patience.as_secs())]
    TimedOut {
        /// As long as a user waits.
        patience: Duration,
    },
}

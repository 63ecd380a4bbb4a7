//! The errors with which a process does not start, or does not go on.

use std::io;

use super::{BindError, MaterialError};
use crate::admin;
use crate::control;
use crate::fleet::fleet_start::FleetStartError;
use crate::supervise::Fatal;
use crate::tokens::BadToken;

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin API's socket.
    #[error(transparent)]
    AdminBind(#[from] admin::AdminBindError),
    /// Certificates and keys.
    #[error(transparent)]
    TlsMaterial(#[from] MaterialError),
    /// The admin API's tokens.
    #[error(transparent)]
    Access(#[from] admin::AccessError),
    /// The tokens of callers that are no operators.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    CallerTokens(Vec<BadToken>),
    /// The system has no descriptors left.
    #[error("cannot make a runtime; raise the limit of open files")]
    Runtime(#[source] io::Error),
    /// The store of revisions.
    #[error(transparent)]
    Store(#[from] control::store::StoreError),
    /// The writer of the traffic state.
    #[error(transparent)]
    Writer(#[from] control::writer::WriterStartError),
    /// The replicas that it shares the traffic with.
    #[error("fleet: {0}")]
    Fleet(#[from] FleetStartError),
    /// The access log.
    #[error("access_log.path: cannot open {path}; make its folder exist and be writable")]
    AccessLog {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why a process ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system has no thread or no descriptors left for a part.
    #[error("cannot run the {part}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writer of the traffic state did not start.
    #[error(transparent)]
    Writer(#[from] control::writer::WriterStartError),
    /// A part has ended and does not come back.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

//! The errors with which a task of a rollout is not done.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinError;

use crate::endpoints::probe::ProbeError;
use crate::outbound::hook::HookError;
use crate::outbound::smoke::SmokeError;
use crate::outbound::webhook::WebhookError;
use crate::problem::chain;
use crate::table::Name;

/// Why a task is not done. A rollout remembers and tells it with its causes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// The plan does not say whom to ask.
    #[error("the plan has no webhook")]
    NoWebhook,
    /// The plan does not say what to run.
    #[error("the plan has no hooks")]
    NoHooks,
    /// The version has nothing that could be asked.
    #[error("{service} {version} has no endpoint to ask")]
    NoEndpoint {
        /// The service.
        service: Name,
        /// The version.
        version: Name,
    },
    /// The config has lost the version meanwhile.
    #[error("{service} has no version {version} any more")]
    NoVersion {
        /// The service.
        service: Name,
        /// The version.
        version: Name,
    },
    /// A webhook has not agreed.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// A command has failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The task that ran a hook has ended early.
    #[error("the hook was not run: {0}")]
    HookLost(JoinError),
    /// An operator was to say that it is done.
    #[error("nobody acknowledged within {0:?}")]
    NotAcknowledged(Duration),
    /// A health check has failed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A smoke request has failed.
    #[error(transparent)]
    Smoke(#[from] Box<SmokeError>),
    /// An address cannot be named in a request.
    #[error("an address that is no host")]
    NoHost,
    /// An endpoint takes no connection.
    #[error(transparent)]
    Connect(#[from] io::Error),
    /// An endpoint has not taken one in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// It is about one endpoint.
    #[error("{service} {endpoint}")]
    OfEndpoint {
        /// Its service.
        service: Name,
        /// Where it is.
        endpoint: SocketAddr,
        /// Why.
        source: Box<Self>,
    },
    /// It is about a version.
    #[error("{service} {version}")]
    OfVersion {
        /// The service.
        service: Name,
        /// The version.
        version: Name,
        /// Why.
        source: Box<SmokeError>,
    },
    /// An endpoint has not become well in time.
    #[error("{service} {endpoint} is not well after {limit:?}")]
    NotWell {
        /// Its service.
        service: Name,
        /// Where it is.
        endpoint: SocketAddr,
        /// How long was waited.
        limit: Duration,
        /// What was wrong with it the last time.
        source: Box<Self>,
    },
    /// Several endpoints have failed.
    #[error("{}", lines(.0))]
    Several(Vec<Self>),
}

fn lines(errors: &[TaskError]) -> String {
    errors.iter().map(|error| chain(error)).collect::<Vec<_>>().join("; ")
}

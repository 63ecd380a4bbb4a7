//! What a chaos experiment does to requests on purpose, and to which of them. Who is in it, and what came of it, is no
//! matter of a definition ([`crate::table::fault_table`]).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::Segment;
use crate::shared::name::Name;
use crate::table::address::EndpointAddress;
use crate::table::weights::Weight;

/// What is done to a request, or with an attempt of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing to requests: a command does something elsewhere.
    Nothing,
    /// The attempt is sent later by `fixed` and a uniform draw below `jitter`. Both may be zero: then the experiment
    /// compares like with like.
    Latency {
        /// What every attempt waits.
        fixed: Duration,
        /// The bound of what is drawn on top.
        jitter: Duration,
    },
    /// The attempt is answered as if the endpoint had answered so; nothing is sent.
    Abort(FaultAbort),
    /// The connection ends as if the endpoint had reset it before it answered.
    Reset,
    /// No answer until the response timeout of the service.
    Hang,
    /// The body of the response comes at this rate.
    Bandwidth {
        /// Bytes per second, above zero.
        bytes_per_s: u64,
    },
    /// The body of the response breaks off.
    Cut {
        /// After this number of bytes.
        after_bytes: u64,
    },
    /// The endpoints that are meant take no connection, and pooled ones to them are not used: failover is what is
    /// tested.
    Refuse,
    /// Requests of the fault slice share a number of places in flight; more get what a full service gives.
    Exhaust {
        /// The places.
        places: u32,
    },
}

/// How an aborted attempt is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAbort {
    /// With this status.
    Http(StatusCode),
    /// With this status of gRPC, 1 to 16.
    Grpc(u8),
}

impl FaultKind {
    /// The word of the kind, as the config, the access log and metrics have it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Nothing => "command",
            Self::Latency { .. } => "latency",
            Self::Abort(_) => "abort",
            Self::Reset => "reset",
            Self::Hang => "hang",
            Self::Bandwidth { .. } => "bandwidth",
            Self::Cut { .. } => "cut",
            Self::Refuse => "refuse",
            Self::Exhaust { .. } => "exhaust",
        }
    }
}

/// What a fault is aimed at. A request is in a slice if its service, segment and version fit; of an attempt the
/// endpoint and its zone have to fit too.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultTarget {
    /// The service.
    pub service: Name,
    /// Only this version.
    pub version: Option<Name>,
    /// Only this endpoint, or those behind this name.
    pub endpoint: Option<EndpointAddress>,
    /// Only endpoints of this zone.
    pub zone: Option<Name>,
    /// Only these users.
    pub segment: Option<Arc<Segment>>,
    /// The share of the users in the fault slice; the control slice has as many more.
    pub share: Weight,
}

//! What is told of a judged request: when it is sent, and when its outcome is known.

use super::canary_clients::ClientNumber;
use super::response_counters::{Asker, ResponseOutcome};
use super::route_number::RouteNumber;

/// One of the two versions that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The version under rollout.
    Candidate,
    /// The version that it would replace.
    Baseline,
}

/// A request that is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CanaryBegun {
    /// The version that it was assigned to.
    pub arm: Arm,
    /// Who asks, unless it is a draw of its own.
    pub asker: Option<Asker>,
    /// Its route, if it is one of those that are judged.
    pub route: Option<RouteNumber>,
    /// When it began, on the clock of the process.
    pub begun_ms: u64,
}

/// A request whose outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CanaryOutcome {
    /// The version that it was assigned to.
    pub arm: Arm,
    /// Its slot of the key space; without one it is a draw of its own.
    pub slot: Option<u32>,
    /// Who sent it, where the lot falls on keys.
    pub client: Option<ClientNumber>,
    /// Whether it failed by the upstream's fault.
    pub failed: bool,
    /// How much of the response its client has waited for.
    pub seen: ResponseSeen,
    /// Whether its time says anything of its version.
    pub timed: bool,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// What the response was besides.
    pub response: ResponseOutcome,
    /// Its route, if it is one of those that are judged.
    pub route: Option<RouteNumber>,
    /// The number of the endpoint that it was sent to.
    pub endpoint: Option<u32>,
}

/// How much of a response its client has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseSeen {
    /// All of it.
    Whole,
    /// Its head: the client left then, and how long it would have taken is not known.
    Head,
    /// Nothing: whether it would have failed is not known either.
    Nothing,
}

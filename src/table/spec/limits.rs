//! The limits of a service: how many requests at a time, how large, and how slow.

use std::time::Duration;

/// The limits of a service. Without one, nothing is counted for it and a request pays nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Requests in flight, over all workers.
    pub in_flight: Option<InFlightLimit>,
    /// The largest body of a request, in bytes.
    pub body_bytes_max: Option<u64>,
    /// How slowly the body of a request may come.
    pub body_rate: Option<BodyRate>,
}

/// How many requests of a service are in flight, and how many wait for their turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFlightLimit {
    /// In flight.
    pub max: usize,
    /// Waiting.
    pub queue_max: usize,
    /// The longest wait.
    pub queue_timeout: Duration,
}

/// The slowest that a body may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyRate {
    /// Bytes a second.
    pub bytes_per_second_min: u64,
    /// The longest that a body may be behind that.
    pub grace: Duration,
}

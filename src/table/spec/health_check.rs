//! The settings of a health check, as a config defines them.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};

/// How the endpoints of a version are checked.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSpec {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: PathAndQuery,
    /// The `Host`; `None` is the endpoint itself, as the config names it.
    pub host: Option<HeaderValue>,
    /// Time between the beginnings of two checks.
    pub interval: Duration,
    /// Part of the interval by which it varies, 0 to 1: checks of many endpoints must not fall into step.
    pub jitter: f64,
    /// Longest wait for the response, the connection included.
    pub timeout: Duration,
    /// Checks in a row that have to pass before an endpoint comes back.
    pub rise: u32,
    /// Checks in a row that have to fail before an endpoint is taken out.
    pub fall: u32,
    /// The good responses, at least one.
    pub expect: Vec<StatusRange>,
}

/// Statuses from a first to a last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl HealthSpec {
    /// Whether a response with this status is good.
    #[must_use]
    pub fn expects(&self, status: StatusCode) -> bool {
        self.expect.iter().any(|range| (range.first..=range.last).contains(&status.as_u16()))
    }
}

impl StatusRange {
    /// All of 2xx.
    pub const SUCCESS: Self = Self { first: 200, last: 299 };
}

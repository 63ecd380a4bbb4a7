//! What is found of a route.

use std::time::Duration;

use super::class_share::ClassShare;
use super::per_version::PerVersion;
use crate::shared::route_name::RouteName;

/// What is wrong with a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteFault {
    /// Its requests fail.
    Failures,
    /// They take longer than the quantile with this number of the baseline's own requests to it.
    Latency {
        /// The number.
        quantile: usize,
    },
}

/// A route that the candidate serves worse, or may.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteFinding {
    /// The route.
    pub name: RouteName,
    /// What is wrong with it.
    pub fault: RouteFault,
    /// How many of its requests were bad, of those that were counted.
    pub shares: PerVersion<ClassShare>,
    /// Over the last part of the rollout, if it is a late part that shows it.
    pub lately: Option<Duration>,
    /// By how much ln E exceeds what a proof needs.
    pub ln_ahead: f64,
    /// Whether it turns the version back.
    pub is_proved: bool,
}

//! The settings by which endpoints are ejected, as a config defines them.

use std::time::Duration;

/// When a service's endpoints are ejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutlierSpec {
    /// This many failures in a row eject.
    pub consecutive_failures: u32,
    /// This large a share of failures in the window ejects, 0 to 1.
    pub failure_ratio: f64,
    /// With fewer requests in the window than this, the share says nothing.
    pub requests_min: u32,
    /// The window.
    pub window: Duration,
    /// How long the first ejection is; each further one is twice as long.
    pub ejection: Duration,
    /// The longest ejection.
    pub ejection_max: Duration,
    /// The largest part of a version's endpoints that may be out.
    pub eject_max_ratio: f64,
}

impl Default for OutlierSpec {
    fn default() -> Self {
        Self {
            // Envoy's. Fewer would be met by chance: at 10 % errors, five in a row come once in 100,000 requests.
            consecutive_failures: 5,
            failure_ratio: 0.5,
            // At an error rate of 10 %, half of 20 fail once in 140,000 windows.
            requests_min: 20,
            window: Duration::from_secs(10),
            // A restart takes seconds; Envoy's 30 s are for hosts that return to full traffic, ours return by a probe.
            ejection: Duration::from_secs(5),
            ejection_max: Duration::from_secs(120),
            // Envoy's panic threshold.
            eject_max_ratio: 0.5,
        }
    }
}

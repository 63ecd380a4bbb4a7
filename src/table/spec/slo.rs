//! The objectives of a service: how many of its requests have to be good, over which time.

use std::time::Duration;

use crate::table::weights::Weight;

/// What a service has promised its users. At least one of the two objectives is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloSpec {
    /// How many of its requests must not fail by our side's fault; below 100 per cent.
    pub availability: Option<Weight>,
    /// How many of them must be answered in time.
    pub latency: Option<LatencyObjective>,
    /// Over how many hours both are counted, the present one among them.
    pub window_hours: u32,
    /// The statuses of gRPC that are our side's fault, a bit for each.
    pub failed_calls: u32,
}

/// An objective on the time that requests take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyObjective {
    /// What takes longer is slow.
    pub under: Duration,
    /// How many requests must not be; below 100 per cent.
    pub share: Weight,
}

impl SloSpec {
    /// What takes longer is slow, in microseconds; never without such an objective.
    #[must_use]
    pub(crate) fn under_us(&self) -> u64 {
        self.latency.map_or(u64::MAX, |latency| u64::try_from(latency.under.as_micros()).unwrap_or(u64::MAX))
    }

    /// Whether a call of gRPC with this status, as it is written in a header, has failed by our side's fault.
    #[must_use]
    pub(crate) fn is_failed_call(&self, status: &[u8]) -> bool {
        let status = std::str::from_utf8(status).ok().and_then(|status| status.parse::<u32>().ok());
        status.is_some_and(|status| status < u32::BITS && self.failed_calls & (1 << status) != 0)
    }

    /// The window as a config has it: in days if they are whole.
    #[must_use]
    pub(crate) fn window_text(&self) -> String {
        const DAY_HOURS: u32 = 24;
        let hours = self.window_hours;
        if hours.is_multiple_of(DAY_HOURS) { format!("{}d", hours / DAY_HOURS) } else { format!("{hours}h") }
    }
}

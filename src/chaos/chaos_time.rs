//! A moment of a run, on both clocks.

use std::time::Duration;

use jiff::Timestamp;

/// A moment, on the clock of the process, which workers have too and which never goes back, and on the one of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChaosTime {
    /// Milliseconds on the clock of the process.
    pub ms: u64,
    /// The same moment for people.
    pub at: Timestamp,
}

impl ChaosTime {
    /// Since the zero of the clock of the process.
    #[must_use]
    pub(crate) fn since_zero(self) -> Duration {
        Duration::from_millis(self.ms)
    }

    /// When it is later by this.
    #[must_use]
    pub(crate) fn later(self, by: Duration) -> Self {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self { ms: self.ms.saturating_add(ms), at: self.at.saturating_add(by).unwrap_or(Timestamp::MAX) }
    }
}

/// A moment as views and reports write it: RFC 3339, to the millisecond.
#[must_use]
pub(crate) fn written(at: Timestamp) -> String {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at).to_string()
}

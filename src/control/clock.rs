//! The process's clock of milliseconds, which both planes read.

use tokio::time::Instant;

/// Zero of the process's clock of milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clock(pub Instant);

impl Clock {
    /// Milliseconds since then.
    #[must_use]
    pub fn now_ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

//! The restarts of a part that has ended, until it is given up. Pure: times go in.

use std::collections::VecDeque;
use std::time::Duration;

/// The pause before the first restart: long enough to be seen, short enough for who waits for a change.
pub(crate) const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Ends in [`WINDOW`] with which a part is given up: what ends at once each time comes to it within half a minute.
pub(crate) const ENDS_MAX: usize = 6;

/// After so long an end is forgotten.
pub(crate) const WINDOW: Duration = Duration::from_secs(120);

/// The ends of one part, oldest first, as times on any clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restarts {
    ends: VecDeque<Duration>,
    total: u64,
}

impl Restarts {
    /// Notes an end at `now`. Returns the pause before the next start; none when the part is given up.
    pub(crate) fn ended(&mut self, now: Duration) -> Option<Duration> {
        self.ends.retain(|end| now.saturating_sub(*end) < WINDOW);
        self.ends.push_back(now);
        self.total += 1;
        let earlier = u32::try_from(self.ends.len() - 1).unwrap_or(u32::MAX);
        let pause = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(earlier)).min(PAUSE_MAX);
        (self.ends.len() < ENDS_MAX).then_some(pause)
    }

    /// Ends since the start.
    #[must_use]
    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_again_and_again_is_given_up_and_what_ends_now_and_then_is_not() {
        let mut often = Restarts::default();
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        while let Some(pause) = often.ended(now) {
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000]);
        let mut seldom = Restarts::default();
        for minute in 0..1_000 {
            assert!(seldom.ended(Duration::from_secs(60 * minute)).is_some());
        }
        assert_eq!(seldom.total(), 1_000);
    }
}

//! Latency where users come back: windows, each with its own users.
//!
//! With [`Assignment::PerKey`] the lot falls once for a user, not for each request, so a user is one draw: a user
//! whose requests are always slow is timed once. But within minutes all users were timed, and a leak that shows later
//! would meet no user who may still testify. So after [`WINDOW`] a window closes and another opens, in which every
//! user may be timed once more ([`crate::rollout::counts`]), with a new wealth and the next part of alpha:
//! `1/(k*(k+1))` for window `k`, which sums to 1 over all of them. An alarm is one window's wealth times its part
//! reaching the threshold: the union, because windows share users and no sum of them would be a fair game.
//!
//! With [`Assignment::PerRequest`] there are no keys, and one window lasts for ever.

use std::time::Duration;

use super::evidence::EpochCounts;
use super::judge_settings::{Assignment, JudgeSettings};
use super::latency::{LatencyBets, LatencyTest};

/// How long a window is. Long enough that closing one, which costs evidence of ln(1 + 2/k), is rare; short enough
/// that a regular user testifies several times in a rollout.
pub(crate) const WINDOW: Duration = Duration::from_secs(600);

/// The latency test over all windows.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyWindows {
    /// The number of the open window, from 1.
    pub number: u32,
    /// When it opened.
    pub opened: Duration,
    /// Its test.
    pub test: LatencyTest,
    /// ln E at the end of the best closed window, times its part of alpha.
    pub ln_best_closed: f64,
}

impl LatencyWindows {
    /// The first window.
    #[must_use]
    pub fn open(settings: &JudgeSettings, now: Duration) -> Self {
        Self { number: 1, opened: now, test: LatencyTest::with_restarts(settings), ln_best_closed: f64::NEG_INFINITY }
    }

    /// Stakes what the reserve gives for this tick; before [`Self::fold`].
    pub fn restart(&mut self, now: Duration, settings: &JudgeSettings) {
        let horizon = match settings.assignment {
            Assignment::PerRequest => settings.horizon,
            Assignment::PerKey => WINDOW,
        };
        self.test.wealth.restart_by(now.saturating_sub(self.opened), horizon);
    }

    /// Folds in one epoch of a tick.
    pub fn fold(&mut self, bets: &LatencyBets, epoch: &EpochCounts) {
        self.test.fold(bets, &epoch.latencies.candidate, &epoch.latencies.baseline);
    }

    /// Closes the window if it is time; after [`Self::fold`].
    pub fn turn(&mut self, now: Duration, settings: &JudgeSettings) {
        let assignment = settings.assignment;
        let over = now.saturating_sub(self.opened) >= WINDOW;
        if assignment == Assignment::PerKey && over {
            let ln_best_closed = self.ln_value(assignment);
            *self = Self { number: self.number.saturating_add(1), ln_best_closed, ..Self::open(settings, now) };
        }
    }

    /// The test's ln E: of the window that knows most, times its part of alpha.
    #[must_use]
    pub fn ln_value(&self, assignment: Assignment) -> f64 {
        let number = f64::from(self.number);
        let part = match assignment {
            Assignment::PerRequest => 1.0,
            Assignment::PerKey => 1.0 / (number * (number + 1.0)),
        };
        (self.test.wealth.ln_value() + part.ln()).max(self.ln_best_closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_closes_in_time_and_keeps_what_it_knew() {
        let settings = JudgeSettings { assignment: Assignment::PerKey, ..JudgeSettings::default() };
        let mut windows = LatencyWindows::open(&settings, Duration::ZERO);
        assert!((windows.ln_value(Assignment::PerKey) - 0.5_f64.ln()).abs() < 1e-12);
        windows.test.wealth.multiply(|_| 5.0);
        let known = windows.ln_value(settings.assignment);
        windows.turn(WINDOW - Duration::from_millis(250), &settings);
        assert_eq!(windows.number, 1);
        windows.turn(WINDOW, &settings);
        assert_eq!((windows.number, windows.opened), (2, WINDOW));
        assert_eq!(windows.ln_value(Assignment::PerKey), known);
    }

    #[test]
    fn without_keys_there_is_one_window_and_all_of_alpha() {
        let settings = JudgeSettings::default();
        let mut windows = LatencyWindows::open(&settings, Duration::ZERO);
        windows.turn(100 * WINDOW, &settings);
        assert_eq!(windows.number, 1);
        assert!(windows.ln_value(Assignment::PerRequest).abs() < 1e-12);
    }
}

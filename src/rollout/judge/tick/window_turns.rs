//! How the judge's windows turn: one closes, and the next one opens with a new stake.

use std::time::Duration;

use super::super::ceiling::CeilingTest;
use super::super::errors::ErrorCounts;
use super::super::ratio::RatioCounts;
use super::super::tick::Judge;
use super::super::windows::is_used_up;
use crate::shared::user_sets::ActiveUsers;

impl Judge {
    /// Closes the windows whose time is over.
    pub(super) fn turn_windows(&mut self, now: Duration, users: ActiveUsers) {
        if users.active > 0 {
            self.active = users.active;
        }
        let assignment = self.settings.assignment;
        let ceiling = |test: &Option<CeilingTest>| test.as_ref().is_some_and(|test| test.wealth.ln_open() > 0.0);
        let failures = self.errors.wealth.ln_open() > 0.0 || ceiling(&self.failure_ceiling);
        if let Some(next) = self.windows.failures.next(now, failures, is_used_up(&users, users.failed)) {
            self.windows.failures = next;
            let (part, stretches) = (next.part(assignment), &mut self.stretches);
            stretches.errors.open_window(&mut self.errors.wealth, part);
            if let Some(test) = &mut self.failure_ceiling {
                stretches.failure_ceiling.open_window(&mut test.wealth, part);
                test.window_opened(now);
            }
            self.ratios = RatioCounts::default();
            self.open_route_failures(now, part);
        }
        let lost = self.lost.as_ref().is_some_and(|test| test.wealth.ln_open() > 0.0);
        if let Some(next) = self.windows.lost.next(now, lost, is_used_up(&users, users.lost)) {
            self.windows.lost = next;
            self.open_window_of_lost_users(next.part(assignment));
        }
        let latency = self.latency.as_ref().is_some_and(|test| test.wealth.ln_open() > 0.0);
        if let Some(next) = self.windows.latency.next(now, latency || ceiling(&self.slow_ceiling), false) {
            self.windows.latency = next;
            let (part, stretches) = (next.part(assignment), &mut self.stretches);
            self.latency.iter_mut().for_each(|test| stretches.latency.open_window(&mut test.wealth, part));
            if let Some(test) = &mut self.slow_ceiling {
                stretches.slow_ceiling.open_window(&mut test.wealth, part);
                test.window_opened(now);
            }
            self.open_route_latencies(now, part);
        }
    }

    /// The users who are known already are as many trials: what is granted to the candidate is granted for each.
    fn open_window_of_lost_users(&mut self, part: f64) {
        let number = self.bets_number(self.share);
        let Some(test) = &mut self.lost else { return };
        self.stretches.lost.open_window(&mut test.wealth, part);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
        let baseline_successes = (f64::from(self.active) * (1.0 - self.share.value())) as u64;
        test.fold(&self.bets[number].lost, ErrorCounts { baseline_successes, ..ErrorCounts::default() });
    }
}

//! What one service's objectives have counted: by hours as long as the window is, and by seconds for the last one.
//!
//! Of each hour it is known what the store has and what it does not have yet. Sums are written as they are and not as
//! differences, so that a write may be repeated when it is not known whether it was done.

use std::collections::BTreeMap;

use super::burn_window::BurnWindow;
use super::recent_counts::RecentCounts;
use crate::shared::additive::Additive;
use crate::stats::SloTotals;

/// Seconds of an hour.
pub(crate) const HOUR_S: u64 = 3600;

/// How long hours are kept that no window has any more, in memory: three days, which the longest burn rate goes back.
const KEPT_MIN_HOURS: u64 = 72;

/// The counts of a service.
#[derive(Clone, Debug, Default)]
pub(crate) struct SloHistory {
    /// By the number of the hour since 1970.
    hours: BTreeMap<u64, HourCounts>,
    recent: RecentCounts,
}

/// The counts of one hour.
#[derive(Clone, Copy, Debug, Default)]
struct HourCounts {
    /// What the store has.
    stored: SloTotals,
    /// What has come since.
    unsaved: SloTotals,
}

impl HourCounts {
    fn sum(&self) -> SloTotals {
        let mut sum = self.stored;
        sum.add(&self.unsaved);
        sum
    }
}

impl SloHistory {
    /// Adds what was counted at this moment, in seconds since 1970.
    pub(crate) fn add(&mut self, now_s: u64, counted: &SloTotals) {
        self.recent.add(now_s, counted);
        if !counted.is_empty() {
            self.hours.entry(now_s / HOUR_S).or_default().unsaved.add(counted);
        }
    }

    /// Takes over what the store has; what has not been written yet stays.
    pub(crate) fn load(&mut self, stored: impl IntoIterator<Item = (u64, SloTotals)>) {
        self.hours.values_mut().for_each(|hour| hour.stored = SloTotals::default());
        for (hour, counts) in stored {
            self.hours.entry(hour).or_default().stored = counts;
        }
    }

    /// The hours that the store has not as they are, with their sums.
    pub(crate) fn unsaved(&self) -> impl Iterator<Item = (u64, SloTotals)> {
        self.hours.iter().filter(|(_, hour)| !hour.unsaved.is_empty()).map(|(number, hour)| (*number, hour.sum()))
    }

    /// Notes that the store has this sum of an hour.
    pub(crate) fn note_saved(&mut self, hour: u64, sum: SloTotals) {
        if let Some(counts) = self.hours.get_mut(&hour) {
            counts.unsaved = counts.sum().since(&sum);
            counts.stored = sum;
        }
    }

    /// Forgets hours that no window of this number of hours has any more, and that are written.
    pub(crate) fn forget(&mut self, now_s: u64, window_hours: u32) {
        let oldest = (now_s / HOUR_S).saturating_sub(u64::from(window_hours).max(KEPT_MIN_HOURS));
        self.hours.retain(|hour, counts| *hour >= oldest || !counts.unsaved.is_empty());
    }

    /// The sum of this number of hours, the present one among them.
    pub(crate) fn window(&self, now_s: u64, hours: u64) -> SloTotals {
        let mut sum = SloTotals::default();
        let now = now_s / HOUR_S;
        let from = (now + 1).saturating_sub(hours);
        // A clock that was set back leaves hours that are still to come.
        self.hours.range(from..=now).for_each(|(_, hour)| sum.add(&hour.sum()));
        sum
    }

    /// The first second of the first hour that is known of this number of hours.
    pub(crate) fn since_s(&self, now_s: u64, hours: u64) -> Option<u64> {
        let now = now_s / HOUR_S;
        let from = (now + 1).saturating_sub(hours);
        self.hours.range(from..=now).next().map(|(hour, _)| hour * HOUR_S)
    }

    /// What was counted in this number of seconds up to now, at most an hour.
    pub(crate) fn last(&self, now_s: u64, seconds: u64) -> SloTotals {
        self.recent.last(now_s, seconds)
    }

    /// What was counted in the window of a burn rate.
    pub(crate) fn burned(&self, now_s: u64, window: BurnWindow) -> SloTotals {
        match window {
            BurnWindow::FiveMinutes => self.last(now_s, 300),
            BurnWindow::Hour => self.last(now_s, HOUR_S),
            BurnWindow::SixHours => self.window(now_s, 6),
            BurnWindow::ThreeDays => self.window(now_s, 72),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, failed: u64) -> SloTotals {
        SloTotals { requests, failed, ..SloTotals::default() }
    }

    #[test]
    fn the_window_rolls_by_hours() {
        let mut history = SloHistory::default();
        for hour in 0..100 {
            history.add(hour * HOUR_S + 7, &counts(10, 1));
        }
        let now = 99 * HOUR_S + 3599;
        assert_eq!(history.window(now, 24), counts(240, 24));
        assert_eq!(history.window(now + 1, 24), counts(230, 23), "the present hour has no requests yet");
        assert_eq!(history.since_s(now, 24), Some(76 * HOUR_S));
        assert_eq!(history.window(50 * HOUR_S, 24), counts(240, 24), "hours to come do not count");
        history.unsaved().collect::<Vec<_>>().into_iter().for_each(|(hour, sum)| history.note_saved(hour, sum));
        history.forget(now, 24);
        assert_eq!(history.window(now, 1000), counts(730, 73), "three days are kept at least");
    }

    #[test]
    fn what_comes_during_a_write_is_written_next() {
        let mut history = SloHistory::default();
        history.load([(5, counts(100, 1))]);
        history.add(5 * HOUR_S, &counts(10, 2));
        let rows: Vec<_> = history.unsaved().collect();
        assert_eq!(rows, [(5, counts(110, 3))]);
        history.add(5 * HOUR_S, &counts(1, 0));
        history.note_saved(5, counts(110, 3));
        assert_eq!(history.unsaved().collect::<Vec<_>>(), [(5, counts(111, 3))]);
        history.note_saved(5, counts(111, 3));
        assert_eq!(history.unsaved().count(), 0);
    }

    #[test]
    fn what_another_process_has_written_is_taken_over() {
        let mut history = SloHistory::default();
        history.load([(5, counts(100, 1))]);
        history.add(5 * HOUR_S, &counts(10, 0));
        history.load([(5, counts(130, 2))]);
        assert_eq!(history.window(5 * HOUR_S, 1), counts(140, 2));
    }
}

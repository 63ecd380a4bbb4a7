//! Windows in which each user may testify once.
//!
//! With [`Assignment::PerKey`] the lot falls once for a user, not for each request, so a user is one draw: one who is
//! always slow, or for whom everything fails, is counted once. But then the day comes on which all users have said
//! what they had to say (after a rough hour of both versions, within seconds), and a candidate that fails everything
//! meets no user who may still testify. So a window closes and another opens, in which every user may be counted once
//! more ([`crate::rollout::counts`]), with a new wealth and the next part of alpha. An alarm is one window's wealth
//! times its part reaching the threshold: the union, because windows share users and no sum of them would be a fair
//! game.
//!
//! A window closes
//!
//! - after [`WINDOW`], if its wealth speaks for the candidate, because then a new stake is worth more than what is
//!   left; after [`WINDOW_MAX`] in any case;
//! - when most of the users who come have testified and are well again: the trouble that used them up is over.
//!
//! Both depend on what users met and not on the side that they met it on, but for the first: it closes windows in
//! which the users that fail are more often the baseline's, and those fail in the next one again.
//!
//! There are three kinds of testimony, each with windows of its own: a user's first failure, a user who is lost
//! (nothing but failures for longer than a burst, which a background of failures does not use up), and how long
//! requests take.
//!
//! With [`Assignment::PerRequest`] there are no keys, and one window lasts for ever.

use std::time::Duration;

use super::judge_settings::Assignment;
use crate::shared::user_sets::ActiveUsers;

/// How long a window is that speaks for the candidate. Long enough that closing one, which costs evidence of
/// ln(k + 1) - ln(k - 1), is rare; short enough that a regular user testifies several times in a rollout.
pub(crate) const WINDOW: Duration = Duration::from_secs(600);

/// How long a window is that speaks against it.
pub(crate) const WINDOW_MAX: Duration = Duration::from_secs(3 * WINDOW.as_secs());

/// Fewer than this many users who have testified are not worth a window.
const TESTIFIED_MIN: u32 = 3;

/// A window of one kind of testimony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its number, from 1.
    pub number: u32,
    /// When it opened.
    pub opened: Duration,
}

/// What the counters have to know of the judge: when any of these numbers changes, users may say it once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The number of the step.
    pub step: u32,
    /// Of first failures.
    pub failures: Window,
    /// Of lost users.
    pub lost: Window,
    /// Of latencies.
    pub latency: Window,
}

impl Windows {
    /// The first ones.
    #[must_use]
    pub(crate) fn open(now: Duration) -> Self {
        let first = Window { number: 1, opened: now };
        Self { step: 0, failures: first, lost: first, latency: first }
    }
}

impl Window {
    /// The part of alpha that it has: half of it for the first, which nearly always is the only one, and the rest for
    /// all others together.
    #[must_use]
    pub(crate) fn part(self, assignment: Assignment) -> f64 {
        let number = f64::from(self.number);
        match assignment {
            Assignment::PerRequest => 1.0,
            Assignment::PerKey if self.number == 1 => 0.5,
            Assignment::PerKey => 0.5 / (number * (number - 1.0)),
        }
    }

    /// The window after it, if it is time. `speaks` says whether its wealth speaks against the candidate.
    #[must_use]
    pub(crate) fn next(self, now: Duration, speaks: bool, used_up: bool) -> Option<Self> {
        let age = now.saturating_sub(self.opened);
        let over = used_up || age >= WINDOW && !speaks || age >= WINDOW_MAX;
        over.then_some(Self { number: self.number.saturating_add(1), opened: now })
    }
}

/// Whether most of those who come have testified, as many as `testified`, and are well again.
#[must_use]
pub(crate) fn is_used_up(users: &ActiveUsers, testified: u32) -> bool {
    let most = u64::from(testified) * 3 >= u64::from(users.active) * 2;
    testified >= TESTIFIED_MIN && most && u64::from(users.failing) * 3 < u64::from(users.active)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Window = Window { number: 1, opened: Duration::ZERO };

    #[test]
    fn a_window_closes_in_time_unless_it_speaks() {
        let next = |after, speaks, used_up| FIRST.next(after, speaks, used_up).map(|window| window.opened);
        assert_eq!(next(WINDOW - Duration::from_millis(250), false, false), None);
        assert_eq!(next(WINDOW, false, false), Some(WINDOW));
        assert_eq!(next(WINDOW, true, false), None);
        assert_eq!(next(WINDOW_MAX, true, false), Some(WINDOW_MAX));
        assert_eq!(next(Duration::from_secs(60), true, true), Some(Duration::from_secs(60)));
    }

    #[test]
    fn all_windows_have_all_of_alpha() {
        let part = |number| Window { number, ..FIRST }.part(Assignment::PerKey);
        let sum: f64 = (1..100_000).map(part).sum();
        assert!(sum <= 1.0 && sum > 0.9999, "{sum}");
        assert_eq!(FIRST.part(Assignment::PerRequest), 1.0);
    }

    #[test]
    fn users_are_used_up_when_most_have_testified_and_are_well() {
        let used_up = |active, failing, failed| {
            let users = ActiveUsers { active, failing, failed, lost: 0 };
            is_used_up(&users, users.failed)
        };
        assert!(used_up(60, 10, 40));
        assert!(!used_up(60, 10, 39), "a third may still testify");
        assert!(!used_up(60, 20, 60), "they fail yet");
        assert!(!used_up(2, 0, 2) && !used_up(0, 0, 0), "too few");
    }
}

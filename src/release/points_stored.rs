//! When the points of a rollout are stored: with each move, and between two moves once a minute.
//!
//! A bake of hours has no move, and the points of it should not be lost with the process. A point a second is no
//! reason for a flush of the disk a second either. So it takes a minute, of all rollouts together one a second, and
//! the end of the process: what a crash takes is the last minute of a picture.

use std::time::Duration;

/// Time between two writes of a rollout that makes no move.
pub(crate) const STORE_INTERVAL: Duration = Duration::from_secs(60);

/// Time between two such writes of all rollouts.
const BETWEEN: Duration = Duration::from_secs(1);

/// What is stored of a rollout's points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointsStored {
    /// When they were stored last.
    pub(crate) at: Duration,
    /// Whether there are others since then.
    pub(crate) is_behind: bool,
}

impl PointsStored {
    /// All of them, at this moment.
    pub(crate) fn all(now: Duration) -> Self {
        Self { at: now, is_behind: false }
    }
}

/// The rollout whose points are to be stored now, if it is time for one: the one that waits longest.
pub(crate) fn next(now: Duration, last: Duration, rollouts: impl Iterator<Item = (u64, PointsStored)>) -> Option<u64> {
    if now.saturating_sub(last) < BETWEEN {
        return None;
    }
    let waiting = rollouts.filter(|(_, stored)| stored.is_behind && now.saturating_sub(stored.at) >= STORE_INTERVAL);
    waiting.min_by_key(|(_, stored)| stored.at).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_stored_each_once_a_minute_and_the_one_that_waits_longest_first() {
        let at = Duration::from_secs;
        let stored = |seconds, is_behind| PointsStored { at: at(seconds), is_behind };
        let all = [(1, stored(10, true)), (2, stored(5, true)), (3, stored(0, false)), (4, stored(30, true))];
        let next_at = |now, last| next(at(now), at(last), all.into_iter());
        assert_eq!(next_at(64, 0), None, "no minute is over");
        assert_eq!(next_at(66, 0), Some(2));
        assert_eq!(next_at(75, 0), Some(2));
        assert_eq!(next_at(75, 75), None, "another one was stored a moment ago");
        assert_eq!(next(at(80), at(0), all.into_iter().filter(|(id, _)| *id == 3)), None, "nothing is new");
    }
}

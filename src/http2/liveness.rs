//! Liveness of the other side of a connection that says nothing: it is asked by a ping, and has a while to answer.
//!
//! Whatever comes is a sign of life; the answer to a ping may stand behind a large body. The clock is looked at with
//! the other times of the connection and not at each frame.

use std::time::Duration;

use tokio::time::Instant;

/// When the other side is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PingTimes {
    /// How long nothing comes before that.
    pub interval: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
}

/// When the other side was heard, and whether it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Liveness {
    /// It was heard then.
    Heard(Instant),
    /// It was asked then.
    Asked(Instant),
}

/// What has to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LivenessVerdict {
    /// Nothing.
    Fine,
    /// It has to be asked.
    Ask,
    /// It is gone.
    Dead,
}

impl Liveness {
    /// Looks at the clock, and whether anything has come since the last look.
    pub(crate) fn look(&mut self, times: PingTimes, now: Instant, heard: bool) -> LivenessVerdict {
        match *self {
            Self::Heard(_) | Self::Asked(_) if heard => *self = Self::Heard(now),
            Self::Heard(since) if now >= since + times.interval => {
                *self = Self::Asked(now);
                return LivenessVerdict::Ask;
            }
            Self::Asked(since) if now >= since + times.timeout => return LivenessVerdict::Dead,
            Self::Heard(_) | Self::Asked(_) => {}
        }
        LivenessVerdict::Fine
    }

    /// When the next look is due.
    pub(crate) fn due(self, times: PingTimes) -> Instant {
        match self {
            Self::Heard(since) => since + times.interval,
            Self::Asked(since) => since + times.timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);
    const TIMES: PingTimes = PingTimes { interval: Duration::from_secs(30), timeout: Duration::from_secs(20) };

    #[test]
    fn a_silent_side_is_asked_and_one_that_does_not_answer_is_gone() {
        let began = Instant::now();
        let mut liveness = Liveness::Heard(began);
        let asked = began + TIMES.interval;
        assert_eq!(liveness.due(TIMES), asked);
        assert_eq!(liveness.look(TIMES, asked - MOMENT, false), LivenessVerdict::Fine);
        assert_eq!(liveness.look(TIMES, asked, false), LivenessVerdict::Ask);
        assert_eq!(liveness.due(TIMES), asked + TIMES.timeout);
        assert_eq!(liveness.look(TIMES, asked + TIMES.timeout - MOMENT, false), LivenessVerdict::Fine);
        let mut answers = liveness;
        assert_eq!(answers.look(TIMES, asked + TIMES.timeout, true), LivenessVerdict::Fine);
        assert_eq!(answers, Liveness::Heard(asked + TIMES.timeout));
        assert_eq!(liveness.look(TIMES, asked + TIMES.timeout, false), LivenessVerdict::Dead);
    }

    #[test]
    fn a_side_that_is_heard_is_not_asked() {
        let began = Instant::now();
        let mut liveness = Liveness::Heard(began);
        for minute in 1..10 {
            assert_eq!(liveness.look(TIMES, began + minute * 2 * TIMES.interval, true), LivenessVerdict::Fine);
        }
    }
}

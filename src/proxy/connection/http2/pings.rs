//! Whether a client that says nothing is still there: it is asked, and has a while to answer.
//!
//! Whatever comes is a sign of life; the answer to a ping may stand behind a large upload. The clock is looked at with
//! the other times of the connection and not at each frame.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing comes before a client is asked.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// When a client was heard, and whether it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Liveness {
    /// It was heard then.
    Heard(Instant),
    /// It was asked then.
    Asked(Instant),
}

/// What has to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// It has to be asked.
    Ask,
    /// It is gone.
    Dead,
}

impl Liveness {
    /// Looks at the clock, and whether anything has come since the last look.
    pub(super) fn look(&mut self, now: Instant, heard: bool) -> Verdict {
        match *self {
            Self::Heard(_) | Self::Asked(_) if heard => *self = Self::Heard(now),
            Self::Heard(since) if now >= since + PING_INTERVAL => {
                *self = Self::Asked(now);
                return Verdict::Ask;
            }
            Self::Asked(since) if now >= since + PING_TIMEOUT => return Verdict::Dead,
            Self::Heard(_) | Self::Asked(_) => {}
        }
        Verdict::Fine
    }

    /// How long it may be until the next look.
    pub(super) fn pause(self, now: Instant) -> Duration {
        let next = match self {
            Self::Heard(since) => since + PING_INTERVAL,
            Self::Asked(since) => since + PING_TIMEOUT,
        };
        next.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn a_silent_client_is_asked_and_one_that_does_not_answer_is_gone() {
        let began = Instant::now();
        let mut liveness = Liveness::Heard(began);
        assert_eq!(liveness.look(began + PING_INTERVAL - MOMENT, false), Verdict::Fine);
        let asked = began + PING_INTERVAL;
        assert_eq!(liveness.pause(asked - MOMENT), MOMENT);
        assert_eq!(liveness.look(asked, false), Verdict::Ask);
        assert_eq!(liveness.look(asked + PING_TIMEOUT - MOMENT, false), Verdict::Fine);
        let mut answers = liveness;
        assert_eq!(answers.look(asked + PING_TIMEOUT, true), Verdict::Fine);
        assert_eq!(answers, Liveness::Heard(asked + PING_TIMEOUT));
        assert_eq!(liveness.look(asked + PING_TIMEOUT, false), Verdict::Dead);
    }

    #[test]
    fn a_client_that_is_heard_is_not_asked() {
        let began = Instant::now();
        let mut liveness = Liveness::Heard(began);
        for minute in 1..10 {
            assert_eq!(liveness.look(began + minute * 2 * PING_INTERVAL, true), Verdict::Fine);
        }
    }
}

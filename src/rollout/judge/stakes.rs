//! How the tests that compare with the baseline share one stake.
//!
//! Any split is fair; what it costs a test is the logarithm of its part. A version that fails is worse news than one
//! that is slow, and comes by fewer events: at 0.1 % against 2 % a bet of all on failures takes 290 requests, one of
//! half takes a tenth more. A slow version is told by every request and needs some dozens: to have a fifth of the stake
//! instead of half costs it two or three. So failures have most of it. Lost users are a second way to fail, in
//! services where users come back.

use super::judge_settings::{Assignment, JudgeSettings};

/// A test that compares with the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// The test on failures; where users come back, on each user's first.
    Errors,
    /// The test on users for whom everything fails.
    LostUsers,
    /// The test on latency.
    Latency,
}

/// The part of the stake that is bet on latency, where it is judged.
const LATENCY: f64 = 0.2;

/// The part of the rest that is bet on lost users, where users come back.
const LOST_USERS: f64 = 0.375;

impl JudgeSettings {
    /// The logarithm of a test's part of the stake.
    #[must_use]
    pub(crate) fn ln_part(&self, test: Comparison) -> f64 {
        let latency = if self.slower.is_some() { LATENCY } else { 0.0 };
        let lost = if self.assignment == Assignment::PerKey { LOST_USERS } else { 0.0 };
        let part = match test {
            Comparison::Errors => (1.0 - latency) * (1.0 - lost),
            Comparison::LostUsers => (1.0 - latency) * lost,
            Comparison::Latency => latency,
        };
        part.ln()
    }

    /// ln E at which a test alone is a proof.
    #[must_use]
    pub(crate) fn ln_needed(&self, test: Comparison) -> f64 {
        self.ln_alarm() - self.ln_part(test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stake_is_shared_by_the_tests_that_there_are() {
        let parts = |assignment, slower| {
            let settings = JudgeSettings { assignment, slower, ..JudgeSettings::default() };
            [Comparison::Errors, Comparison::LostUsers, Comparison::Latency]
                .map(|test| (settings.ln_part(test).exp() * 1000.0).round() / 1000.0)
        };
        let slower = JudgeSettings::default().slower;
        assert_eq!(parts(Assignment::PerRequest, slower), [0.8, 0.0, 0.2]);
        assert_eq!(parts(Assignment::PerRequest, None), [1.0, 0.0, 0.0]);
        assert_eq!(parts(Assignment::PerKey, slower), [0.5, 0.3, 0.2]);
        assert_eq!(parts(Assignment::PerKey, None), [0.625, 0.375, 0.0]);
    }
}

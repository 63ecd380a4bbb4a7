//! From single checks to a verdict: `fall` failures in a row take an endpoint out, `rise` successes bring it back.

/// The last checks of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RiseFallCounter {
    rise: u32,
    fall: u32,
    /// The verdict; none before the first check.
    healthy: Option<bool>,
    /// Results in a row that contradict it.
    against: u32,
}

/// What a check says of an endpoint, in the light of those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckVerdict {
    /// It may take requests.
    Healthy,
    /// It must not.
    Unhealthy,
}

impl RiseFallCounter {
    /// No check yet.
    #[must_use]
    pub(crate) fn new(rise: u32, fall: u32) -> Self {
        Self { rise, fall, healthy: None, against: 0 }
    }

    /// Takes a result. Returns the verdict if it is another one than before.
    pub(crate) fn note(&mut self, passed: bool) -> Option<CheckVerdict> {
        let needed = match self.healthy {
            None => 1,
            Some(healthy) if healthy == passed => {
                self.against = 0;
                return None;
            }
            Some(true) => self.fall,
            Some(false) => self.rise,
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        (self.healthy, self.against) = (Some(passed), 0);
        Some(if passed { CheckVerdict::Healthy } else { CheckVerdict::Unhealthy })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdicts(rise: u32, fall: u32, results: &str) -> String {
        let mut streak = RiseFallCounter::new(rise, fall);
        let letter = |result| match streak.note(result == '+') {
            None => '.',
            Some(CheckVerdict::Healthy) => 'F',
            Some(CheckVerdict::Unhealthy) => 'U',
        };
        results.chars().map(letter).collect()
    }

    #[test]
    fn rise_and_fall_count_in_a_row() {
        assert_eq!(verdicts(2, 3, "+--+---++"), "F.....U.F");
        assert_eq!(verdicts(2, 3, "-+-++-+---"), "U...F....U", "the first check decides alone");
        assert_eq!(verdicts(1, 1, "+-+-"), "FUFU");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The verdict turns exactly when the last `fall` or `rise` results agree against it.
        #[test]
        fn the_verdict_is_that_of_the_last_results(
            rise in 1..5u32, fall in 1..5u32, results in prop::collection::vec(any::<bool>(), 1..60),
        ) {
            let mut streak = RiseFallCounter::new(rise, fall);
            let mut healthy = None;
            for end in 1..=results.len() {
                let passed = results[end - 1];
                let turned = streak.note(passed);
                let needed = match healthy { None => 1, Some(true) => fall, Some(false) => rise } as usize;
                let last = &results[end.saturating_sub(needed)..end];
                let turns = healthy != Some(passed) && last.len() == needed && last.iter().all(|result| *result == passed);
                prop_assert_eq!(turned.is_some(), turns);
                if turns {
                    healthy = Some(passed);
                }
                prop_assert_eq!(turned, turns.then_some(if passed { CheckVerdict::Healthy } else { CheckVerdict::Unhealthy }));
            }
        }
    }
}

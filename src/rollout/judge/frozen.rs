//! What a version is measured by when it has everything: what the other one did while there was one to compare with.
//!
//! At 100 % the comparison ends, and what breaks under the whole load breaks then. So when a comparison ends, the
//! baseline's rates become ceilings ([`super::ceiling`]) of the last step and of what comes after it, unless the plan
//! has some: of failures the most that is compatible with what was seen of the baseline and with the margin; of slow
//! requests [`SLOW_AT_MOST`] above the baseline's 99th percentile times what is tolerated.
//!
//! Rates drift with the hour, and a baseline with half of the traffic is faster than one with all of it. Hence the
//! percentile is the higher one of two: that of the last minute, and that of the beginning, when the baseline had
//! everything. And what was counted is *every* failure, users who come back included: of the candidate only a user's
//! first one is held against a ceiling, so a version that is no worse stays below it.
//!
//! Why not keep one per cent on the baseline and go on comparing: a hundredth of the users would stay on a version that
//! is to be switched off, and at 99 % a comparison needs tens of seconds for what a ceiling sees at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::judge_settings::{Ceilings, Margin, SlowCeiling};
use crate::shared::probability::Probability;

/// Fewer requests than this say nothing.
pub(crate) const REQUESTS_MIN: u64 = 100;

/// The part that may be slower than the baseline's 99th percentile times what is tolerated: twice what its own had.
pub(crate) const SLOW_AT_MOST: f64 = 0.02;

/// What the baseline did when the comparison ended, as ceilings. It is stored with a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrozenCeilings {
    /// The baseline's judged requests until then.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// The part of the candidate's requests that may fail; none where the plan says it, or too little was seen.
    pub errors_max: Option<f64>,
    /// Longer than this is slow, in microseconds; none likewise, or where latency is not judged.
    pub slow_us: Option<u64>,
}

impl FrozenCeilings {
    /// The same for the judge.
    #[must_use]
    pub fn ceilings(&self) -> Ceilings {
        let slow = |us| Some(SlowCeiling { longer_than: Duration::from_micros(us), at_most: slow_at_most()? });
        Ceilings { failures: self.errors_max.and_then(Probability::new), slow: self.slow_us.and_then(slow) }
    }
}

fn slow_at_most() -> Option<Probability> {
    Probability::new(SLOW_AT_MOST)
}

/// The largest rate of failures that is compatible with what was seen (about 97.5 %), and tolerated beyond it.
#[must_use]
pub(crate) fn failures_at_most(failures: u64, requests: u64, margin: Margin) -> f64 {
    // Agresti and Coull's interval: two failures and two successes more than were seen.
    let all = requests.max(1) as f64 + 4.0;
    let rate = ((failures as f64 + 2.0) / all).min(1.0);
    let upper = rate + 1.96 * (rate * (1.0 - rate) / all).sqrt();
    let most = margin.tolerated(upper.min(1.0)).clamp(0.0005, 0.5);
    (most * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_leaves_room_and_little_of_it_leaves_more() {
        let most = |failures, requests| failures_at_most(failures, requests, Margin::default());
        assert!((0.002..0.004).contains(&most(10, 10_000)), "{}", most(10, 10_000));
        assert!((0.001..0.0016).contains(&most(0, 10_000)), "{}", most(0, 10_000));
        assert!(most(0, 100) > 0.03, "{}", most(0, 100));
        assert_eq!(most(100, 100), 0.5);
        assert_eq!(failures_at_most(0, 10_000_000, Margin::NONE), 0.0005);
    }

    #[test]
    fn what_is_stored_is_what_is_judged_by() {
        let frozen = FrozenCeilings { requests: 900, failures: 1, errors_max: Some(0.01), slow_us: Some(24_000) };
        let text = serde_json::to_string(&frozen).unwrap();
        assert_eq!(serde_json::from_str::<FrozenCeilings>(&text).unwrap(), frozen);
        let Ceilings { failures, slow } = frozen.ceilings();
        assert_eq!(
            (failures, slow.map(|slow| slow.longer_than)),
            (Probability::new(0.01), Some(Duration::from_millis(24)))
        );
        assert_eq!(FrozenCeilings { errors_max: None, slow_us: None, ..frozen }.ceilings(), Ceilings::default());
    }
}

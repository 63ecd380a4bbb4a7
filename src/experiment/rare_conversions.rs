//! Conversions that are too few for a normal distribution: exact, at any number and at any time.
//!
//! Users were assigned by chance, so each user that converts is one draw: of the treatment with probability
//! `w r/(w r + 1 - w)`, where `w` is the treatment's share among the users and `r` how many times as often as the
//! control it converts. That is the bet of the judge of releases ([`crate::rollout::judge::ratio`]), against ratios on
//! both sides of 1. Its winnings are evidence that `r` is not 1, and the ratios against which no bet has won yet are an
//! interval for `r`.

use crate::rollout::judge::CandidateShare;
use crate::rollout::judge::ratio::{RatioCounts, RatioInterval};
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;

/// Conversions by the share of the treatment that was in force when their users were first seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RareConversions(RatioCounts);

/// How many times as often as in the control users convert in the treatment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExactRatio {
    /// The interval, which holds the true ratio at all times at once.
    pub interval: RatioInterval,
    /// How surprising what was seen would be if the arms were equal.
    pub p: f64,
}

impl RareConversions {
    /// Adds users that have converted.
    pub(crate) fn add(&mut self, share: Probability, converted: PerArm<u64>) {
        if let Some(share) = CandidateShare::new(share.value()) {
            self.0.add(share, converted.treatment, converted.control);
        }
    }

    /// The ratio; none before the first conversion.
    #[must_use]
    pub(crate) fn ratio(&self, alpha: Probability) -> Option<ExactRatio> {
        let interval = self.0.interval(alpha)?;
        Some(ExactRatio { interval, p: (-self.0.ln_wealth_against(1.0)).exp().min(1.0) })
    }
}

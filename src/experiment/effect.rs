//! The difference between the arms, as it is and as a part of the control.

use super::estimate::ArmEstimate;
use crate::shared::per_arm::PerArm;

/// A difference, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The estimate.
    pub value: f64,
    /// Its variance.
    pub variance: f64,
    /// Users of both arms.
    pub users: u64,
    /// Degrees of freedom by Welch and Satterthwaite.
    pub freedom: f64,
}

impl Effect {
    /// The treatment less the control.
    #[must_use]
    pub fn absolute(both: &PerArm<ArmEstimate>) -> Self {
        let PerArm { control, treatment } = both;
        Self::new(treatment.mean - control.mean, control.variance + treatment.variance, both)
    }

    /// The same as a part of the control; none where the control is zero. Its variance is that of the quotient (delta
    /// method), in which the control's own uncertainty counts.
    #[must_use]
    pub fn relative(both: &PerArm<ArmEstimate>) -> Option<Self> {
        let PerArm { control, treatment } = both;
        let (a, b) = (control.plain_mean, treatment.plain_mean);
        let variance = treatment.variance / (a * a) + control.variance * b * b / a.powi(4);
        let value = (treatment.mean - control.mean) / a;
        (value.is_finite() && variance.is_finite()).then(|| Self::new(value, variance, both))
    }

    fn new(value: f64, variance: f64, both: &PerArm<ArmEstimate>) -> Self {
        let users = both.map(|arm| arm.users).total();
        let of_means = both.control.variance + both.treatment.variance;
        let parts = both.control.satterthwaite + both.treatment.satterthwaite;
        let freedom = if parts > 0.0 { of_means * of_means / parts } else { users as f64 };
        Self { value, variance, users, freedom }
    }
}

/// What is compatible with what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EffectInterval {
    /// From here.
    pub low: f64,
    /// To here.
    pub high: f64,
    /// How surprising what was seen would be if there were no effect: the smallest alpha whose interval leaves zero
    /// out.
    pub p: f64,
}

impl EffectInterval {
    pub(crate) fn around(effect: &Effect, half_width: f64, p: f64) -> Self {
        Self { low: effect.value - half_width, high: effect.value + half_width, p }
    }

    /// Whether no effect is left out.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}
